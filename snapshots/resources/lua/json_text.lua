-- Where a JSON text names its model: found by reading the whole text as strictly as Python's
-- json.loads does (UTF-8 without a byte order mark; NaN and Infinity pass), in one pass.
--
-- Loops over single bytes rather than string.find with a character class, which LuaJIT does not
-- compile: the loops take a tenth of its time.

local byte, char, find, sub = string.byte, string.char, string.find, string.sub

local QUOTE, BACKSLASH, COMMA, COLON, MINUS, DOT = 34, 92, 44, 58, 45, 46
local OPEN_BRACE, OPEN_BRACKET, CLOSE_BRACE = 123, 91, 125
-- As Python: a longer integer is refused, as reading it takes time that grows with its square.
local MAX_DIGITS = 4300
local KEY = "model"

-- The number that four hexadecimal digits at `at` are, or nil.
local function hexadecimal(text, at)
  local value = 0
  for i = at, at + 3 do
    local c = byte(text, i)
    if not c then return nil end
    if c >= 48 and c <= 57 then
      c = c - 48
    elseif c >= 97 and c <= 102 then
      c = c - 87
    elseif c >= 65 and c <= 70 then
      c = c - 55
    else
      return nil
    end
    value = value * 16 + c
  end
  return value
end

local function continues(c)
  return c and c >= 0x80 and c <= 0xBF
end

-- The last byte of the UTF-8 character whose first byte, `c`, is at `at`; nil if it is none.
local function last_of_character(text, at, c)
  local d, e, f = byte(text, at + 1, at + 3)
  if c < 0xC2 or c > 0xF4 or not continues(d) then return nil end
  if c < 0xE0 then return at + 1 end
  if not continues(e) then return nil end
  if c < 0xF0 then
    if (c == 0xE0 and d < 0xA0) or (c == 0xED and d > 0x9F) then return nil end
    return at + 2
  end
  if not continues(f) or (c == 0xF0 and d < 0x90) or (c == 0xF4 and d > 0x8F) then return nil end
  return at + 3
end

-- The quote that closes the string opened at `at`; nil and the place of what may not be there.
local function closing_quote(text, at)
  while true do
    local c
    repeat
      at = at + 1
      c = byte(text, at)
    until not c or c == QUOTE or c == BACKSLASH or c < 32 or c > 127
    if c == QUOTE then return at end
    if not c or c < 32 then return nil, at end
    if c > 127 then
      local last = last_of_character(text, at, c)
      if not last then return nil, at end
      at = last
    else
      local d = byte(text, at + 1)
      if d == 117 then -- u
        if not hexadecimal(text, at + 2) then return nil, at end
        at = at + 5
      elseif d == QUOTE or d == BACKSLASH or d == 47 or d == 110 or d == 116 or d == 114
        or d == 98 or d == 102 then -- / n t r b f
        at = at + 1
      else
        return nil, at
      end
    end
  end
end

-- The first byte at or behind `at` that is no white space, as its place and its value.
local function behind_space(text, at)
  local c = byte(text, at)
  while c == 32 or c == 10 or c == 13 or c == 9 do
    at = at + 1
    c = byte(text, at)
  end
  return at, c
end

-- The place behind the digits at `at`, and the byte there; nil if there are none.
local function behind_digits(text, at)
  local c = byte(text, at)
  if not c or c < 48 or c > 57 then return nil end
  repeat
    at = at + 1
    c = byte(text, at)
  until not c or c < 48 or c > 57
  return at, c
end

-- The place behind the number that starts with the byte `c` at `at`, or nil.
local function behind_number(text, at, c)
  if c == MINUS then
    at = at + 1
    c = byte(text, at)
    if c == 73 then return sub(text, at, at + 7) == "Infinity" and at + 8 or nil end
  end
  local first = at
  if c == 48 then -- no digit may follow a leading 0
    at = at + 1
    c = byte(text, at)
  else
    at, c = behind_digits(text, at)
    if not at then return nil end
  end
  local is_integer = true
  if c == DOT then
    is_integer = false
    at, c = behind_digits(text, at + 1)
    if not at then return nil end
  end
  if c == 101 or c == 69 then -- e E
    is_integer = false
    at = at + 1
    c = byte(text, at)
    if c == 43 or c == MINUS then at = at + 1 end
    at = behind_digits(text, at)
    if not at then return nil end
  end
  if is_integer and at - first > MAX_DIGITS then return nil end
  return at
end

