-- Writes the name that the chosen pool expects over the value of the top-level "model"; no other
-- byte of the body changes. The route's filter context says what to write:
--   model  the new name, escaped as inside a JSON string
--   keep   names to leave alone (LoRA adapters), each between line feeds
-- Without a context, or where no top-level "model" is a string, the body passes as it came.

local find, byte, char, match, sub =
  string.find, string.byte, string.char, string.match, string.sub
local QUOTE, OPEN_BRACE, OPEN_BRACKET, COMMA = 34, 123, 91, 44
local CONTROL = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

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

local function utf8(code)
  if code < 0x80 then return char(code) end
  local last = char(0x80 + code % 0x40)
  code = math.floor(code / 0x40)
  if code < 0x20 then return char(0xC0 + code) .. last end
  last = char(0x80 + code % 0x40) .. last
  code = math.floor(code / 0x40)
  if code < 0x10 then return char(0xE0 + code) .. last end
  return char(0xF0 + math.floor(code / 0x40)) .. char(0x80 + code % 0x40) .. last
end

-- The character of the escape sequence at `at`, and the position behind it.
local function escaped_character(text, at)
  local hex = match(text, "^\\u(%x%x%x%x)", at)
  if not hex then
    local c = sub(text, at + 1, at + 1)
    return CONTROL[c] or c, at + 2
  end
  local code = tonumber(hex, 16)
  local low = match(text, "^\\u[dD]([c-fC-F]%x%x)", at + 6)
  if code >= 0xD800 and code < 0xDC00 and low then
    return utf8(0x10000 + (code - 0xD800) * 0x400 + tonumber(low, 16) - 0xC00), at + 12
  end
  return utf8(code), at + 6
end

-- What the inside of a JSON string says, in UTF-8.
local function unescaped(text)
  local parts, from = {}, 1
  while true do
    local at = find(text, "\\", from, true)
    if not at then break end
    parts[#parts + 1] = sub(text, from, at - 1)
    parts[#parts + 1], from = escaped_character(text, at)
  end
  if from == 1 then return text end
  return table.concat(parts) .. sub(text, from)
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
        if value and unescaped(sub(text, at + 1, close - 1)) == "model" then
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

local function is_kept(value, keep)
  local name = unescaped(value)
  return not find(name, "\n", 1, true) and find(keep, "\n" .. name .. "\n", 1, true)
end

local function rewritten(text, name, keep)
  local parts, from = {}, 1
  for _, span in ipairs(model_values(text)) do
    local old = sub(text, span[1], span[2])
    if old ~= name and not is_kept(old, keep) then
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
