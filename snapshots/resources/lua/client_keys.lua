-- Lets a request pass that shows the key of a client, and says in CLIENT_HEADER whose it is.
--
-- Before this stand, generated: CLIENT_HEADER, CHECKED, MAX_KEY_CHARACTERS and REFUSAL (headers and body of
-- the answer to everybody else). The route's filter context holds the clients: by the SHA-256 of
-- the key, its name; and CHECKED, which no digest is. Without that the routes do not ask for keys
-- yet, or no longer, whereas the listener does.

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

function envoy_on_request(handle)
  local clients = handle:filterContext()
  if not clients or not clients:get(CHECKED) then return end
  local headers = handle:headers()
  local key = shown_key(headers)
  local client = key and #key <= MAX_KEY_CHARACTERS and clients:get(sha256(key))
  if not client then return handle:respond(REFUSAL[1], REFUSAL[2]) end
  headers:remove("authorization")
  headers:remove("x-api-key")
  headers:replace(CLIENT_HEADER, client)
end
