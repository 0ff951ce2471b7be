"""The messages of D-DDES/2 (PROTOCOL.md, P-10 to P-14) and both ends of a session's opening, over a blocking socket."""

import secrets
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_ssh_private_key

from ddes2 import handshake
from ddes2.function import TagError

BODY_MAX = 65535
SUITES = {"hybrid": 0x01, "hybrid-3072": 0x11, "hybrid-4096": 0x21, "ddes": 0x02, "ddes-3072": 0x12, "ddes-4096": 0x22}
EXPONENT_BITS = {0x00: 256, 0x10: 288, 0x20: 336}
BYE, IDLE, SHUTTING_DOWN, SUPERSEDED, NOT_AUTHORIZED, BAD_TOKEN, BAD_RECORD, PROTOCOL, UNSUPPORTED = range(9)
APPLIED, GAP, _, MALFORMED = range(4)


class Refused(Exception):
    """This side ends the session: the reason of its 50."""

    def __init__(self, reason, text):
        super().__init__(text)
        self.reason = reason


class Ended(Exception):
    """The other side's 50, or the end of the stream without one."""


class Unproven(Ended):
    """A 50 in the clear, or a sealed one before the server's key was proven and found known: nobody vouches for it (P-26)."""


def read_frame(sock, most=BODY_MAX):
    """A whole frame, header and body; None at an end of the stream between frames."""
    header = read_exactly(sock, 8)
    if header is None:
        return None
    length = struct.unpack(">I", header[4:])[0]
    if length > most:
        raise Refused(PROTOCOL, "a frame too long")
    body = read_exactly(sock, length)
    if body is None:
        raise Ended("the stream ended inside a frame")
    return header + body


def read_exactly(sock, count):
    """`count` bytes, or None if the stream ends before the first."""
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            if data:
                raise Ended("the stream ended inside a frame")
            return None
        data += part
    return data


def private_key(path):
    """The 32-byte seed of an OpenSSH Ed25519 file without a passphrase."""
    with open(path, "rb") as file:
        key = load_ssh_private_key(file.read(), password=None)
    return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def public_key(line):
    """The 32 bytes of a line `ssh-ed25519 AAAA…`."""
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    return load_ssh_public_key(line.encode()).public_bytes(Encoding.Raw, PublicFormat.Raw)


def exponent(suite):
    """A private key: random bits, the top one set."""
    bits = EXPONENT_BITS[suite.number & 0xF0]
    return secrets.randbits(bits) | 1 << (bits - 1)


class Channel:
    """Records both ways."""

    def __init__(self, sock, suite, outwards, inwards):
        self.sock = sock
        self.sealer = handshake.Link(suite, outwards)
        self.opener = handshake.Link(suite, inwards)

    def send(self, opcode, plaintext):
        """One frame."""
        self.sock.sendall(self.sealer.seal(opcode, plaintext))

    def receive(self):
        """Opcode and plaintext."""
        frame = read_frame(self.sock)
        if frame is None:
            raise Ended("the stream ended without a 50")
        try:
            return self.opener.open(frame)
        except TagError:
            raise Refused(BAD_RECORD, "a message failed its authentication") from None

    def say_goodbye(self, reason, last_seq, total, text):
        """50, this side's last frame."""
        self.send(50, struct.pack(">BBQ", reason, 0, last_seq) + total.to_bytes(16, "big", signed=True) + text.encode())


def open_as_client(sock, suite_name, seed, trusted):
    """Messages 1 to 4: the channel. The server must prove the key `trusted`."""
    suite = handshake.Suite(SUITES[suite_name])
    client = handshake.Client(suite, exponent(suite), secrets.token_bytes(64))
    body = bytes([handshake.VERSION, suite.number]) + client.first
    sock.sendall(struct.pack(">II", 10, len(body)) + body)
    frame = read_frame(sock)
    if frame is None or struct.unpack(">I", frame[:4])[0] != 10:
        raise Unproven(f"refused: {frame[9:].decode() if frame else 'no word'}")
    h, to_server, to_client = client.finish(frame[8:])
    channel = Channel(sock, suite, to_server, to_client)
    opcode, proof = channel.receive()
    if opcode == 50:
        # NN authenticates nobody, so anybody on the path can seal one here.
        raise Unproven(f"refused: {proof[26:].decode()}")
    if opcode != 10 or handshake.verify(b"ddes2-server", proof, h) != trusted:
        raise Ended("this is not the server's key")
    channel.send(10, handshake.prove(b"ddes2-client", seed, h, trusted))
    return channel


def open_as_server(sock, seed, suites):
    """Messages 1 to 4: the channel, and the key that the client has proven."""
    frame = read_frame(sock, most=1698)
    if frame is None:
        raise Ended("no word")
    body = frame[8:]
    by_number = {SUITES[name]: name for name in suites}
    if struct.unpack(">I", frame[:4])[0] != 10 or len(body) < 2:
        raise Refused(PROTOCOL, "no message 1")
    if body[0] != handshake.VERSION or body[1] not in by_number:
        raise Refused(UNSUPPORTED, "this version or suite is not taken here")
    suite = handshake.Suite(body[1])
    if len(body) != 2 + suite.dh_bytes + (handshake.KEM_KEY_BYTES if suite.hybrid else 0):
        raise Refused(PROTOCOL, "message 1 has another length")

    def encapsulate(key):
        secret, ciphertext = MLKEM768PublicKey.from_public_bytes(key).encapsulate()
        return ciphertext, secret

    message, h, to_server, to_client = handshake.respond(suite, exponent(suite), body[2:], encapsulate)
    sock.sendall(struct.pack(">II", 10, len(message)) + message)
    channel = Channel(sock, suite, to_client, to_server)
    proof = handshake.prove(b"ddes2-server", seed, h)
    channel.send(10, proof)
    opcode, answer = channel.receive()
    try:
        if opcode != 10 or len(answer) != 96:
            raise ValueError
        return channel, handshake.verify(b"ddes2-client", answer, h, proof[:32])
    except (InvalidSignature, ValueError):
        channel.say_goodbye(NOT_AUTHORIZED, 0, 0, "not authorized")
        raise Ended("a false proof") from None
