-- Gives a request whose model has no route to the longest wildcard that its name matches.
--
-- Before this stand, generated: MODEL_HEADER, NO_MODEL, WILDCARD_FILTER and REQUESTED_NAME. Which
-- names there are is metadata of the route of requests without a model, so that an edit of them
-- changes no listener:
--   lengths  how long what stands before a wildcard's * is, longest first
--   =NAME    there if NAME is routed
--   *NAME*   there if the wildcard NAME* is
-- Whether a name has a route cannot be asked for here; routes of exact names switch this off.

local sub = string.sub

local function longest_wildcard(names, name)
  for _, length in ipairs(names:get("lengths") or {}) do
    local pattern = sub(name, 1, length) .. "*"
    if length <= #name and names:get("*" .. pattern) then return pattern end
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local name = headers:get(MODEL_HEADER)
  if name == NO_MODEL then return end
  headers:replace(MODEL_HEADER, NO_MODEL)
  handle:clearRouteCache()
  local names = handle:metadata()
  local pattern = not names:get("=" .. name) and longest_wildcard(names, name)
  if pattern then
    handle:streamInfo():dynamicMetadata():set(WILDCARD_FILTER, REQUESTED_NAME, name)
  end
  headers:replace(MODEL_HEADER, pattern and " " .. pattern or name)
  handle:clearRouteCache()
end
