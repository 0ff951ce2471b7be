"""A D-DDES/2 client: sends integers, prints the sum after each. No outbox, so it promises what a one-shot client can."""

import argparse
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ddes2 import session  # noqa: E402


def held(stated, last_seq, total):
    """What a 40 or the server's 50 states are the values sent, and no others (P-29)."""
    if stated != struct.pack(">Q", last_seq) + total.to_bytes(16, "big", signed=True):
        raise session.Ended("the server states another count or sum than that of what was sent")


def talk(channel, values):
    """20, a 30 and a 40 for each value, then both 50s."""
    opcode, welcome = channel.receive()
    if opcode == 50:
        raise session.Ended(welcome[26:].decode())
    if opcode != 20 or len(welcome) != 62:
        raise session.Ended("no 20")
    token = welcome[:16]
    _, last_seq, _ = struct.unpack(">QQQ", welcome[16:40])
    total = int.from_bytes(welcome[40:56], "big", signed=True)
    for value in values:
        channel.send(30, token + struct.pack(">QHq", last_seq + 1, 1, value))
        opcode, answer = channel.receive()
        if opcode != 40:
            raise session.Ended(answer[26:].decode())
        if answer[0] != session.APPLIED:
            raise session.Ended(f"status {answer[0]}")
        last_seq, total = last_seq + 1, total + value
        held(answer[1:], last_seq, total)
        print(total, flush=True)
    channel.say_goodbye(session.BYE, 0, 0, "")
    opcode, farewell = channel.receive()
    if opcode != 50 or farewell[0] != session.BYE:
        raise session.Ended("the server did not say goodbye")
    held(farewell[2:26], last_seq, total)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5566)
    parser.add_argument("--suite", choices=session.SUITES, default="hybrid")
    parser.add_argument("--key", required=True, help="an OpenSSH Ed25519 private key file")
    parser.add_argument("--server-key", required=True, help="the server's public key, a line `ssh-ed25519 AAAA…`")
    parser.add_argument("values", nargs="+", type=int)
    args = parser.parse_args()
    with socket.create_connection((args.host, args.port), timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            seed, trusted = session.private_key(args.key), session.public_key(args.server_key)
            talk(session.open_as_client(sock, args.suite, seed, trusted), args.values)
        except (session.Ended, session.Refused) as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
