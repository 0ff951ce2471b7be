-- D-DDES for Wireshark and tshark: both wires, decrypted if the capture holds the secrets.
-- Made by `ddes generate dissector`; do not change it here.
--
-- Wireshark: put it into the folder of personal Lua plugins (Help, About, Folders).
-- tshark:    tshark -X lua_script:ddes.lua -r FILE -V

local OPCODES = { [10] = "key verification", [20] = "session token", [30] = "encrypted data", [40] = "encrypted aggregate result", [50] = "disconnect" }
local MESSAGES = {
    {
        wire = "classic", sender = "server", place = "body",
        name = "server_key", opcode = 10, suites = "all",
        title = "the server's public key",
        fields = {
            { name = "pem", bytes = "rest", kind = "text",
                meaning = "prime, generator and the server's public value as PEM text, unsigned: anybody on the path can put another in its place" },
        },
    },
    {
        wire = "classic", sender = "client", place = "body",
        name = "client_key", opcode = 10, suites = "all",
        title = "the client's public key",
        fields = {
            { name = "pem", bytes = "rest", kind = "text",
                meaning = "the client's public value in the server's group as PEM text, unsigned" },
        },
    },
    {
        wire = "classic", sender = "server", place = "body",
        name = "session_token", opcode = 20, suites = "all",
        title = "the session token, encrypted",
        fields = {
            { name = "ciphertext", bytes = "rest", kind = "bytes",
                meaning = "the token under Key1 twice; its last block encrypts padding alone, 08 eight times" },
        },
    },
    {
        wire = "classic", sender = "server", place = "plaintext",
        name = "session_token", opcode = 20, suites = "all",
        title = "the session token",
        fields = {
            { name = "token", bytes = 16, kind = "bytes",
                meaning = "the session's 16 random bytes, which each 30 repeats" },
        },
    },
    {
        wire = "classic", sender = "client", place = "body",
        name = "integer", opcode = 30, suites = "all",
        title = "an integer, encrypted",
        fields = {
            { name = "ciphertext", bytes = "rest", kind = "bytes",
                meaning = "integer and UUID under Key1, then Key2, block by block (ECB)" },
            { name = "token", bytes = 16, kind = "bytes",
                meaning = "the session token, in the clear from now on" },
            { name = "hmac", bytes = 32, kind = "bytes",
                meaning = "HMAC-SHA256 under Key2 of the whole body before it" },
        },
    },
    {
        wire = "classic", sender = "client", place = "plaintext",
        name = "integer", opcode = 30, suites = "all",
        title = "an integer",
        fields = {
            { name = "integer", bytes = 8, kind = "uint",
                meaning = "the integer to count" },
            { name = "client_id", bytes = 16, kind = "uuid",
                meaning = "the client's name, which the server does not read" },
        },
    },
    {
        wire = "classic", sender = "server", place = "body",
        name = "received", opcode = 30, suites = "all",
        title = "the integer is counted, or discarded",
        fields = {
            { name = "text", bytes = "rest", kind = "text",
                meaning = "what the server says, in the clear" },
        },
    },
    {
        wire = "classic", sender = "server", place = "body",
        name = "result", opcode = 40, suites = "all",
        title = "the sum, encrypted",
        fields = {
            { name = "ciphertext", bytes = "rest", kind = "bytes",
                meaning = "the sum's decimal text under Key1, then Key2, block by block (ECB)" },
            { name = "hmac", bytes = 32, kind = "bytes",
                meaning = "HMAC-SHA256 under Key2 of the whole body before it" },
        },
    },
    {
        wire = "classic", sender = "server", place = "plaintext",
        name = "result", opcode = 40, suites = "all",
        title = "the sum",
        fields = {
            { name = "sum", bytes = "rest", kind = "text",
                meaning = "the session's sum so far, in decimal" },
        },
    },
    {
        wire = "classic", sender = "either", place = "body",
        name = "disconnect", opcode = 50, suites = "all",
        title = "the end",
        fields = {
            { name = "text", bytes = "rest", kind = "text",
                meaning = "why the server ends the session, in the clear; empty from a client" },
        },
    },
    {
        wire = "v2", sender = "client", place = "body",
        name = "hello", opcode = 10, suites = "hybrid",
        title = "message 1: version, suite, ephemeral keys",
        fields = {
            { name = "version", bytes = 1, kind = "uint",
                meaning = "the protocol's version, 2" },
            { name = "suite", bytes = 1, kind = "uint",
                names = { [1] = "hybrid", [2] = "ddes", [17] = "hybrid-3072", [18] = "ddes-3072", [33] = "hybrid-4096", [34] = "ddes-4096" },
                meaning = "the one suite that the client names" },
            { name = "client_value", bytes = "group", kind = "bytes",
                meaning = "the client's Diffie-Hellman public value, g^x mod p, used once" },
            { name = "kem_key", bytes = 1184, kind = "bytes",
                meaning = "the client's ML-KEM-768 encapsulation key (FIPS 203), used once" },
        },
    },
    {
        wire = "v2", sender = "client", place = "body",
        name = "hello_ddes", opcode = 10, suites = "ddes",
        title = "message 1: version, suite, ephemeral keys",
        fields = {
            { name = "version", bytes = 1, kind = "uint",
                meaning = "the protocol's version, 2" },
            { name = "suite", bytes = 1, kind = "uint",
                names = { [1] = "hybrid", [2] = "ddes", [17] = "hybrid-3072", [18] = "ddes-3072", [33] = "hybrid-4096", [34] = "ddes-4096" },
                meaning = "the one suite that the client names" },
            { name = "client_value", bytes = "group", kind = "bytes",
                meaning = "the client's Diffie-Hellman public value, g^x mod p, used once" },
        },
    },
    {
        wire = "v2", sender = "server", place = "body",
        name = "answer", opcode = 10, suites = "hybrid",
        title = "message 2: ephemeral keys",
        fields = {
            { name = "server_value", bytes = "group", kind = "bytes",
                meaning = "the server's Diffie-Hellman public value, g^y mod p, used once" },
            { name = "kem_ciphertext", bytes = 1088, kind = "bytes",
                meaning = "the ML-KEM-768 ciphertext (FIPS 203), encrypted under the key of the Diffie-Hellman value" },
            { name = "kem_tag", bytes = 16, kind = "bytes",
                meaning = "the tag of the encrypted ML-KEM ciphertext" },
            { name = "payload_tag", bytes = 16, kind = "bytes",
                meaning = "the tag of the empty payload: the server knows the same handshake hash and key" },
        },
    },
    {
        wire = "v2", sender = "server", place = "body",
        name = "answer_ddes", opcode = 10, suites = "ddes",
        title = "message 2: ephemeral keys",
        fields = {
            { name = "server_value", bytes = "group", kind = "bytes",
                meaning = "the server's Diffie-Hellman public value, g^y mod p, used once" },
            { name = "payload_tag", bytes = 16, kind = "bytes",
                meaning = "the tag of the empty payload: the server knows the same handshake hash and key" },
        },
    },
    {
        wire = "v2", sender = "server", place = "body",
        name = "rejection", opcode = 50, suites = "all",
        title = "a refusal in the clear",
        fields = {
            { name = "reason", bytes = 1, kind = "uint",
                names = { [0] = "goodbye", [1] = "idle", [2] = "the server stops", [3] = "a newer session of the identity exists", [4] = "not authorized", [5] = "wrong token", [6] = "a record does not open", [7] = "another rule was broken", [8] = "version or suite not accepted", [9] = "too many sessions, or too fast", [10] = "an operator ended it", [11] = "the session is 24 hours old" },
                meaning = "why, unproven: anybody on the path can send this" },
            { name = "text", bytes = "rest", kind = "text",
                meaning = "the same for people, unproven" },
        },
    },
    {
        wire = "v2", sender = "server", place = "plaintext",
        name = "server_proof", opcode = 10, suites = "all",
        title = "message 3: the server's key and signature",
        fields = {
            { name = "server_key", bytes = 32, kind = "bytes",
                meaning = "the server's Ed25519 public key" },
            { name = "signature", bytes = 64, kind = "bytes",
                meaning = "Ed25519 signature of the handshake hash and the server's key, as SSHSIG" },
        },
    },
    {
        wire = "v2", sender = "client", place = "plaintext",
        name = "client_proof", opcode = 10, suites = "all",
        title = "message 4: the client's key and signature",
        fields = {
            { name = "client_key", bytes = 32, kind = "bytes",
                meaning = "the client's Ed25519 public key" },
            { name = "signature", bytes = 64, kind = "bytes",
                meaning = "Ed25519 signature of the handshake hash and both keys, as SSHSIG" },
        },
    },
    {
        wire = "v2", sender = "server", place = "plaintext",
        name = "welcome", opcode = 20, suites = "all",
        title = "the token, and where the account stands",
        fields = {
            { name = "token", bytes = 16, kind = "bytes",
                meaning = "the session's 16 random bytes, which each 30 repeats" },
            { name = "session", bytes = 8, kind = "uint",
                meaning = "the session's number in its account" },
            { name = "last_seq", bytes = 8, kind = "uint",
                meaning = "the number of the account's last counted value, which is also their count" },
            { name = "last_session", bytes = 8, kind = "uint",
                meaning = "the session that counted value last_seq" },
            { name = "sum", bytes = 16, kind = "signed",
                meaning = "the sum of all the account's counted values" },
            { name = "idle_millis", bytes = 4, kind = "uint",
                meaning = "silence after which the session ends, in milliseconds" },
            { name = "values_max", bytes = 2, kind = "uint",
                meaning = "the most integers of one 30" },
        },
    },
    {
        wire = "v2", sender = "client", place = "plaintext",
        name = "data", opcode = 30, suites = "all",
        title = "integers",
        fields = {
            { name = "token", bytes = 16, kind = "bytes",
                meaning = "the session's 16 random bytes, which each 30 repeats" },
            { name = "first_seq", bytes = 8, kind = "uint",
                meaning = "the number of the first integer in the account; the others follow" },
            { name = "count", bytes = 2, kind = "uint",
                meaning = "how many integers follow" },
            { name = "values", bytes = "rest", kind = "integers",
                meaning = "the integers to count" },
        },
    },
    {
        wire = "v2", sender = "server", place = "plaintext",
        name = "outcome", opcode = 40, suites = "all",
        title = "where the account stands",
        fields = {
            { name = "status", bytes = 1, kind = "uint",
                names = { [0] = "applied", [1] = "gap", [3] = "malformed", [4] = "ledger unavailable" },
                meaning = "what became of the 30" },
            { name = "last_seq", bytes = 8, kind = "uint",
                meaning = "the number of the account's last counted value, which is also their count" },
            { name = "sum", bytes = 16, kind = "signed",
                meaning = "the sum of all the account's counted values" },
        },
    },
    {
        wire = "v2", sender = "either", place = "plaintext",
        name = "farewell", opcode = 50, suites = "all",
        title = "goodbye",
        fields = {
            { name = "reason", bytes = 1, kind = "uint",
                names = { [0] = "goodbye", [1] = "idle", [2] = "the server stops", [3] = "a newer session of the identity exists", [4] = "not authorized", [5] = "wrong token", [6] = "a record does not open", [7] = "another rule was broken", [8] = "version or suite not accepted", [9] = "too many sessions, or too fast", [10] = "an operator ended it", [11] = "the session is 24 hours old" },
                meaning = "why the session ends" },
            { name = "scope", bytes = 1, kind = "uint",
                names = { [0] = "this session", [1] = "every session of the server" },
                meaning = "which sessions end" },
            { name = "last_seq", bytes = 8, kind = "uint",
                meaning = "the number of the account's last counted value, which is also their count" },
            { name = "sum", bytes = 16, kind = "signed",
                meaning = "the sum of all the account's counted values" },
            { name = "text", bytes = "rest", kind = "text",
                meaning = "the same for people" },
        },
    },
}

