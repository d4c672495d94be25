-- Lets a request pass that shows the key of a client, and says in CLIENT_HEADER whose it is.
--
-- Before this stand, generated: CLIENT_HEADER, CHECKED, MAX_KEY_CHARACTERS, MAX_REMEMBERED, REFUSAL
-- (headers and body of the answer to everybody else) and NOT_READY (headers of the answer
-- while the clients are not known). The route's filter context holds the clients: by the SHA-256 of the key, its name;
-- and CHECKED, which no digest is. Without that the routes have not come yet, or were refused;
-- routes that ask for no keys any longer switch this off.

local function bearer(authorization)
  local scheme, key = string.match(authorization, "^(%a+) +(%S+)$")
  return scheme and string.lower(scheme) == "bearer" and key or nil
end

-- The key that a request shows. A header that comes twice reads as one, with a comma.
local function shown_key(headers)
  local authorization, key = headers:get("authorization"), headers:get("x-api-key")
  local second = authorization and bearer(authorization)
  if key and second and key ~= second then return nil end
  return key or second
end

-- The name of the client whose key `key` is. Of keys that were shown before, the digest is known:
-- to compute it takes longer than all the rest here. Only keys of clients are remembered, so that
-- nobody else can fill the memory.
local digests, remembered = {}, 0
local function client_of(key, clients)
  local known = digests[key]
  if known then return clients:get(known) end
  local digest = sha256(key)
  local client = clients:get(digest)
  if client then
    if remembered == MAX_REMEMBERED then digests, remembered = {}, 0 end
    digests[key], remembered = digest, remembered + 1
  end
  return client
end

function envoy_on_request(handle)
  local clients = handle:filterContext()
  if not clients or not clients:get(CHECKED) then
    return handle:respond(NOT_READY)
  end
  local headers = handle:headers()
  local key = shown_key(headers)
  local client = key and #key <= MAX_KEY_CHARACTERS and client_of(key, clients)
  if not client then return handle:respond(REFUSAL[1], REFUSAL[2]) end
  headers:remove("authorization")
  headers:remove("x-api-key")
  headers:replace(CLIENT_HEADER, client)
end