-- The place behind the value that starts with the byte `c` at `at` and is neither object nor
-- array; nil and the place of what may not be there.
local function behind_scalar(text, at, c)
  local behind, wrong
  if c == QUOTE then
    behind, wrong = closing_quote(text, at)
    behind = behind and behind + 1
  elseif c == 116 then
    behind = sub(text, at, at + 3) == "true" and at + 4
  elseif c == 102 then
    behind = sub(text, at, at + 4) == "false" and at + 5
  elseif c == 110 then
    behind = sub(text, at, at + 3) == "null" and at + 4
  elseif c == 78 then
    behind = sub(text, at, at + 2) == "NaN" and at + 3
  elseif c == 73 then
    behind = sub(text, at, at + 7) == "Infinity" and at + 8
  else
    behind = behind_number(text, at, c)
  end
  return behind or nil, wrong or at
end

local function utf8(code)
  if code < 0x80 then return char(code) end
  local rest = char(0x80 + code % 0x40)
  code = math.floor(code / 0x40)
  if code < 0x20 then return char(0xC0 + code) .. rest end
  rest = char(0x80 + code % 0x40) .. rest
  code = math.floor(code / 0x40)
  if code < 0x10 then return char(0xE0 + code) .. rest end
  return char(0xF0 + math.floor(code / 0x40), 0x80 + code % 0x40) .. rest
end

local CONTROL = { [98] = "\b", [102] = "\f", [110] = "\n", [114] = "\r", [116] = "\t" }

-- What the escape sequence at `at` stands for, and the place behind it. Half of a surrogate pair
-- becomes three bytes that are in no valid UTF-8, and so equals nothing else.
local function escaped_character(text, at)
  local c = byte(text, at + 1)
  if c ~= 117 then return CONTROL[c] or char(c), at + 2 end
  local code = hexadecimal(text, at + 2)
  if code >= 0xD800 and code < 0xDC00 and byte(text, at + 6) == BACKSLASH
    and byte(text, at + 7) == 117 then
    local low = hexadecimal(text, at + 8)
    if low >= 0xDC00 and low < 0xE000 then
      return utf8(0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00), at + 12
    end
  end
  return utf8(code), at + 6
end

-- What the inside of a valid JSON string says, in UTF-8.
local function unescaped(text)
  local at = find(text, "\\", 1, true)
  if not at then return text end
  local parts, from, count = {}, 1, 0
  while at do
    parts[count + 1] = sub(text, from, at - 1)
    parts[count + 2], from = escaped_character(text, at)
    count = count + 2
    at = find(text, "\\", from, true)
  end
  return table.concat(parts) .. sub(text, from)
end

-- Whether the key whose quotes are at `open` and `close` is "model", be it written with escapes.
-- Byte by byte: a string made of each key would take much longer than everything else does.
local function is_model(text, open, close)
  local at = open + 1
  for i = 1, #KEY do
    local c = byte(text, at)
    if c == BACKSLASH and byte(text, at + 1) == 117 then
      c = hexadecimal(text, at + 2)
      at = at + 5
    end
    if c ~= byte(KEY, i) then return false end
    at = at + 1
  end
  return at == close
end

-- Where the values of the top-level "model" of the object `text` start, in order. If `text` is
-- not exactly one object nested up to `max_depth`: nil and the place of what may not be there, or
-- nil alone for what is nested too deeply.
local function model_values(text, max_depth)
  local at, c = behind_space(text, 1)
  if c ~= OPEN_BRACE then return nil, at end
  local values, closers, depth, closer = {}, {}, 0, nil
  local close, wrong
  while true do -- at the first byte of a value
    local opened = false
    if c == OPEN_BRACE or c == OPEN_BRACKET then
      depth = depth + 1
      if depth > max_depth then return nil end
      closer = c + 2
      closers[depth] = closer
      at, c = behind_space(text, at + 1)
      opened = c ~= closer
    else
      at, wrong = behind_scalar(text, at, c)
      if not at then return nil, wrong end
      at, c = behind_space(text, at)
    end
    if not opened then
      while c == closer do
        depth = depth - 1
        at, c = behind_space(text, at + 1)
        if depth == 0 then
          if c then return nil, at end
          return values
        end
        closer = closers[depth]
      end
      if c ~= COMMA then return nil, at end
      at, c = behind_space(text, at + 1)
    end
    if closer == CLOSE_BRACE then
      if c ~= QUOTE then return nil, at end
      close, wrong = closing_quote(text, at)
      if not close then return nil, wrong end
      local is_wanted = depth == 1 and is_model(text, at, close)
      at, c = behind_space(text, close + 1)
      if c ~= COLON then return nil, at end
      at, c = behind_space(text, at + 1)
      if is_wanted then values[#values + 1] = at end
    end
  end
end