-- Numbers of 32 bits. Lua 5.2 has a library for them, Lua 5.3 and later have operators, which
-- Lua 5.2 cannot even parse: so they are in a string.
local band, bor, bxor, bnot, lshift, rshift
if bit32 then
    band, bor, bxor, bnot = bit32.band, bit32.bor, bit32.bxor, bit32.bnot
    lshift, rshift = bit32.lshift, bit32.rshift
else
    band, bor, bxor, bnot, lshift, rshift = load([[
        local M = 0xffffffff
        return function(a, b) return a & b end,
            function(a, b) return a | b end,
            function(a, b) return a ~ b end,
            function(a) return ~a & M end,
            function(a, n) return (a << n) & M end,
            function(a, n) return (a & M) >> n end
    ]])()
end
local WORD = 4294967296

local function rotr(a, n) return bor(rshift(a, n), lshift(a, 32 - n)) end
local function rotl(a, n) return bor(lshift(a, n), rshift(a, 32 - n)) end

local function word(text, at)
    local a, b, c, d = text:byte(at, at + 3)
    return ((a * 256 + b) * 256 + c) * 256 + d
end

local function bytes_of(number, count)
    local out = {}
    for i = count, 1, -1 do
        out[i] = string.char(number % 256)
        number = math.floor(number / 256)
    end
    return table.concat(out)
