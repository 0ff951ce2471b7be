"""Frames of the classic profile: opcode u32 || length u32 || body, big-endian, and the texts it sends in the clear."""

import select
import socket
import struct
import time

KEY_VERIFICATION = 10
SESSION_TOKEN = 20
CLIENT_ENC_DATA = 30
ENC_AGGR_RESULT = 40
DISCONNECT = 50

RECEIVED = b"Server Received number"
TAMPERED = b"Warning: Data tampering detected. Message discarded."
TOKEN_INVALID = b"Error: Invalid session token. Connection terminated."
HMAC_INVALID = b"Error: Invalid HMAC. Connection terminated."
NO_DATA = b"Timeout: No data provided."
END_FOR_ALL = b"Client requested session end for all."

HEADER = struct.Struct(">II")
# The originals believe any length; 64 KiB is the bound of this project.
BODY_BYTES_MAX = 65536
# A peer that takes nothing for so long is given up.
SEND_SECS_MAX = 10


class WireError(Exception):
    """The peer broke the frame format, or left."""


class Woken(Exception):
    """Something other than the peer asked the reader to stop waiting."""


def frame(opcode, body=b""):
    """opcode u32 || length u32 || body."""
    return HEADER.pack(opcode, len(body)) + body


def recv_exactly(sock, count, deadline=None, wake=None):
    """The next `count` bytes, however the network cut them.

    `deadline` is a time.monotonic() value (TimeoutError after it); a readable socket `wake` raises Woken.
    """
    got = bytearray()
    while len(got) < count:
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([sock] if wake is None else [sock, wake], [], [], wait)
        if wake in readable:
            raise Woken
        if not readable:
            raise TimeoutError
        part = sock.recv(count - len(got))
        if not part:
            raise WireError("the peer closed the connection")
        got += part
    return bytes(got)


def recv_frame(sock, deadline=None, wake=None):
    """(opcode, body) of the next frame."""
    opcode, length = HEADER.unpack(recv_exactly(sock, HEADER.size, deadline, wake))
    if length > BODY_BYTES_MAX:
        raise WireError(f"the peer announced {length} bytes, at most {BODY_BYTES_MAX} are taken")
    return opcode, recv_exactly(sock, length, deadline, wake)


def close_gently(sock, secs_max=1.0):
    """Ends our direction, reads what the peer still sends, closes: a reset would eat our last frame."""
    deadline = time.monotonic() + secs_max
    try:
        sock.shutdown(socket.SHUT_WR)
        while (wait := deadline - time.monotonic()) > 0 and select.select([sock], [], [], wait)[0]:
            if not sock.recv(4096):
                break
    except OSError:
        pass  # The peer was faster, or is gone: there is nothing left to lose.
    sock.close()
