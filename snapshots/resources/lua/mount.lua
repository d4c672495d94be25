-- Changes path and host for the servers of one pool.
--
-- Before this stand, generated: CLIENT_PATH_HEADER and CLIENT_HOST_HEADER. The filter context may
-- have `path`, what stands for /v1, and `host`. A request that another pool was tried with comes as
-- that one left it: so what the client wrote is kept in a header, and is what counts.

local function mounted(path, prefix)
  local rest = string.match(path, "^/v1(.*)$")
  if not rest or not string.find(rest, "^[/?]") and rest ~= "" then return path end
  if prefix == "/" then prefix = "" end
  if prefix == "" and string.sub(rest, 1, 1) ~= "/" then rest = "/" .. rest end
  return prefix .. rest
end

local function change(headers, name, kept_in, to)
  local kept = headers:get(kept_in)
  local original = kept or headers:get(name)
  local wanted = to(original)
  if wanted ~= original and not kept then headers:replace(kept_in, original) end
  if wanted ~= headers:get(name) then headers:replace(name, wanted) end
end

function envoy_on_request(handle)
  local headers, context = handle:headers(), handle:filterContext()
  local path, host = context:get("path"), context:get("host")
  change(headers, ":path", CLIENT_PATH_HEADER, function(original)
    return path and mounted(original, path) or original
  end)
  change(headers, ":authority", CLIENT_HOST_HEADER, function(original)
    return host or original
  end)
end
