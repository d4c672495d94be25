-- Where a form (multipart/form-data, RFC 7578) names its model: in the text part named "model".
--
-- The rule, which the companion follows too: the body starts with `--BOUNDARY`; a delimiter is
-- that at the start of a line (lines end with CR LF), followed by CR LF, or by `--` if it is the
-- last; what follows the last is not looked at. A part is header lines, an empty line, and its
-- content. It is a text part named "model" if its first Content-Disposition has `name=model`, the
-- value quoted or not, and neither `filename` nor `filename*`.

local lower, match = string.lower, string.match

-- Without the blanks around it. By loops, as a pattern would take time that grows with the square
-- of the blanks.
local function trimmed(text)
  local first, last = 1, #text
  while byte(text, first) == 32 or byte(text, first) == 9 do first = first + 1 end
  while last > first and (byte(text, last) == 32 or byte(text, last) == 9) do last = last - 1 end
  return sub(text, first, last)
end

-- What the string in quotes says that opens at `at`, and the place of the quote that closes it;
-- nil if none does.
local function quoted(text, at)
  local from = at + 1
  repeat
    at = find(text, '["\\]', at + 1)
    if not at then return nil end
    local is_escape = byte(text, at) == BACKSLASH
    if is_escape then at = at + 1 end
  until not is_escape
  return (string.gsub(sub(text, from, at - 1), '\\(["\\])', "%1")), at
end

-- The value of the first parameter of the header value `text` whose name is `wanted`, or nil.
local function parameter(text, wanted)
  local at = find(text, ";", 1, true)
  while at do
    local _, equals, name = find(text, '^([^=;"]*)=[ \t]*', at + 1)
    if equals then
      local value
      if byte(text, equals + 1) == QUOTE then
        value, at = quoted(text, equals + 1)
        if not value then return nil end
      else
        value = trimmed(match(text, "^[^;]*", equals + 1))
      end
      if lower(trimmed(name)) == wanted then return value end
    end
    at = find(text, ";", at + 1, true)
  end
end

-- The boundary of the form that a body of this content-type is: empty if it does not say, nil if
-- the body is no form.
local function form_boundary(content_type)
  local kind = match(content_type or "", "^[^;]*")
  if lower(trimmed(kind)) ~= "multipart/form-data" then return nil end
  return parameter(content_type, "boundary") or ""
end

-- The place of the next delimiter at or behind `from`: of the CR LF before it, and of what follows.
local function next_delimiter(text, delimiter, from)
  local at = from
  while true do
    local first, last = find(text, delimiter, at, true)
    if not first then return nil end
    local following = sub(text, last + 1, last + 2)
    if following == "\r\n" or following == "--" then return first, last + 1 end
    at = first + 1
  end
end

local function is_named_model(headers)
  for line in string.gmatch(headers, "([^\r\n]+)") do
    local name, value = match(line, "^([^:]*):(.*)$")
    if name and lower(trimmed(name)) == "content-disposition" then
      return parameter(value, "name") == KEY and not parameter(value, "filename")
        and not parameter(value, "filename*")
    end
  end
  return false
end

-- First and last byte of each text part named "model", as a list of pairs; nil and what is wrong
-- if `text` is not a whole form with this boundary.
local function form_values(text, boundary)
  if boundary == "" then return nil, "its content-type names no boundary" end
  local delimiter = "\r\n--" .. boundary
  local at = #delimiter - 1
  if sub(text, 1, at - 1) ~= sub(delimiter, 3) then
    return nil, "it does not start with its boundary"
  end
  local values = {}
  while sub(text, at, at + 1) ~= "--" do
    if sub(text, at, at + 1) ~= "\r\n" then return nil, "its boundary is not alone on its line" end
    local close, behind = next_delimiter(text, delimiter, at)
    if not close then return nil, "its closing delimiter is missing" end
    local _, headers_end = find(text, "\r\n\r\n", at, true)
    if not headers_end or headers_end >= close then
      return nil, "a part has no empty line behind its headers"
    end
    if is_named_model(sub(text, at + 2, headers_end - 4)) then
      values[#values + 1] = { headers_end + 1, close - 1 }
    end
    at = behind
  end
  return values
end
