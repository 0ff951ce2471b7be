"""A D-DDES/2 server: a thread a client, an account an identity, in memory. It lets in whoever proves a key, unless `--authorized` says who."""

import argparse
import secrets
import socket
import struct
import sys
import threading
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ddes2 import session  # noqa: E402

VALUES_MAX = 1000


class Account:
    """Numbered values and their sum (P-25)."""

    def __init__(self):
        self.session = self.last_seq = self.last_session = self.sum = 0

    def apply(self, number, first_seq, values):
        """All or none; those counted before are skipped."""
        if number != self.session:
            raise session.Refused(session.SUPERSEDED, "a newer session of the same identity has begun")
        if first_seq == 0 or first_seq + len(values) - 1 >= 2**64:
            return session.MALFORMED
        if first_seq > self.last_seq + 1:
            return session.GAP
        fresh = values[self.last_seq + 1 - first_seq :]
        if fresh:
            self.sum += sum(fresh)
            self.last_seq += len(fresh)
            self.last_session = number
        return session.APPLIED


class Server:
    """What the sessions share."""

    def __init__(self, seed, suites, authorized, idle_secs):
        self.seed, self.suites, self.authorized, self.idle_secs = seed, suites, authorized, idle_secs
        self.accounts = {}
        self.lock = threading.Lock()

    def serve(self, sock):
        """One connection, from its first byte to its last; the thread's body."""
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(10)
            try:
                channel, key = session.open_as_server(sock, self.seed, self.suites)
            except session.Refused as refused:
                body = bytes([refused.reason]) + str(refused).encode()
                sock.sendall(struct.pack(">II", 50, len(body)) + body)
                return
            except (session.Ended, ValueError, OSError):
                return
            if self.authorized is not None and key not in self.authorized:
                channel.say_goodbye(session.NOT_AUTHORIZED, 0, 0, "not authorized")
                return
            with self.lock:
                account = self.accounts.setdefault(key, Account())
                account.session += 1
                number = account.session
            self.count(channel, account, number)

    def count(self, channel, account, number):
        """20, then a 40 for each 30, until a 50 or silence."""
        token = secrets.token_bytes(16)
        numbers = struct.pack(">QQQ", number, account.last_seq, account.last_session)
        total = account.sum.to_bytes(16, "big", signed=True)
        channel.send(20, token + numbers + total + struct.pack(">IH", self.idle_secs * 1000, VALUES_MAX))
        channel.sock.settimeout(self.idle_secs)
        reason, text = session.BYE, "bye"
        try:
            while True:
                opcode, plaintext = channel.receive()
                if opcode == 50:
                    break
                if opcode != 30:
                    raise session.Refused(session.PROTOCOL, "an opcode out of order")
                self.answer(channel, account, number, token, plaintext)
        except session.Refused as refused:
            reason, text = refused.reason, str(refused)
        except TimeoutError:
            reason, text = session.IDLE, "no data came for too long"
            self.send_result(channel, account, session.APPLIED)
        except (session.Ended, OSError):
            return
        try:
            channel.say_goodbye(reason, account.last_seq, account.sum, text)
        except OSError:
            return

    def answer(self, channel, account, number, token, plaintext):
        """A 30: the token first, then the rest."""
        if not secrets.compare_digest(plaintext[:16], token):
            raise session.Refused(session.BAD_TOKEN, "the session token is wrong")
        status = session.MALFORMED
        if len(plaintext) >= 34:
            first_seq, count = struct.unpack(">QH", plaintext[16:26])
            if 1 <= count <= VALUES_MAX and len(plaintext) == 26 + 8 * count:
                values = struct.unpack(f">{count}q", plaintext[26:])
                with self.lock:
                    status = account.apply(number, first_seq, values)
        self.send_result(channel, account, status)

    @staticmethod
    def send_result(channel, account, status):
        """40."""
        channel.send(40, struct.pack(">BQ", status, account.last_seq) + account.sum.to_bytes(16, "big", signed=True))


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5566, help="0 takes a free one")
    parser.add_argument("--suite", action="append", choices=session.SUITES, help="a suite taken; default: the hybrid ones")
    parser.add_argument("--authorized", action="append", help="a public key let in, a line `ssh-ed25519 AAAA…`")
    parser.add_argument("--idle-secs", type=int, default=60)
    args = parser.parse_args()
    seed = secrets.token_bytes(32)
    authorized = None if args.authorized is None else {session.public_key(line) for line in args.authorized}
    suites = args.suite or [name for name in session.SUITES if name.startswith("hybrid")]
    server = Server(seed, suites, authorized, args.idle_secs)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    with socket.create_server((args.host, args.port)) as listener:
        host, port = listener.getsockname()
        print(f"key {public.decode()}", flush=True)
        print(f"listening {host}:{port}", flush=True)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=server.serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
