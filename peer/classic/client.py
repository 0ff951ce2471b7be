"""The classic client: one connection, one integer after the other, one decimal sum a line."""

import argparse
import secrets
import socket
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from classic import crypto, wire  # noqa: E402

# Longer than the original server needs for a safe prime.
WAIT_SECS_MAX = 180


class SessionEnded(Exception):
    """The server sent a 50; its text, if it has one."""


class Client:
    """A session after the handshake: keys and token are agreed."""

    def __init__(self, sock, client_id):
        self.sock = sock
        self.client_id = client_id
        server_public = crypto.read_public_pem(self.expect(wire.KEY_VERIFICATION))
        private = server_public.parameters().generate_private_key()
        sock.sendall(wire.frame(wire.KEY_VERIFICATION, crypto.public_pem(private)))
        self.keys = crypto.session_keys(private, server_public)
        self.token = crypto.open_token(self.keys[0], self.expect(wire.SESSION_TOKEN))

    def expect(self, opcode):
        """The body of the next frame, which must have this opcode."""
        got, body = wire.recv_frame(self.sock, time.monotonic() + WAIT_SECS_MAX)
        if got == wire.DISCONNECT:
            raise SessionEnded(body.decode("utf-8", "replace"))
        if got != opcode:
            raise wire.WireError(f"expected opcode {opcode}, the server sent {got}")
        return body

    def add(self, value):
        """Sends one integer, 0 <= value < 2^64; the sum after it."""
        self.sock.sendall(
            wire.frame(wire.CLIENT_ENC_DATA, crypto.seal_value(self.keys, value, self.client_id, self.token))
        )
        acknowledgement = self.expect(wire.CLIENT_ENC_DATA)
        if acknowledgement != wire.RECEIVED:
            # The original waits for a 40 that never comes.
            raise wire.WireError(acknowledgement.decode("utf-8", "replace"))
        return crypto.open_sum(self.keys, self.expect(wire.ENC_AGGR_RESULT))

    def disconnect(self):
        """Sends 50 twice, as the original does; this ends the sessions of all clients of the server."""
        try:
            for _ in range(2):
                self.sock.sendall(wire.frame(wire.DISCONNECT))
        except OSError:
            pass  # The server had closed after the first one.
        wire.close_gently(self.sock)

    def linger(self):
        """Reads until the server ends the session, printing the sums it still sends."""
        while True:
            print(crypto.open_sum(self.keys, self.expect(wire.ENC_AGGR_RESULT)), flush=True)


def unsigned_64(text):
    """An integer of the classic profile: 0 <= n < 2^64."""
    value = int(text)
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text} is not in 0..2^64-1")
    return value


def measure(client, count):
    """Sends `count` ones and prints the last sum and the rate."""
    started = time.monotonic()
    for _ in range(count):
        total = client.add(1)
    secs = time.monotonic() - started
    print(total)
    print(f"{count} integers in {secs:.3f} s, {count / secs:.1f} a second", flush=True)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5566)
    parser.add_argument("--linger", action="store_true", help="send no 50, stay until the server ends the session")
    parser.add_argument("--count", type=int, help="send this many ones and print the rate")
    parser.add_argument("values", type=unsigned_64, nargs="*")
    args = parser.parse_args()
    if args.count is not None and args.count < 1:
        parser.error("--count must be at least 1")
    client_id = uuid.UUID(bytes=secrets.token_bytes(16), version=4).bytes
    try:
        client = Client(socket.create_connection((args.host, args.port), timeout=wire.SEND_SECS_MAX), client_id)
        for value in args.values:
            print(client.add(value), flush=True)
        if args.count:
            measure(client, args.count)
        if args.linger:
            client.linger()
        client.disconnect()
    except SessionEnded as ended:
        print(f"the server ended the session: {ended}", file=sys.stderr)
        return 0 if args.linger else 1
    except TimeoutError:
        print("error: the server did not answer in time", file=sys.stderr)
        return 1
    except (wire.WireError, crypto.CryptoError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