end

local function xor(a, b)
    local out = {}
    for i = 1, #a do out[i] = string.char(bxor(a:byte(i), b:byte(i))) end
    return table.concat(out)
end

local function from_hex(text)
    return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function to_hex(text)
    return (text:gsub(".", function(c) return string.format("%02x", c:byte()) end))
end

-- SHA-256 (FIPS 180-4), its constants from the fractional parts of roots of primes.
local SHA_K, SHA_H = {}, {}
do
    local function part(root) return math.floor((root - math.floor(root)) * WORD) end
    local number, found = 2, 0
    while found < 64 do
        local is_prime = true
        for divisor = 2, math.floor(math.sqrt(number)) do
            if number % divisor == 0 then is_prime = false break end
        end
        if is_prime then
            found = found + 1
            SHA_K[found] = part(number ^ (1 / 3))
            if found <= 8 then SHA_H[found] = part(number ^ (1 / 2)) end
        end
        number = number + 1
    end
end

local function sha256(text)
    local length = #text
    text = text .. "\128" .. string.rep("\0", (55 - length) % 64) .. bytes_of(length * 8, 8)
    local h = { table.unpack(SHA_H) }
    local w = {}
    for at = 1, #text, 64 do
        for i = 1, 16 do w[i] = word(text, at + 4 * (i - 1)) end
        for i = 17, 64 do
            local x, y = w[i - 15], w[i - 2]
            local s0 = bxor(bxor(rotr(x, 7), rotr(x, 18)), rshift(x, 3))
            local s1 = bxor(bxor(rotr(y, 17), rotr(y, 19)), rshift(y, 10))
            w[i] = (w[i - 16] + s0 + w[i - 7] + s1) % WORD
        end
        local a, b, c, d, e, f, g, hh = table.unpack(h)
        for i = 1, 64 do
            local s1 = bxor(bxor(rotr(e, 6), rotr(e, 11)), rotr(e, 25))
            local ch = bxor(band(e, f), band(bnot(e), g))
            local t1 = (hh + s1 + ch + SHA_K[i] + w[i]) % WORD
            local s0 = bxor(bxor(rotr(a, 2), rotr(a, 13)), rotr(a, 22))
            local maj = bxor(bxor(band(a, b), band(a, c)), band(b, c))
            hh, g, f, e = g, f, e, (d + t1) % WORD
            d, c, b, a = c, b, a, (t1 + s0 + maj) % WORD
        end
        local new = { a, b, c, d, e, f, g, hh }
        for i = 1, 8 do h[i] = (h[i] + new[i]) % WORD end
    end
    for i = 1, 8 do h[i] = bytes_of(h[i], 4) end
    return table.concat(h)
