-- Stands behind extract_model, where the registry names a default: it takes the place of a "model"
-- that is not there. Before this stands, generated: DEFAULT_MODEL.

local named = model_name

model_name = function(text, content_type)
  local name, code, detail = named(text, content_type)
  if code == "missing_model" and sub(detail, 1, 8) == "there is" then return DEFAULT_MODEL end
  return name, code, detail
end
