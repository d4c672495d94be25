-- Gives a request by an alias or path to the routes of its model, where one limit counts for all.
--
-- Before this stand, generated: MODEL_HEADER, WILDCARD_FILTER, REQUESTED_NAME and TAKES_OVER. The
-- route's filter context says where to:
--   scope        the scope key of the model's routes
--   name         of a path: the model's name, which nobody wrote
--   prefix       of a path: what is cut from it
--   replacement  of a path: what stands there instead
-- The model's routes have TAKES_OVER as metadata. While an edit arrives they may be gone, or
-- without a limit: then the request keeps the route that it has.

local function without_prefix(path, prefix, replacement)
  return replacement .. "/" .. string.gsub(string.sub(path, #prefix + 1), "^/+", "")
end

-- Without it, the name that the client wrote would reach no server: a blank begins the scope key
-- of a wildcard, whose filter has noted that name.
local function note(handle, name)
  if string.sub(name, 1, 1) == " " then return end
  handle:streamInfo():dynamicMetadata():set(WILDCARD_FILTER, REQUESTED_NAME, name)
end

function envoy_on_request(handle)
  local context, headers = handle:filterContext(), handle:headers()
  local scope, name, prefix = context:get("scope"), context:get("name"), context:get("prefix")
  local replacement, written = context:get("replacement"), headers:get(MODEL_HEADER)
  headers:replace(MODEL_HEADER, scope)
  handle:clearRouteCache()
  if not handle:metadata():get(TAKES_OVER) then
    headers:replace(MODEL_HEADER, written)
    return handle:clearRouteCache()
  end
  note(handle, name or written)
  if prefix then
    local path = headers:get(":path")
    headers:replace("x-envoy-original-path", path)
    headers:replace(":path", without_prefix(path, prefix, replacement))
  end
end
