"""The cipher functions DDES and DDESChaCha (PROTOCOL.md, P-05 to P-07), on pycryptodome and cryptography."""

import hashlib
import hmac
import struct

from Crypto.Cipher import DES, ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

TAG_BYTES = 16

# The weak and semi-weak patterns of the two halves of a key: four bits of even weight, repeated.
EVEN = [pattern for pattern in range(16) if bin(pattern).count("1") % 2 == 0]


class TagError(Exception):
    """The tag is wrong: nothing was decrypted."""


def expand(key, info, length):
    """HKDF-Expand-SHA256."""
    return HKDFExpand(SHA256(), length, info).derive(key)


def rekey(key):
    """REKEY(k)."""
    return expand(key, b"D-DDES/2 rekey", 32)


def odd_parity(key):
    """The lowest bit of each byte so that the byte has an odd number of ones."""
    return bytes((byte & 0xFE) | (bin(byte >> 1).count("1") + 1) % 2 for byte in key)


def weak_keys():
    """All 64, from the patterns of their halves C and D."""
    for c in EVEN:
        for d in EVEN:
            key = bytes(
                (0xE0 if i < 4 else 0xF0) * (c >> (3 - i % 4) & 1) | (0x1E if i < 4 else 0x0E) * (d >> (3 - i % 4) & 1)
                for i in range(8)
            )
            yield odd_parity(key)


WEAK = frozenset(weak_keys())


def fix(key):
    """K[7] ^= 0xF0 if the key is weak."""
    return key[:7] + bytes([key[7] ^ 0xF0]) if key in WEAK else key


def key_pair(key1, key2):
    """Key1 and Key2: odd parity, none weak, not equal."""
    key1, key2 = fix(odd_parity(key1)), fix(odd_parity(key2))
    if key1 == key2:
        key2 = fix(odd_parity(key2[:7] + bytes([key2[7] ^ 0x0E])))
    return key1, key2


class Function:
    """One key of a cipher function, expanded."""

    def __init__(self, hybrid, key):
        info, length = (b"D-DDES/2 DDESChaCha", 80) if hybrid else (b"D-DDES/2 DDES", 48)
        okm = expand(key, info, length)
        self.key1, self.key2 = key_pair(okm[:8], okm[8:16])
        self.mac_key = okm[16:48]
        self.chacha_key = okm[48:]

    def keystream(self, n, length):
        """DDES-CTR, for DDESChaCha with ChaCha20's."""
        blocks = b"".join(struct.pack(">Q", n << 16 | i) for i in range((length + 7) // 8))
        inner = DES.new(self.key1, DES.MODE_ECB).encrypt(blocks)
        stream = DES.new(self.key2, DES.MODE_ECB).encrypt(inner)[:length]
        if self.chacha_key:
            # RFC 8439's nonce of 12 bytes.
            other = ChaCha20.new(key=self.chacha_key, nonce=bytes(4) + struct.pack("<Q", n)).encrypt(bytes(length))
            stream = bytes(a ^ b for a, b in zip(stream, other))
        return stream

    def tag(self, n, ad, ciphertext):
        """HMAC-SHA256 of n, the length of ad, ad and the ciphertext: its first 16 bytes."""
        message = struct.pack(">QQ", n, len(ad)) + ad + ciphertext
        return hmac.new(self.mac_key, message, hashlib.sha256).digest()[:TAG_BYTES]

    def seal(self, n, ad, plaintext):
        """Ciphertext and tag."""
        ciphertext = bytes(a ^ b for a, b in zip(plaintext, self.keystream(n, len(plaintext))))
        return ciphertext + self.tag(n, ad, ciphertext)

    def open(self, n, ad, sealed):
        """The plaintext; the tag is checked first."""
        ciphertext, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
        if not hmac.compare_digest(tag, self.tag(n, ad, ciphertext)):
            raise TagError
        return bytes(a ^ b for a, b in zip(ciphertext, self.keystream(n, len(ciphertext))))
