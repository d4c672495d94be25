-- Names the model of a request whose body the companion did not read, or refuses the request.
--
-- Before this stand, generated: MODEL_HEADER, NO_MODEL, MAX_DEPTH, MAX_NAME_BYTES,
-- MAX_ECHOED_CHARACTERS, SPACES (the characters that are white space, as keys) and REFUSALS (by
-- code: status, and the body of the answer before and behind the detail).

local KINDS = {
  [OPEN_BRACE] = "an object", [OPEN_BRACKET] = "an array", [110] = "null", [116] = "a boolean",
  [102] = "a boolean",
}

-- How many bytes the character at `at` has if it is white space, or nil.
local function space_at(text, at)
  local c = byte(text, at)
  local size = c < 0xC0 and 1 or c < 0xE0 and 2 or c < 0xF0 and 3 or 4
  return SPACES[sub(text, at, at + size - 1)] and size
end

local function is_blank(name)
  local at = 1
  while at <= #name do
    local size = space_at(name, at)
    if not size then return false end
    at = at + size
  end
  return true
end

-- Whether a registry could hold `name`.
local function is_routable(name)
  if #name > MAX_NAME_BYTES or name == NO_MODEL then return false end
  if space_at(name, 1) or SPACES[sub(name, -1)] or SPACES[sub(name, -2)] or SPACES[sub(name, -3)]
  then
    return false
  end
  -- Control characters, the second range of them as UTF-8, and halves of surrogate pairs.
  return not (find(name, "%c") or find(name, "\194[\128-\159]") or find(name, "\237[\160-\191]"))
end

local function surrogate(second, third)
  return string.format("\\ud%03x", (byte(second) - 0x80) * 0x40 + byte(third) - 0x80)
end

-- `name` as a message may repeat it.
local function shortened(name)
  local at, characters = 1, 0
  while at <= #name and characters < MAX_ECHOED_CHARACTERS do
    local c = byte(name, at)
    at = at + (c < 0xC0 and 1 or c < 0xE0 and 2 or c < 0xF0 and 3 or 4)
    characters = characters + 1
  end
  local short = at <= #name and sub(name, 1, at - 1) .. "…" or name
  return (string.gsub(short, "\237([\160-\191])([\128-\191])", surrogate))
end

local function is_utf8(text)
  local at = 1
  while at <= #text do
    local c = byte(text, at)
    local last = c < 128 and at or last_of_character(text, at, c)
    if not last then return false end
    at = last + 1
  end
  return true
end

local function wrong_place(text, at)
  if not at then return "it is nested too deeply" end
  if at > #text then return "it ends too early" end
  return "it is not JSON at byte " .. at
end

-- The names in the JSON object `text`, how many values of "model" it has, and of which kind the
-- first is; or nil, code and detail of the refusal.
local function names_in_json(text)
  local starts, wrong = model_values(text, MAX_DEPTH)
  if not starts then return nil, "invalid_json", wrong_place(text, wrong) end
  local names = {}
  for _, at in ipairs(starts) do
    if byte(text, at) == QUOTE then
      names[#names + 1] = unescaped(sub(text, at + 1, closing_quote(text, at) - 1))
      if names[#names] ~= names[1] then break end -- ambiguous, whatever else there is
    end
  end
  return names, #starts, starts[1] and (KINDS[byte(text, starts[1])] or "a number")
end

-- As names_in_json, of a form.
local function names_in_form(text, boundary)
  local spans, wrong = form_values(text, boundary)
  if not spans then return nil, "invalid_multipart", wrong end
  local names = {}
  for i, span in ipairs(spans) do
    names[i] = sub(text, span[1], span[2])
    if not is_utf8(names[i]) then
      return nil, "invalid_multipart", 'its part "model" is not UTF-8 text'
    end
  end
  return names, #spans
end

local function not_a_string(kind)
  if kind == "null" then return '"model" is null' end
  return '"model" is ' .. kind .. "; write it as a string, in quotes"
end

-- The model that `text`, a body of this content-type, asks for; or nil, code and detail.
local function model_name(text, content_type)
  local boundary = form_boundary(content_type)
  local names, count, kind
  if boundary then
    names, count, kind = names_in_form(text, boundary)
  else
    names, count, kind = names_in_json(text)
  end
  if not names then return nil, count, kind end
  if count == 0 then
    local place = boundary and "among the parts of the form" or "at the top level of the body"
    return nil, "missing_model", 'there is no "model" ' .. place
  end
  local name = names[1]
  if count == 1 and not name then return nil, "missing_model", not_a_string(kind) end
  for i = 1, count do
    if not names[i] or names[i] ~= name then
      return nil, "ambiguous_model", '"model" is given twice with different values'
    end
  end
  if is_blank(name) then return nil, "missing_model", '"model" is blank' end
  if not is_routable(name) then return nil, "model_not_found", shortened(name) end
  return name
end

local function escaped(c)
  return string.format("\\u%04x", byte(c))
end

local function refuse(handle, code, detail)
  local refusal = REFUSALS[code]
  local body = refusal[2] .. string.gsub(detail, '[%c"\\]', escaped) .. refusal[3]
  handle:respond({ [":status"] = refusal[1], ["content-type"] = "application/json" }, body)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get(MODEL_HEADER) ~= NO_MODEL then return end
  local content_type = headers:get("content-type")
  local body = handle:body() -- `headers` is gone now
  if not body or body:length() == 0 then
    return refuse(handle, "missing_model", "it has no body")
  end
  local name, code, detail = model_name(body:getBytes(0, body:length()), content_type)
  if not name then return refuse(handle, code, detail) end
  handle:headers():replace(MODEL_HEADER, name)
  handle:clearRouteCache()
end