end

local function hmac(key, text)
    if #key > 64 then key = sha256(key) end
    key = key .. string.rep("\0", 64 - #key)
    local inner = xor(key, string.rep("\54", 64))
    local outer = xor(key, string.rep("\92", 64))
    return sha256(outer .. sha256(inner .. text))
end

-- HKDF-Expand (RFC 5869).
local function expand(key, info, length)
    local out, last, i = "", "", 1
    while #out < length do
        last = hmac(key, last .. info .. string.char(i))
        out, i = out .. last, i + 1
    end
    return out:sub(1, length)
end

-- DES (FIPS 46-3).
local PC1 = {
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3,
    60, 52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37,
    29, 21, 13, 5, 28, 20, 12, 4,
}
local PC2 = {
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52,
    31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
}
local SHIFTS = { 1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1 }
local P = {
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13,
    30, 6, 22, 11, 4, 25,
}
local S = {
    "e4d12fb83a6c5907" .. "0f74e2d1a6cb9538" .. "41e8d62bfc973a50" .. "fc8249175b3ea06d",
    "f18e6b34972dc05a" .. "3d47f28ec01a69b5" .. "0e7ba4d158c6932f" .. "d8a13f42b67c05e9",
    "a09e63f51dc7b428" .. "d709346a285ecbf1" .. "d6498f30b12c5ae7" .. "1ad069874fe3b52c",
    "7de3069a1285bc4f" .. "d8b56f03472c1ae9" .. "a690cb7df13e5284" .. "3f06a1d8945bc72e",
    "2c417ab6853fd0e9" .. "eb2c47d150fa3986" .. "421bad78f9c5630e" .. "b8c71e2d6f09a453",
    "c1af92680d34e75b" .. "af427c9561de0b38" .. "9ef528c3704a1db6" .. "432c95fabe17608d",
    "4b2ef08d3c975a61" .. "d0b7491ae35c2f86" .. "14bdc37eaf680592" .. "6bd814a7950fe23c",
    "d2846fb1a93e50c7" .. "1fd8a374c56b0e92" .. "7b419ce206adf358" .. "21e74a8dfc90356b",
}
-- S and P together: for each box and each of its 64 inputs the 32 bits that it gives.
local SP = {}
for box = 1, 8 do
    SP[box] = {}
    for input = 0, 63 do
        local row = 2 * math.floor(input / 32) + input % 2
        local column = math.floor(input / 2) % 16
        local value = tonumber(S[box]:sub(16 * row + column + 1, 16 * row + column + 1), 16)
        local whole, out = value * 2 ^ (32 - 4 * box), 0
        for i = 1, 32 do
            local is_set = math.floor(whole / 2 ^ (32 - P[i])) % 2
            out = out * 2 + is_set
        end
        SP[box][input] = math.floor(out)
    end
end

-- The 16 round keys, each as eight groups of six bits.
local function des_key(key)
    local bits, c = {}, {}
    for i = 1, 8 do
        for j = 1, 8 do bits[8 * i - 8 + j] = math.floor(key:byte(i) / 2 ^ (8 - j)) % 2 end
    end
    for i = 1, 56 do c[i] = bits[PC1[i]] end
    local keys = {}
    for round = 1, 16 do
        for _ = 1, SHIFTS[round] do
            local first, second = c[1], c[29]
            for i = 1, 27 do c[i], c[28 + i] = c[i + 1], c[29 + i] end
            c[28], c[56] = first, second
        end
        local groups = {}
        for group = 1, 8 do
            local value = 0
            for i = 1, 6 do value = value * 2 + c[PC2[6 * group - 6 + i]] end
            groups[group] = math.floor(value)
        end
        keys[round] = groups
    end
    return keys
end

local function permute(left, right)
    local out = {}
    for half = 1, 2 do
        local value = 0
        for row = 0, 3 do
            for column = 7, 0, -1 do
                local at = 8 * column + 2 * row + (half == 1 and 1 or 0)
                local from = at < 32 and left or right
                value = value * 2 + math.floor(from / 2 ^ (31 - at % 32)) % 2
            end
        end
        out[half] = math.floor(value)
    end
    return out[1], out[2]
end

-- The inverse of the initial permutation.
local FROM = {}
for i = 1, 64 do
    local a, b = 0, 0
    if i <= 32 then a = math.floor(2 ^ (32 - i)) else b = math.floor(2 ^ (64 - i)) end
    local l, r = permute(a, b)
    for j = 1, 32 do
        if math.floor(l / 2 ^ (32 - j)) % 2 == 1 then FROM[i] = j end
        if math.floor(r / 2 ^ (32 - j)) % 2 == 1 then FROM[i] = 32 + j end
    end
end

local function unpermute(left, right)
    local a, b = 0, 0
    for i = 1, 64 do
        local at = FROM[i]
        local from = at <= 32 and left or right
        local value = math.floor(from / 2 ^ (32 - (at - 1) % 32 - 1)) % 2
        if i <= 32 then a = a * 2 + value else b = b * 2 + value end
    end
    return math.floor(a), math.floor(b)
end

local function rounds(left, right, keys, first, last, step)
    for round = first, last, step do
        local key = keys[round]
        local e = bor(lshift(right, 1), rshift(right, 31))
        local out = 0
        for box = 8, 1, -1 do
            -- Six bits around each group of four, the lowest group first.
            out = bxor(out, SP[box][bxor(band(e, 63), key[box])])
            e = bor(rshift(e, 4), lshift(e, 28))
        end
        left, right = right, bxor(left, out)
    end
    return right, left
end

-- DES under one key, then under another; the permutations between them cancel.
local function double(keys1, keys2, block, decrypts)
    local left, right = permute(word(block, 1), word(block, 5))
    if decrypts then
        left, right = rounds(left, right, keys2, 16, 1, -1)
        left, right = rounds(left, right, keys1, 16, 1, -1)
    else
        left, right = rounds(left, right, keys1, 1, 16, 1)
        left, right = rounds(left, right, keys2, 1, 16, 1)
    end
    left, right = unpermute(left, right)
    return bytes_of(left, 4) .. bytes_of(right, 4)
end

-- ECB without its padding; nil if the padding is wrong.
local function ecb_open(keys1, keys2, text)
    if #text == 0 or #text % 8 ~= 0 then return nil end
    local out = {}
    for at = 1, #text, 8 do
        out[#out + 1] = double(keys1, keys2, text:sub(at, at + 7), true)
    end
    out = table.concat(out)
    local count = out:byte(-1)
    if count < 1 or count > 8 or out:sub(-count) ~= string.rep(string.char(count), count) then
        return nil
    end
    return out:sub(1, -count - 1)
end

-- ChaCha20 (RFC 8439), block counter from 0.
local function chacha(key, nonce, length)
    local function little(text, at)
        local a, b, c, d = text:byte(at, at + 3)
        return ((d * 256 + c) * 256 + b) * 256 + a
    end
    local out, counter = {}, 0
    while #out * 64 < length do
        local s = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }
        for i = 0, 7 do s[5 + i] = little(key, 4 * i + 1) end
        s[13] = counter
        for i = 0, 2 do s[14 + i] = little(nonce, 4 * i + 1) end
        local x = { table.unpack(s) }
        local function quarter(a, b, c, d)
            x[a] = (x[a] + x[b]) % WORD x[d] = rotl(bxor(x[d], x[a]), 16)
            x[c] = (x[c] + x[d]) % WORD x[b] = rotl(bxor(x[b], x[c]), 12)
            x[a] = (x[a] + x[b]) % WORD x[d] = rotl(bxor(x[d], x[a]), 8)
            x[c] = (x[c] + x[d]) % WORD x[b] = rotl(bxor(x[b], x[c]), 7)
        end
        for _ = 1, 10 do
            quarter(1, 5, 9, 13) quarter(2, 6, 10, 14) quarter(3, 7, 11, 15) quarter(4, 8, 12, 16)
            quarter(1, 6, 11, 16) quarter(2, 7, 12, 13) quarter(3, 8, 9, 14) quarter(4, 5, 10, 15)
        end
        for i = 1, 16 do x[i] = bytes_of((x[i] + s[i]) % WORD, 4):reverse() end
        out[#out + 1] = table.concat(x)
        counter = counter + 1
    end
    return table.concat(out):sub(1, length)
end

-- Key1 and Key2 of D-DDES/2 (rule P-06).
local PAIRS = { [0x01] = 0x01, [0x1f] = 0x0e, [0xe0] = 0xf1, [0xfe] = 0xfe }

-- Whether it is one of the 64 weak, semi-weak and possibly weak keys.
local function is_weak(key)
    local sum = 0
    for i = 1, 4 do
        if PAIRS[key:byte(i)] ~= key:byte(4 + i) then return false end
        sum = bxor(sum, key:byte(i))
    end
    return sum == 0
end

local function odd_parity(key)
    return (key:gsub(".", function(c)
        local byte, ones = c:byte(), 0
        for i = 1, 7 do ones = ones + math.floor(byte / 2 ^ i) % 2 end
        return string.char(byte - byte % 2 + (ones + 1) % 2)
    end))
end

local function fix(key)
    if not is_weak(key) then return key end
    return key:sub(1, 7) .. string.char(bxor(key:byte(8), 0xf0))
end

local function key_pair(key1, key2)
    key1, key2 = fix(odd_parity(key1)), fix(odd_parity(key2))
    if key1 == key2 then
        key2 = fix(odd_parity(key2:sub(1, 7) .. string.char(bxor(key2:byte(8), 0x0e))))
    end
    return key1, key2
end

-- A key of a cipher function, expanded (rule P-05).
local function cipher_key(key, is_hybrid)
    local info = is_hybrid and "D-DDES/2 DDESChaCha" or "D-DDES/2 DDES"
    local okm = expand(key, info, is_hybrid and 80 or 48)
    local key1, key2 = key_pair(okm:sub(1, 8), okm:sub(9, 16))
    return {
        key = key,
        keys1 = des_key(key1),
        keys2 = des_key(key2),
        mac = okm:sub(17, 48),
        chacha = is_hybrid and okm:sub(49, 80) or nil,
        blocks = 0,
    }
end

local function tag_of(key, n, ad, text)
    return hmac(key.mac, bytes_of(n, 8) .. bytes_of(#ad, 8) .. ad .. text):sub(1, 16)
end

local function decrypt(key, n, text)
    local stream = {}
    for i = 0, math.ceil(#text / 8) - 1 do
        local high, low = math.floor(n / 65536), (n % 65536) * 65536 + i
        stream[i + 1] = double(key.keys1, key.keys2, bytes_of(high, 4) .. bytes_of(low, 4), false)
    end
    text = xor(text, table.concat(stream))
    if key.chacha then
        text = xor(text, chacha(key.chacha, "\0\0\0\0" .. bytes_of(n, 8):reverse(), #text))
    end
    return text
end

-- An integer of 16 bytes in two's complement, as decimal digits.
local function decimal(text)
    local is_negative = text:byte(1) >= 128
    local digits = { 0 }
    for i = 1, #text do
        local carry = text:byte(i)
        if is_negative then carry = 255 - carry end
        for at = 1, #digits do
            local value = digits[at] * 256 + carry
            digits[at], carry = value % 10, math.floor(value / 10)
        end
        while carry > 0 do
            digits[#digits + 1], carry = carry % 10, math.floor(carry / 10)
        end
    end
    if is_negative then
        local at = 1
        while digits[at] == 9 do digits[at], at = 0, at + 1 end
        digits[at] = (digits[at] or 0) + 1
    end
    for i, digit in ipairs(digits) do digits[i] = string.format("%d", digit) end
    local shown = table.concat(digits):reverse()
    return (is_negative and "-" or "") .. shown
end

-- The protocol for Wireshark.
local ddes = Proto("ddes", "D-DDES")
local F = {
    opcode = ProtoField.uint32("ddes.opcode", "Opcode", base.DEC, OPCODES),
    length = ProtoField.uint32("ddes.length", "Length", base.DEC),
    ciphertext = ProtoField.bytes("ddes.record.ciphertext", "Ciphertext"),
    tag = ProtoField.bytes("ddes.record.tag", "Tag"),
    record = ProtoField.uint64("ddes.record.number", "Record number", base.DEC),
    message = ProtoField.string("ddes.message", "Message"),
    tag_ok = ProtoField.bool("ddes.check.tag", "Tag is right"),
    hmac_ok = ProtoField.bool("ddes.check.hmac", "HMAC is right"),
    token_ok = ProtoField.bool("ddes.check.token", "Token is the session's"),
    padding_ok = ProtoField.bool("ddes.check.padding", "Padding is right"),
}
local all = {}
for _, field in pairs(F) do all[#all + 1] = field end
for _, message in ipairs(MESSAGES) do
    for _, field in ipairs(message.fields) do
        local place = "ddes." .. message.wire .. "." .. message.name .. "." .. field.name
        local title = field.name:gsub("_", " ")
        if field.kind == "uint" then
            local kinds = { [1] = "uint8", [2] = "uint16", [4] = "uint32", [8] = "uint64" }
            field.item = ProtoField[kinds[field.bytes]](place, title, base.DEC, field.names,
                nil, field.meaning)
        elseif field.kind == "integers" then
            field.item = ProtoField.int64(place, title, base.DEC, nil, nil, field.meaning)
        elseif field.kind == "text" or field.kind == "signed" then
            field.item = ProtoField.string(place, title, base.UNICODE, field.meaning)
        elseif field.kind == "uuid" then
            field.item = ProtoField.guid(place, title, field.meaning)
        else
            field.item = ProtoField.bytes(place, title, base.NONE, field.meaning)
        end
        all[#all + 1] = field.item
    end
end
ddes.fields = all
local bad_tag = ProtoExpert.new("ddes.bad_tag", "The record does not open",
    expert.group.CHECKSUM, expert.severity.ERROR)
local bad_hmac = ProtoExpert.new("ddes.bad_hmac", "The HMAC is wrong",
    expert.group.CHECKSUM, expert.severity.ERROR)
ddes.experts = { bad_tag, bad_hmac }
ddes.prefs.secrets = Pref.string("File of secrets", "",
    "Secrets of sessions with their keys, one JSON object a line, for captures that hold none")

local tcp_stream = Field.new("tcp.stream")
local comment = Field.new("frame.comment")

-- What is known of each TCP stream, and what was found in each frame when it came first.
local streams, results, from_file = {}, {}, nil

function ddes.init()
    streams, results, from_file = {}, {}, nil
end

local function stream_of(number)
    streams[number] = streams[number] or { seen = { client = 0, server = 0 } }
    return streams[number]
end

-- The members of one object of secrets that this program needs.
local function secrets_of(text)
    if not text:find('"ddes_secrets"%s*:%s*1%D') then return nil end
    local secrets = {}
    for _, name in ipairs({ "key1", "key2", "to_server", "to_client", "client", "server" }) do
        secrets[name] = text:match('"' .. name .. '"%s*:%s*"([^"]*)"')
    end
    local handshake = text:match('"handshake_keys"%s*:%s*%[([^%]]*)%]')
    secrets.handshake = {}
    for key in (handshake or ""):gmatch('"(%x+)"') do
        secrets.handshake[#secrets.handshake + 1] = from_hex(key)
    end
    for _, name in ipairs({ "key1", "key2", "to_server", "to_client" }) do
        secrets[name] = secrets[name] and from_hex(secrets[name])
    end
    return secrets
end

local function file_secrets()
    if from_file then return from_file end
    from_file = {}
    local file = ddes.prefs.secrets ~= "" and io.open(ddes.prefs.secrets, "r")
    if file then
        for line in file:lines() do from_file[#from_file + 1] = secrets_of(line) end
        file:close()
    end
    return from_file
end

local function address(ip, port)
    ip = tostring(ip)
    return (ip:find(":", 1, true) and "[" .. ip .. "]" or ip) .. ":" .. tostring(port)
end

-- The secrets of a stream: those of its packets, else those of the file for its addresses.
local function find_secrets(stream, client, server)
    if stream.secrets then return stream.secrets end
    for _, secrets in ipairs(file_secrets()) do
        local is_client = not secrets.client or secrets.client == client
        local is_server = not secrets.server or secrets.server == server
        if is_client and is_server then stream.secrets = secrets return secrets end
    end
end

local function message_of(wire, opcode, sender, place, is_hybrid)
    for _, message in ipairs(MESSAGES) do
        if message.wire == wire and message.opcode == opcode and message.place == place
            and (message.sender == sender or message.sender == "either")
            and (message.suites == "all" or message.suites == (is_hybrid and "hybrid" or "ddes"))
        then
            return message
        end
    end
end

local SUITE_BYTES = {
    [0x01] = 1442, [0x11] = 1570, [0x21] = 1698, [0x02] = 258, [0x12] = 386, [0x22] = 514,
}
local GROUP_BYTES = { [0] = 256, [1] = 384, [2] = 512 }

-- Which wire the first frame of a stream belongs to, and who is its client.
local function begin(stream, opcode, body, from, to)
    if stream.wire then return end
    local suite = body:byte(2)
    local is_hello = opcode == 10 and body:byte(1) == 2 and SUITE_BYTES[suite] == #body
    if is_hello then
        stream.wire, stream.client, stream.server = "v2", from, to
        stream.is_hybrid = suite % 16 == 1
        stream.group = GROUP_BYTES[math.floor(suite / 16)]
    elseif body:find("^%-%-%-%-%-BEGIN") or opcode == 20 or opcode == 40 then
        stream.wire, stream.client, stream.server = "classic", to, from
    else
        stream.wire, stream.client, stream.server = "v2", from, to
    end
end

-- The next record of a direction: its plaintext if the keys open it.
local function open_record(stream, sender, header, body)
    local secrets = stream.secrets
    local first = secrets and (sender == "client" and secrets.to_server or secrets.to_client)
    if not first or stream.is_hybrid == nil then return {} end
    stream.records = stream.records or {}
    local side = stream.records[sender]
    if not side then
        side = { key = cipher_key(first, stream.is_hybrid), n = 0 }
        stream.records[sender] = side
    end
    local text, tag = body:sub(1, -17), body:sub(-16)
    local result = { record = side.n, tag_ok = tag_of(side.key, side.n, header, text) == tag }
    if result.tag_ok then
        result.plain = decrypt(side.key, side.n, text)
        side.n = side.n + 1
        side.key.blocks = side.key.blocks + math.ceil(#text / 8)
        if side.key.blocks >= 1048576 then
            side.key = cipher_key(expand(side.key.key, "D-DDES/2 rekey", 32), stream.is_hybrid)
        end
    end
    return result
end

-- What a classic body holds.
local function open_classic(stream, sender, opcode, body)
    local secrets, result = stream.secrets, {}
    if not secrets or not secrets.key1 or not secrets.key2 then return result end
    stream.keys1 = stream.keys1 or des_key(secrets.key1)
    stream.keys2 = stream.keys2 or des_key(secrets.key2)
    if opcode == 20 and sender == "server" then
        result.plain = ecb_open(stream.keys1, stream.keys1, body)
        result.padding_ok = result.plain ~= nil
        stream.token = result.plain
    elseif opcode == 30 and sender == "client" and #body >= 48 then
        result.hmac_ok = hmac(secrets.key2, body:sub(1, -33)) == body:sub(-32)
        if stream.token then result.token_ok = body:sub(-48, -33) == stream.token end
        result.plain = ecb_open(stream.keys1, stream.keys2, body:sub(1, -49))
        result.padding_ok = result.plain ~= nil
    elseif opcode == 40 and sender == "server" and #body >= 32 then
        result.hmac_ok = hmac(secrets.key2, body:sub(1, -33)) == body:sub(-32)
        result.plain = ecb_open(stream.keys1, stream.keys2, body:sub(1, -33))
        result.padding_ok = result.plain ~= nil
    end
    return result
end

-- Everything that depends on what came before, once for each frame.
local function first_look(stream, opcode, header, body, from, to)
    begin(stream, opcode, body, from, to)
    find_secrets(stream, stream.client, stream.server)
    local sender = from == stream.client and "client" or "server"
    local nth = stream.seen[sender]
    if opcode == 10 then stream.seen[sender] = nth + 1 end
    if stream.wire == "classic" then
        local result = open_classic(stream, sender, opcode, body)
        result.message = message_of("classic", opcode, sender, "body")
        result.inner = message_of("classic", opcode, sender, "plaintext")
        return result
    end
    local is_clear = opcode == 10 and nth == 0
        or opcode == 50 and sender == "server" and stream.seen.server == 0
    if is_clear then
        return { message = message_of("v2", opcode, sender, "body", stream.is_hybrid) }
    end
    local result = open_record(stream, sender, header, body)
    result.is_record = true
    result.inner = message_of("v2", opcode, sender, "plaintext", stream.is_hybrid)
    if result.plain and opcode == 20 then stream.token = result.plain:sub(1, 16) end
    if result.plain and opcode == 30 and stream.token then
        result.token_ok = result.plain:sub(1, 16) == stream.token
    end
    return result
end

-- Adds the fields of a message that the range holds.
local function add_fields(tree, message, range, group)
    local fixed = 0
    for _, field in ipairs(message.fields) do
        local bytes = field.bytes == "group" and (group or 0) or field.bytes
        if bytes ~= "rest" then fixed = fixed + bytes end
    end
    local rest, at = range:len() - fixed, 0
    if rest < 0 then return end
    for _, field in ipairs(message.fields) do
        local bytes = field.bytes
        if bytes == "group" then bytes = group or 0 end
        if bytes == "rest" then bytes = rest end
        if bytes > 0 then
            local part = range:range(at, bytes)
            if field.kind == "integers" then
                for i = 0, bytes - 8, 8 do tree:add(field.item, part:range(i, 8)) end
            elseif field.kind == "signed" then
                tree:add(field.item, part, decimal(part:raw()))
            else
                tree:add(field.item, part)
            end
        elseif field.kind == "text" then
            tree:add(field.item, range, "")
        end
        at = at + bytes
    end
end

local CHECKS = {
    { "tag_ok", F.tag_ok, bad_tag }, { "hmac_ok", F.hmac_ok, bad_hmac },
    { "token_ok", F.token_ok }, { "padding_ok", F.padding_ok },
}

local function dissect(tvb, pinfo, tree)
    pinfo.cols.protocol = "D-DDES"
    local length = tvb:len()
    local opcode = tvb:range(0, 4):uint()
    local number = tcp_stream().value
    local body = length > 8 and tvb:range(8):raw() or ""
    local key = pinfo.number .. ":" .. opcode .. ":" .. length .. ":" .. body:sub(-32)
    local stream = stream_of(number)
    local result = results[key]
    if not result then
        local from, to = address(pinfo.src, pinfo.src_port), address(pinfo.dst, pinfo.dst_port)
        result = first_look(stream, opcode, tvb:range(0, 8):raw(), body, from, to)
        results[key] = result
    end
    local title = result.inner and result.inner.title or result.message and result.message.title
    title = title or "unknown message"
    local sub = tree:add(ddes, tvb:range(), "D-DDES, " .. opcode .. ": " .. title)
    sub:add(F.opcode, tvb:range(0, 4))
    sub:add(F.length, tvb:range(4, 4))
    sub:add(F.message, title):set_generated()
    if result.is_record and length >= 24 then
        if length > 24 then sub:add(F.ciphertext, tvb:range(8, length - 24)) end
        sub:add(F.tag, tvb:range(length - 16, 16))
    elseif result.message and length > 8 then
        add_fields(sub, result.message, tvb:range(8), stream.group)
    end
    if result.record then sub:add(F.record, UInt64(result.record)):set_generated() end
    for _, check in ipairs(CHECKS) do
        local passed = result[check[1]]
        if passed ~= nil then
            local item = sub:add(check[2], passed)
            item:set_generated()
            if not passed and check[3] then item:add_proto_expert_info(check[3]) end
        end
    end
    if result.plain and #result.plain > 0 then
        local inside = ByteArray.new(to_hex(result.plain)):tvb("Decrypted")
        local below = sub:add(ddes, inside:range(), "Decrypted: " .. title)
        if result.inner then add_fields(below, result.inner, inside:range()) end
    end
    pinfo.cols.info:append(" [" .. opcode .. " " .. title .. "]")
    return length
end

local function frame_length(tvb, _, offset)
    return 8 + tvb:range(offset + 4, 4):uint()
end

function ddes.dissector(tvb, pinfo, tree)
    dissect_tcp_pdus(tvb, tree, 8, frame_length, dissect)
    return tvb:len()
end

-- On any port: a stream whose first frame can only be one of ours.
local function is_ours(tvb)
    if tvb:len() < 10 then return false end
    local opcode, length = tvb:range(0, 4):uint(), tvb:range(4, 4):uint()
    if opcode ~= 10 or length > 65536 then return false end
    local is_hello = tvb:range(8, 1):uint() == 2
        and SUITE_BYTES[tvb:range(9, 1):uint()] == length
    local is_pem = tvb:len() >= 18 and tvb:range(8, 10):raw() == "-----BEGIN"
    return is_hello or is_pem
end

ddes:register_heuristic("tcp", function(tvb, pinfo, tree)
    if not is_ours(tvb) then return false end
    pinfo.conversation = ddes
    ddes.dissector(tvb, pinfo, tree)
    return true
end)
DissectorTable.get("tcp.port"):add(5566, ddes)

-- Secrets are in the comment of a connection's first packet, which carries no data.
local secrets_proto = Proto("ddes_secrets", "D-DDES secrets")
function secrets_proto.dissector(_, pinfo)
    if pinfo.visited then return end
    local text, number = comment(), tcp_stream()
    if text and number then
        local secrets = secrets_of(tostring(text.value))
        if secrets then stream_of(number.value).secrets = secrets end
    end
end
register_postdissector(secrets_proto)
