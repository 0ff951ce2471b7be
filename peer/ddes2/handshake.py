"""The handshake of D-DDES/2 (PROTOCOL.md, P-01 to P-04, P-14, P-15): Noise NN and NNhfs over FFDHE and ML-KEM-768."""

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from classic.crypto import e_times_two_to
from ddes2.function import TAG_BYTES, Function, rekey

VERSION = 2
KEM_KEY_BYTES = 1184
KEM_CIPHERTEXT_BYTES = 1088

# RFC 7919, appendix A: bits of the prime, and the number X that makes it a safe one.
GROUPS = {0x00: (2048, 560316), 0x10: (3072, 2625351), 0x20: (4096, 5736041)}


class Suite:
    """What a suite id means."""

    def __init__(self, number):
        self.number = number
        self.hybrid = number & 0x0F == 0x01
        bits, x = GROUPS[number & 0xF0]
        self.dh_bytes = bits // 8
        self.prime = 2**bits - 2 ** (bits - 64) + (e_times_two_to(bits - 130) + x) * 2**64 - 1
        kind = f"NNhfs_FFDHE{bits}+MLKEM768_DDESChaCha" if self.hybrid else f"NN_FFDHE{bits}_DDES"
        self.noise_name = f"Noise_{kind}_SHA256".encode()

    def public_value(self, x):
        """g^x mod p, as long as p."""
        return pow(2, x, self.prime).to_bytes(self.dh_bytes, "big")

    def shared_value(self, x, received):
        """Y^x mod p, for Y in 2..p-2."""
        value = int.from_bytes(received, "big")
        if not 2 <= value <= self.prime - 2:
            raise ValueError("a public value outside 2..p-2")
        shared = pow(value, x, self.prime)
        if shared in (0, 1, self.prime - 1):
            raise ValueError("a shared value of 0, 1 or p-1")
        return shared.to_bytes(self.dh_bytes, "big")


class Symmetric:
    """Noise's SymmetricState and its CipherState."""

    def __init__(self, suite):
        name = suite.noise_name
        self.hybrid = suite.hybrid
        self.h = name.ljust(32, b"\0") if len(name) <= 32 else hashlib.sha256(name).digest()
        self.ck = self.h
        self.key = None
        self.mix_hash(b"D-DDES/2" + bytes([VERSION, suite.number]))

    def mix_hash(self, data):
        """h = SHA-256(h ‖ data)."""
        self.h = hashlib.sha256(self.h + data).digest()

    def hkdf(self, material):
        """Noise's HKDF with two outputs."""
        temp = hmac.new(self.ck, material, hashlib.sha256).digest()
        one = hmac.new(temp, b"\1", hashlib.sha256).digest()
        return one, hmac.new(temp, one + b"\2", hashlib.sha256).digest()

    def mix_key(self, material):
        """ck, k = HKDF(ck, material); the nonce starts anew."""
        self.ck, key = self.hkdf(material)
        self.key = Function(self.hybrid, key)

    def encrypt_and_hash(self, plaintext):
        """Each of our keys seals one message here, so n is 0."""
        sealed = self.key.seal(0, self.h, plaintext)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed):
        """The other direction."""
        plaintext = self.key.open(0, self.h, sealed)
        self.mix_hash(sealed)
        return plaintext

    def split(self):
        """The key to the server, then the key to the client."""
        return self.hkdf(b"")


class Client:
    """The initiator: `first` to send, then `finish` with what came."""

    def __init__(self, suite, x, kem_seed):
        self.suite, self.x = suite, x
        self.symmetric = Symmetric(suite)
        public = suite.public_value(x)
        self.symmetric.mix_hash(public)
        self.first = public
        if suite.hybrid:
            self.kem = MLKEM768PrivateKey.from_seed_bytes(kem_seed)
            key = self.kem.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            self.symmetric.mix_hash(key)
            self.first += key
        self.symmetric.mix_hash(b"")

    def finish(self, message):
        """Message 2: h, the key to the server, the key to the client."""
        public, rest = message[: self.suite.dh_bytes], message[self.suite.dh_bytes :]
        self.symmetric.mix_hash(public)
        self.symmetric.mix_key(self.suite.shared_value(self.x, public))
        if self.suite.hybrid:
            end = KEM_CIPHERTEXT_BYTES + TAG_BYTES
            ciphertext = self.symmetric.decrypt_and_hash(rest[:end])
            self.symmetric.mix_key(self.kem.decapsulate(ciphertext))
            rest = rest[end:]
        if self.symmetric.decrypt_and_hash(rest) != b"":
            raise ValueError("message 2 has a payload")
        return self.symmetric.h, *self.symmetric.split()


def respond(suite, x, message, encapsulate):
    """The responder: message 2, h and the two keys. `encapsulate(key)` gives ciphertext and secret."""
    symmetric = Symmetric(suite)
    peer, kem_key = message[: suite.dh_bytes], message[suite.dh_bytes :]
    symmetric.mix_hash(peer)
    if suite.hybrid:
        if len(kem_key) != KEM_KEY_BYTES:
            raise ValueError("an ML-KEM key of another length")
        symmetric.mix_hash(kem_key)
    symmetric.mix_hash(b"")
    answer = suite.public_value(x)
    symmetric.mix_hash(answer)
    symmetric.mix_key(suite.shared_value(x, peer))
    if suite.hybrid:
        ciphertext, secret = encapsulate(kem_key)
        answer += symmetric.encrypt_and_hash(ciphertext)
        symmetric.mix_key(secret)
    answer += symmetric.encrypt_and_hash(b"")
    return answer, symmetric.h, *symmetric.split()


class Link:
    """The records of one direction."""

    REKEY_BLOCKS = 2**20

    def __init__(self, suite, key):
        self.hybrid, self.key = suite.hybrid, key
        self.function = Function(self.hybrid, key)
        self.n = self.blocks = 0

    def seal(self, opcode, plaintext):
        """A whole frame."""
        header = struct.pack(">II", opcode, len(plaintext) + TAG_BYTES)
        return header + self.count(len(plaintext), self.function.seal(self.n, header, plaintext))

    def open(self, frame):
        """Opcode and plaintext of a whole frame."""
        plaintext = self.function.open(self.n, frame[:8], frame[8:])
        return struct.unpack(">I", frame[:4])[0], self.count(len(plaintext), plaintext)

    def count(self, length, result):
        """P-09: both ends change the key after the same record."""
        self.n += 1
        self.blocks += (length + 7) // 8
        if self.blocks >= self.REKEY_BLOCKS:
            self.key = rekey(self.key)
            self.function = Function(self.hybrid, self.key)
            self.blocks = 0
        return result


def signed_data(namespace, message):
    """OpenSSH's PROTOCOL.sshsig."""

    def string(data):
        return struct.pack(">I", len(data)) + data

    digest = hashlib.sha512(message).digest()
    return b"SSHSIG" + string(namespace) + string(b"") + string(b"sha512") + string(digest)


def prove(namespace, seed, h, *server_key):
    """Messages 3 and 4: public key and signature."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return public + key.sign(signed_data(namespace, h + b"".join(server_key) + public))


def verify(namespace, proof, h, *server_key):
    """The public key that a proof proves; an exception if it proves none."""
    public, signature = proof[:32], proof[32:]
    Ed25519PublicKey.from_public_bytes(public).verify(signature, signed_data(namespace, h + b"".join(server_key) + public))
    return public
