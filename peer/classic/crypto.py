"""The classic profile's cryptography. Everything weak in it is deliberate: see its section in PROTOCOL.md."""

import hmac
import warnings

from Crypto.Cipher import DES
from Crypto.Hash import HMAC, SHA256
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.utils import CryptographyDeprecationWarning

# Finite-field Diffie-Hellman is deprecated in this library, which is why requirements.txt pins it.
warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields", category=CryptographyDeprecationWarning)
from cryptography.hazmat.primitives.asymmetric import dh  # noqa: E402

BLOCK_BYTES = 8
TOKEN_BYTES = 16
HMAC_BYTES = 32
FRESH_BITS = 2048


class CryptoError(Exception):
    """What the peer sent does not verify or does not decrypt."""


def e_times_two_to(bits):
    """floor(e * 2^bits), from the series 1/0! + 1/1! + 1/2! + ..."""
    guard_bits = 64
    term = 1 << (bits + guard_bits)
    total, k = 0, 0
    while term:
        total += term
        k += 1
        term //= k
    return total >> guard_bits


def ffdhe2048():
    """RFC 7919, A.1: p = 2^2048 - 2^1984 + (floor(2^1918 e) + 560316) 2^64 - 1, g = 2."""
    p = (1 << 2048) - (1 << 1984) + ((e_times_two_to(1918) + 560316) << 64) - 1
    return dh.DHParameterNumbers(p, 2).parameters()


def fresh_group():
    """A new safe prime of 2048 bits, g = 2: 1 s to 60 s, for each connection of the original server."""
    return dh.generate_parameters(generator=2, key_size=FRESH_BITS)


def group_from_pem(pem):
    """A group made before (PEM, `DH PARAMETERS`)."""
    return serialization.load_pem_parameters(pem)


def public_pem(private_key):
    """PEM of X.509 SubjectPublicKeyInfo: PKCS#3 dhKeyAgreement, or X9.42 where OpenSSL knows the group."""
    return private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_public_pem(pem):
    """The peer's public key in either form."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CryptoError(f"no public key: {error}") from error
    if not isinstance(key, dh.DHPublicKey):
        raise CryptoError("the public key is no Diffie-Hellman key")
    return key


def session_keys(private_key, peer_public_key):
    """okm = HKDF-SHA256(ikm = g^(ab) mod p as long as p, no salt, info "handshake data", L = 16); Key1 || Key2 = okm."""
    try:
        if peer_public_key.parameters().parameter_numbers().p != private_key.parameters().parameter_numbers().p:
            raise CryptoError("the peer answered over another group")
        secret = private_key.exchange(peer_public_key)
    except ValueError as error:
        raise CryptoError(f"no shared secret: {error}") from error
    okm = HKDF(hashes.SHA256(), length=16, salt=None, info=b"handshake data").derive(secret)
    return okm[:8], okm[8:]


def pad(message):
    """PKCS#7: n bytes of value n, 1 <= n <= 8."""
    count = BLOCK_BYTES - len(message) % BLOCK_BYTES
    return message + bytes([count]) * count


def unpad_unchecked(padded):
    """The original's: cuts as many bytes as the last byte says and checks nothing."""
    return padded[: -padded[-1]] if padded and padded[-1] else b""


def ddes_encrypt(key1, key2, message):
    """DDES(m) = E(Key2, E(Key1, pad(m))), DES in ECB."""
    return DES.new(key2, DES.MODE_ECB).encrypt(DES.new(key1, DES.MODE_ECB).encrypt(pad(message)))


def ddes_decrypt(key1, key2, ciphertext):
    """D(Key1, D(Key2, c)) without its padding."""
    if not ciphertext or len(ciphertext) % BLOCK_BYTES:
        raise CryptoError("the ciphertext is not whole blocks")
    padded = DES.new(key1, DES.MODE_ECB).decrypt(DES.new(key2, DES.MODE_ECB).decrypt(ciphertext))
    return unpad_unchecked(padded)


def mac(key2, message):
    """HMAC-SHA256(Key2, m): the integrity key is one of the cipher's keys."""
    return HMAC.new(key2, message, SHA256).digest()


def equal(one, other):
    """Compared in constant time."""
    return hmac.compare_digest(one, other)


def seal_token(key1, token):
    """Body of opcode 20: E(Key1, E(Key1, pad(token))), both passes under Key1."""
    return ddes_encrypt(key1, key1, token)


def open_token(key1, body):
    """The token in a body of opcode 20."""
    token = ddes_decrypt(key1, key1, body)
    if len(token) != TOKEN_BYTES:
        raise CryptoError("the session token is not 16 bytes")
    return token


def seal_value(keys, value, uuid_bytes, token):
    """Body of opcode 30: c || token || HMAC(Key2, c || token), c = DDES(value u64 || UUID)."""
    signed = ddes_encrypt(*keys, value.to_bytes(8, "big") + uuid_bytes) + token
    return signed + mac(keys[1], signed)


def split_value(body):
    """(ciphertext, token, HMAC) of a body of opcode 30; a body too short gives parts that do not verify."""
    cut = max(0, len(body) - HMAC_BYTES)
    token_at = max(0, cut - TOKEN_BYTES)
    return body[:token_at], body[token_at:cut], body[cut:]


def seal_sum(keys, total):
    """Body of opcode 40: c || HMAC(Key2, c), c = DDES(decimal text)."""
    ciphertext = ddes_encrypt(*keys, str(total).encode())
    return ciphertext + mac(keys[1], ciphertext)


def open_sum(keys, body):
    """The sum in a body of opcode 40."""
    ciphertext, tag = body[:-HMAC_BYTES], body[-HMAC_BYTES:]
    if not equal(mac(keys[1], ciphertext), tag):
        raise CryptoError("the result's HMAC does not verify")
    text = ddes_decrypt(*keys, ciphertext)
    if not text.isdigit():
        raise CryptoError("the result is no decimal number")
    return int(text)
