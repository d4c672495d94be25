-- Writes the name that the chosen pool expects over the value of the top-level "model"; no other
-- byte of the body changes. The route's filter context says what to write:
--   model  the new name, escaped as inside a JSON string
--   keep   names to leave alone (LoRA adapters), each escaped likewise, each between line feeds
-- Without a context, or where no top-level "model" is a string, the body passes as it came.

local find, byte, sub = string.find, string.byte, string.sub
local QUOTE, BACKSLASH, OPEN_BRACE, OPEN_BRACKET, COMMA = 34, 92, 123, 91, 44

-- The position of the quote that closes the string opened at `open`, or nil.
local function closing_quote(text, open)
  local at = open
  while true do
    at = find(text, '["\\]', at + 1)
    if not at then return nil end
    if byte(text, at) == QUOTE then return at end
    at = at + 1 -- a backslash: the next byte is escaped
  end
end

local function is_model_key(key)
  if find(key, "\\", 1, true) then
    key = key:gsub("\\u00(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  end
  return key == "model"
end

-- First and last byte of each top-level "model" value that is a string.
local function model_values(text)
  local spans = {}
  local at = find(text, "%S")
  if not at or byte(text, at) ~= OPEN_BRACE then return spans end
  local depth, key_expected = 1, true
  while depth > 0 do
    at = find(text, '["{}%[%],]', at + 1)
    if not at then return {} end
    local c = byte(text, at)
    if c == QUOTE then
      local close = closing_quote(text, at)
      if not close then return {} end
      if depth == 1 and key_expected then
        key_expected = false
        local _, value = find(text, '^%s*:%s*"', close + 1)
        if value and is_model_key(sub(text, at + 1, close - 1)) then
          close = closing_quote(text, value)
          if not close then return {} end
          spans[#spans + 1] = { value + 1, close - 1 }
        end
      end
      at = close
    elseif c == OPEN_BRACE or c == OPEN_BRACKET then
      depth = depth + 1
    elseif c == COMMA then
      if depth == 1 then key_expected = true end
    else
      depth = depth - 1
    end
  end
  return spans
end

local function rewritten(text, name, keep)
  local parts, from = {}, 1
  for _, span in ipairs(model_values(text)) do
    local old = sub(text, span[1], span[2])
    if old ~= name and not find(keep, "\n" .. old .. "\n", 1, true) then
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
  local keep = context:get("keep") or "" -- now: the context is gone once the body was waited for
  local body = handle:body()
  if not body then return end
  local text = rewritten(body:getBytes(0, body:length()), name, keep)
  if not text then return end
  local length = body:setBytes(text)
  handle:headers():replace("content-length", tostring(length))
end
