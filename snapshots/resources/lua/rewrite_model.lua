-- Writes the name that the chosen pool expects over the model that a body names; no other byte of
-- the body changes. The route's filter context says what to write:
--   model  the new name, escaped as inside a JSON string
--   keep   names to leave alone (LoRA adapters), each between line feeds
--   mixed  set where the request may be tried again on a pool that takes the body as it came
-- Without a context, and where the body names no model, or too many, or is not well-formed, it
-- passes as it came.

-- Above what any extraction lets pass.
local MAX_DEPTH = 100000
-- Who names it more often wants to keep a thread of Envoy busy: each takes a string to be written.
local MAX_NAMES = 1000

-- First and last byte of each name in `text`, a body of a form if it has a boundary.
local function spans_of_names(text, boundary)
  if boundary then return form_values(text, boundary) or {} end
  local spans = {}
  local starts = model_values(text, MAX_DEPTH) or {}
  if #starts > MAX_NAMES then return spans end
  for _, at in ipairs(starts) do
    if byte(text, at) == QUOTE then spans[#spans + 1] = { at + 1, closing_quote(text, at) - 1 } end
  end
  return spans
end

local function is_kept(name, keep)
  return not find(name, "\n", 1, true) and find(keep, "\n" .. name .. "\n", 1, true)
end

local function rewritten(text, boundary, name, keep)
  local parts, from = {}, 1
  if boundary then name = unescaped(name) end
  for _, span in ipairs(spans_of_names(text, boundary)) do
    local old = sub(text, span[1], span[2])
    if old ~= name and not is_kept(boundary and old or unescaped(old), keep) then
      parts[#parts + 1] = sub(text, from, span[1] - 1)
      parts[#parts + 1] = name
      from = span[2] + 1
    end
  end
  if from == 1 then return nil end
  parts[#parts + 1] = sub(text, from)
  return table.concat(parts)
end

function envoy_on_request(handle)
  local context = handle:filterContext()
  local name = context and context:get("model")
  if not name then return end
  -- Now, as neither context nor headers are there any more once the body was waited for.
  local keep, mixed = context:get("keep") or "", context:get("mixed")
  local boundary = form_boundary(handle:headers():get("content-type"))
  local body = handle:body()
  if not body then return end
  local length = body:length()
  local text = rewritten(body:getBytes(0, length), boundary, name, keep)
  if text then length = body:setBytes(text) end
  -- The next try has the client's body again, but the headers that this one leaves.
  if not mixed then
    handle:headers():replace("content-length", tostring(length))
  elseif text then
    handle:headers():remove("content-length")
  end
end
