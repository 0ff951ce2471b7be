"""The classic server: a thread a client, a sum a connection, one client's 50 ends everybody's session."""

import argparse
import secrets
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from classic import crypto, wire  # noqa: E402


class SessionOver(Exception):
    """Rules 1 and 2 of the server: the text of the 50 that ends the session."""


class Server:
    """What the sessions share: the settings, and who is connected."""

    def __init__(self, make_group, idle_secs, log):
        self.make_group = make_group
        self.idle_secs = idle_secs
        self.log = log
        self.sessions = set()
        self.lock = threading.Lock()

    def serve(self, sock, peer):
        """Runs one session to its end; the thread's body."""
        session = Session(self, sock, peer)
        with self.lock:
            self.sessions.add(session)
        try:
            session.run()
        except (wire.WireError, crypto.CryptoError, OSError) as error:
            self.log(f"[DISCONNECTED] {peer}: {error}")
        finally:
            with self.lock:
                self.sessions.discard(session)
            session.close()

    def end_all(self):
        """A 50 from any client: every session is told to end."""
        with self.lock:
            for session in self.sessions:
                session.waker.send(b"\0")


class Session:
    """One connection. Only its own thread writes to its socket; others wake it."""

    def __init__(self, server, sock, peer):
        self.server = server
        self.sock = sock
        self.peer = peer
        self.waker, self.wake = socket.socketpair()
        self.waker.setblocking(False)
        self.sum = 0
        self.counted = False

    def run(self):
        """Steps 1 to 6, then until a 50, the timer, or the client's departure."""
        try:
            self.handshake()
            while True:
                self.handle(*wire.recv_frame(self.sock, self.deadline, self.wake))
        except SessionOver as over:
            self.send(wire.DISCONNECT, over.args[0])
        except wire.Woken:
            self.server.log(f"[BROADCAST] {self.peer}")
            self.send(wire.DISCONNECT, wire.END_FOR_ALL)
        except TimeoutError:
            self.server.log(f"[TIMEOUT] {self.peer}")
            if self.counted:
                self.send(wire.ENC_AGGR_RESULT, crypto.seal_sum(self.keys, self.sum))
            else:
                self.send(wire.DISCONNECT, wire.NO_DATA)

    def handshake(self):
        """Messages 1 to 3. The timer starts with the token; until then it bounds the wait for the client's key."""
        private = self.server.make_group().generate_private_key()
        self.send(wire.KEY_VERIFICATION, crypto.public_pem(private))
        self.restart_timer()
        opcode, body = wire.recv_frame(self.sock, self.deadline, self.wake)
        if opcode == wire.DISCONNECT:
            self.server.end_all()
            raise wire.Woken  # This session is one of all.
        if opcode != wire.KEY_VERIFICATION:
            raise wire.WireError(f"expected opcode 10, the client sent {opcode}")
        self.keys = crypto.session_keys(private, crypto.read_public_pem(body))
        self.token = secrets.token_bytes(crypto.TOKEN_BYTES)
        self.send(wire.SESSION_TOKEN, crypto.seal_token(self.keys[0], self.token))
        self.restart_timer()

    def handle(self, opcode, body):
        """One frame after the handshake; opcodes other than 30 and 50, and an empty 30, are ignored."""
        if opcode == wire.DISCONNECT:
            self.server.log(f"[CLIENT DISCONNECT][50] {self.peer}")
            self.server.end_all()
        elif opcode == wire.CLIENT_ENC_DATA and body:
            self.count(body)

    def count(self, body):
        """The server's rules 1 to 4 on opcode 30, in their order."""
        ciphertext, token, tag = crypto.split_value(body)
        if not crypto.equal(token, self.token):
            raise SessionOver(wire.TOKEN_INVALID)
        if not crypto.equal(crypto.mac(self.keys[1], ciphertext + token), tag):
            raise SessionOver(wire.HMAC_INVALID)
        try:
            message = crypto.ddes_decrypt(*self.keys, ciphertext)
        except crypto.CryptoError:
            self.send(wire.CLIENT_ENC_DATA, wire.TAMPERED)
            return
        value = int.from_bytes(message[:8], "big")
        self.sum += value
        self.counted = True
        self.restart_timer()
        self.server.log(f"[STATUS] {self.peer} Received {value}")
        # Two small writes: with Nagle's algorithm the second waits for the client's delayed acknowledgement, 40 ms.
        self.send(wire.CLIENT_ENC_DATA, wire.RECEIVED)
        self.send(wire.ENC_AGGR_RESULT, crypto.seal_sum(self.keys, self.sum))

    def send(self, opcode, body):
        """One frame, one write."""
        self.sock.sendall(wire.frame(opcode, body))

    def restart_timer(self):
        """The session ends idle_secs from now, unless an integer is accepted before."""
        self.deadline = time.monotonic() + self.server.idle_secs

    def close(self):
        """Lets the last frame arrive, then frees the sockets."""
        wire.close_gently(self.sock)
        self.waker.close()
        self.wake.close()


def group_maker(args):
    """What makes a session its group: anew for each connection (the original), or one from a file or RFC 7919."""
    if args.group == "fresh" and args.params_file is None:
        return crypto.fresh_group
    group = crypto.ffdhe2048() if args.group == "ffdhe2048" else crypto.group_from_pem(args.params_file.read_bytes())
    return lambda: group


def main():
    """The command line. Prints `listening HOST:PORT` and serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5566)
    parser.add_argument("--group", choices=["fresh", "ffdhe2048"], default="fresh")
    parser.add_argument("--params-file", type=Path, help="with --group fresh: one group made before, for all connections")
    parser.add_argument("--idle-secs", type=float, default=60.0)
    parser.add_argument("--nodelay", action="store_true", help="set TCP_NODELAY, which the original does not")
    parser.add_argument("--verbose", action="store_true", help="console lines on standard error")
    args = parser.parse_args()
    if args.group != "fresh" and args.params_file is not None:
        parser.error("--params-file goes with --group fresh")

    def log(line):
        if args.verbose:
            print(line, file=sys.stderr, flush=True)

    server = Server(group_maker(args), args.idle_secs, log)
    listener = socket.create_server((args.host, args.port))
    host, port = listener.getsockname()[:2]
    print(f"listening {host}:{port}", flush=True)
    while True:
        sock, (peer_host, peer_port, *_) = listener.accept()
        sock.settimeout(wire.SEND_SECS_MAX)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, args.nodelay)
        peer = f"{peer_host}:{peer_port}"
        log(f"[NEW CONNECTION] {peer}")
        threading.Thread(target=server.serve, args=(sock, peer), daemon=True).start()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
