-- Chooses the first cluster of a chain that has room, else the last one. A chain is a list of
-- clusters, each with the most requests, and the most of them that wait, that it may have; 0: any.
-- CHAINS holds them by the cluster that the split chose, or "" where there is no split.
-- With SHED, which names no cluster, that is chosen where the last one has no room either.

local function has_room(cluster, max_requests, max_pending)
  if not cluster then return true end
  local pending = cluster:numPendingRequests()
  -- What waits for a connection has no place yet, but will need one.
  if max_requests > 0 and cluster:numRequests() + pending >= max_requests then return false end
  return max_pending == 0 or pending < max_pending
end

function envoy_on_route(handle)
  local chain = CHAINS[handle:headers():get(FIRST_POOL_HEADER) or ""] or CHAINS[DEFAULT]
  for i = 1, SHED and #chain or #chain - 1 do
    local name, max_requests, max_pending = unpack(chain[i])
    if has_room(handle:getCluster(name), max_requests, max_pending) then return name end
  end
  return SHED or chain[#chain][1]
end
