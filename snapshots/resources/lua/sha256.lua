-- SHA-256 (FIPS 180-4) of a text, as 64 hexadecimal digits. For texts of at most a few hundred bytes.

local band, bnot, bxor = bit.band, bit.bnot, bit.bxor
local ror, shr, tobit = bit.ror, bit.rshift, bit.tobit

local ROUNDS, START = {}, {}
local schedule = {}

-- The first 32 bits of the fraction of `number`.
local function fraction(number)
  return tobit(math.floor((number - math.floor(number)) * 2 ^ 32))
end

-- The square roots of the first 8 primes, and the cube roots of the first 64.
do
  local prime = 1
  while #ROUNDS < 64 do
    prime = prime + 1
    local is_prime = true
    for divisor = 2, prime - 1 do
      if prime % divisor == 0 then is_prime = false end
    end
    if is_prime then
      if #START < 8 then START[#START + 1] = fraction(math.sqrt(prime)) end
      ROUNDS[#ROUNDS + 1] = fraction(prime ^ (1 / 3))
    end
  end
end

local function word(text, at)
  local a, b, c, d = string.byte(text, at, at + 3)
  return tobit(a * 0x1000000 + b * 0x10000 + c * 0x100 + d)
end

local function spread(text, at)
  for i = 1, 16 do schedule[i] = word(text, at + 4 * (i - 1)) end
  for i = 17, 64 do
    local x, y = schedule[i - 15], schedule[i - 2]
    local s0 = bxor(ror(x, 7), ror(x, 18), shr(x, 3))
    local s1 = bxor(ror(y, 17), ror(y, 19), shr(y, 10))
    schedule[i] = tobit(schedule[i - 16] + s0 + schedule[i - 7] + s1)
  end
end

local function compress(hash)
  local a, b, c, d = hash[1], hash[2], hash[3], hash[4]
  local e, f, g, h = hash[5], hash[6], hash[7], hash[8]
  for i = 1, 64 do
    local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
    local choice = bxor(band(e, f), band(bnot(e), g))
    local t1 = tobit(h + s1 + choice + ROUNDS[i] + schedule[i])
    local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
    local majority = bxor(band(a, b), band(a, c), band(b, c))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + s0 + majority)
  end
  hash[1], hash[2], hash[3], hash[4] =
    tobit(hash[1] + a), tobit(hash[2] + b), tobit(hash[3] + c), tobit(hash[4] + d)
  hash[5], hash[6], hash[7], hash[8] =
    tobit(hash[5] + e), tobit(hash[6] + f), tobit(hash[7] + g), tobit(hash[8] + h)
end

local function sha256(text)
  local bits = #text * 8
  local length = string.char(
    shr(bits, 24), band(shr(bits, 16), 255), band(shr(bits, 8), 255), band(bits, 255)
  )
  local padding = string.rep("\0", (55 - #text) % 64)
  local padded = text .. "\128" .. padding .. "\0\0\0\0" .. length
  local hash = { unpack(START) }
  for at = 1, #padded, 64 do
    spread(padded, at)
    compress(hash)
  end
  local digits = {}
  for i = 1, 8 do digits[i] = bit.tohex(hash[i]) end
  return table.concat(digits)
end
