-- Where a form (multipart/form-data, RFC 7578) names its model: in the text part named "model".
-- The rule is that of the companion, word for word: it stands in xds_server/ext_proc/multipart.py.

local lower, match = string.lower, string.match

local SEMICOLON = 59
local MAX_PARTS, MAX_HEADERS_BYTES, MAX_BOUNDARY_BYTES = 1000, 8192, 70
local PLAIN_ENCODINGS = { ["7bit"] = 1, ["8bit"] = 1, binary = 1 }

-- Without the blanks around it. By loops, as a pattern would take time that grows with the square
-- of the blanks.
local function trimmed(text)
  local first, last = 1, #text
  while byte(text, first) == 32 or byte(text, first) == 9 do first = first + 1 end
  while last > first and (byte(text, last) == 32 or byte(text, last) == 9) do last = last - 1 end
  return sub(text, first, last)
end

-- What the string in quotes says that opens at `at`, and the place behind it; nil if none closes.
local function quoted(text, at)
  local from = at + 1
  repeat
    at = find(text, '["\\]', at + 1)
    if not at then return nil end
    local is_escape = byte(text, at) == BACKSLASH
    if is_escape then at = at + 1 end
  until not is_escape
  return (string.gsub(sub(text, from, at - 1), '\\(["\\])', "%1")), at + 1
end

local function behind_blanks(text, at)
  return find(text, "[^ \t]", at) or #text + 1
end

-- What a header value says before its first semicolon, in lower case, and its parameters by their
-- name; nil in their place if they are not well-formed, or leave open what `wanted` is.
local function parameters(text, wanted)
  local at = find(text, ";", 1, true) or #text + 1
  local kind, found = lower(trimmed(sub(text, 1, at - 1))), {}
  while at <= #text do
    at = behind_blanks(text, at + 1)
    local _, equals, name = find(text, '^([^%s=;"]+)=', at)
    if equals then
      local value, behind
      if byte(text, equals + 1) == QUOTE then
        value, behind = quoted(text, equals + 1)
      else
        value = match(text, '^[^%s;"]+', equals + 1)
        behind = value and equals + 1 + #value
      end
      name = lower(name)
      if not value or found[name] or sub(name, 1, #wanted + 1) == wanted .. "*" then
        return kind, nil
      end
      found[name] = value
      at = behind_blanks(text, behind)
    end
    if at <= #text and byte(text, at) ~= SEMICOLON then return kind, nil end
  end
  return kind, found
end

-- The boundary of the form that a body of this content-type is: empty if it names none that is
-- well-formed, nil if the body is no form.
local function form_boundary(content_type)
  local kind, found = parameters(content_type or "", "boundary")
  if kind ~= "multipart/form-data" then return nil end
  local boundary = found and found.boundary or ""
  if #boundary > MAX_BOUNDARY_BYTES or find(boundary, "[^%w'()+_,./:=? -]")
    or sub(boundary, -1) == " " then
    return ""
  end
  return boundary
end

-- The headers of a part that say what it is, by their names in lower case; nil if one is not
-- well-formed, or one of those comes twice.
local function part_headers(text)
  local found, at = {}, 1
  while at <= #text do
    local stop = find(text, "\r\n", at, true) or #text + 1
    local line = sub(text, at, stop - 1)
    local name, value = match(line, "^([!-9;-~]+):([^%z\r\n]*)$")
    if not name then return nil end
    name = lower(name)
    if name == "content-disposition" or name == "content-transfer-encoding" then
      if found[name] then return nil end
      found[name] = trimmed(value)
    end
    at = stop + 2
  end
  return found
end

-- Whether a part with these header lines is text named "model"; nil if they are not well-formed.
local function is_named_model(text)
  local headers = #text <= MAX_HEADERS_BYTES and part_headers(text)
  if not headers then return nil end
  local kind, found = parameters(headers["content-disposition"] or "", "name")
  if kind ~= "form-data" or not found or not found.name then return nil end
  if found.name ~= KEY then return false end
  for name in pairs(found) do
    if name == "filename" or sub(name, 1, 9) == "filename*" then return false end
  end
  local encoding = headers["content-transfer-encoding"]
  return not encoding or PLAIN_ENCODINGS[lower(encoding)] and true or nil
end

-- The end of the line of a delimiter whose boundary ends at `last`, and whether it is the last one;
-- nil if something else is on that line.
local function line_end(text, last)
  local is_last = sub(text, last + 1, last + 2) == "--"
  local at = is_last and last + 3 or last + 1
  if sub(text, at, at + 1) == "\r\n" or (is_last and at > #text) then return at, is_last end
end

-- First and last byte of each text part named "model", as a list of pairs; nil and what is wrong
-- if `text` is not a whole form with this boundary.
local function form_values(text, boundary)
  if boundary == "" then return nil, "its content-type names no boundary" end
  local delimiter = "\r\n--" .. boundary
  local _, last = nil, #delimiter - 2
  if sub(text, 1, last) ~= sub(delimiter, 3) then
    _, last = find(text, delimiter, 1, true)
  end
  local values, parts = {}, 0
  while last do
    local at, is_last = line_end(text, last)
    if not at then return nil, "a delimiter is not alone on its line" end
    if is_last then return values end
    parts = parts + 1
    if parts > MAX_PARTS then return nil, "it has too many parts" end
    local start, close = at + 2, nil
    close, last = find(text, delimiter, at, true)
    if not close then break end
    local headers, headers_end = "", find(text, "\r\n\r\n", start, true)
    if headers_end and headers_end + 3 < close then headers = sub(text, start, headers_end - 1) end
    local is_wanted = is_named_model(headers)
    if is_wanted == nil then return nil, "the headers of a part are not well-formed" end
    if is_wanted then values[#values + 1] = { headers_end + 4, close - 1 } end
  end
  return nil, "its last delimiter is missing"
end
