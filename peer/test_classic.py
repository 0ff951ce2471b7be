"""The classic profile: known answers of its parts, and the client against the server over loopback."""

import socket
import subprocess
import sys
import unittest
from pathlib import Path

from Crypto.Cipher import DES

from classic import client, crypto, wire

FOLDER = Path(__file__).resolve().parent / "classic"
CLIENT_ID = bytes(range(16))


class ServerProcess:
    """A server on a free port of loopback, for a `with` block."""

    def __init__(self, *flags):
        self.flags = flags

    def __enter__(self):
        command = [sys.executable, str(FOLDER / "server.py"), "--port", "0", *self.flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        word, address = self.process.stdout.readline().split()
        assert word == "listening"
        self.port = int(address.rpartition(":")[2])
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def client(self, *arguments):
        """A running client process."""
        command = [sys.executable, str(FOLDER / "client.py"), "--port", str(self.port), *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def connect(self):
        """A client of this process."""
        return client.Client(socket.create_connection(("127.0.0.1", self.port), timeout=60), CLIENT_ID)


FRESH = ("--group", "fresh", "--params-file", str(FOLDER / "fresh2048.pem"))
KNOWN = ("--group", "ffdhe2048")
# The timers of a test, in seconds. On a busy machine a short one may run out before the client has
# done its part, which proves nothing: then the next one decides.
IDLE_SECS = (2, 8, 32)


class Parts(unittest.TestCase):
    def test_the_ffdhe2048_prime_ends_as_rfc_7919_prints_it(self):
        p = crypto.ffdhe2048().parameter_numbers().p
        self.assertEqual(f"{p:x}"[:32], "ffffffffffffffffadf85458a2bb4a9a")
        self.assertEqual(f"{p:x}"[-32:], "886b423861285c97ffffffffffffffff")

    def test_des_and_hmac_give_their_published_answers(self):
        # DES: NBS Special Publication 500-20. HMAC-SHA256: RFC 4231, case 2.
        key, plain = bytes.fromhex("0101010101010101"), bytes.fromhex("8000000000000000")
        self.assertEqual(DES.new(key, DES.MODE_ECB).encrypt(plain).hex(), "95f8a5e5dd31d900")
        self.assertEqual(
            crypto.mac(b"Jefe", b"what do ya want for nothing?").hex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        )

    def test_equal_integers_make_equal_frames(self):
        keys, token = (b"key one!", b"key two!"), bytes(16)
        one, again = (crypto.seal_value(keys, 42, CLIENT_ID, token) for _ in range(2))
        self.assertEqual(len(one), 32 + 16 + 32)
        self.assertEqual(one, again)


class Sessions(unittest.TestCase):
    def test_three_clients_at_once_keep_three_sums(self):
        for flags in (FRESH, KNOWN):
            with self.subTest(flags=flags):
                for secs in IDLE_SECS:
                    with ServerProcess(*flags, "--idle-secs", str(secs)) as server:
                        clients = [server.client("--linger", n, n + 1, 2**64 - 1) for n in (10, 20, 30)]
                        said = [process.communicate(timeout=60 + secs) for process in clients]
                    if all(len(out.split()) == 4 for out, _ in said):
                        break
                for n, (out, err) in zip((10, 20, 30), said):
                    last = 2 * n + 2**64
                    # After the timer's end the sum comes once more.
                    self.assertEqual(out.split(), [str(n), str(2 * n + 1), str(last), str(last)], err)

    def test_a_50_ends_the_session_of_every_client(self):
        with ServerProcess(*FRESH) as server:
            one, other = server.connect(), server.connect()
            self.assertEqual(other.add(7), 7)
            one.disconnect()
            with self.assertRaisesRegex(client.SessionEnded, "Client requested session end for all."):
                other.linger()
            other.sock.close()
            out, _ = server.client(42, 50).communicate(timeout=60)
            self.assertEqual(out.split(), ["42", "92"])

    def test_a_session_without_an_integer_times_out(self):
        for secs in IDLE_SECS:
            with ServerProcess(*FRESH, "--idle-secs", str(secs)) as server:
                try:
                    idle = server.connect()
                except client.SessionEnded:
                    continue
                with self.assertRaisesRegex(client.SessionEnded, "Timeout: No data provided."):
                    idle.linger()
                idle.sock.close()
                return
        self.fail("no session was open before its timer ran out")

    def test_a_wrong_token_is_found_before_a_wrong_hmac(self):
        for byte, text in ((32, "Invalid session token"), (0, "Invalid HMAC"), (79, "Invalid HMAC")):
            with self.subTest(byte=byte), ServerProcess(*FRESH) as server:
                session = server.connect()
                body = bytearray(crypto.seal_value(session.keys, 1, CLIENT_ID, session.token))
                body[byte] ^= 1
                session.sock.sendall(wire.frame(wire.CLIENT_ENC_DATA, bytes(body)))
                with self.assertRaisesRegex(client.SessionEnded, text):
                    session.expect(wire.CLIENT_ENC_DATA)
                session.sock.close()

    def test_broken_blocks_are_discarded_and_the_session_goes_on(self):
        with ServerProcess(*FRESH) as server:
            session = server.connect()
            signed = b"seven by" + b"tes" + session.token
            session.sock.sendall(wire.frame(wire.CLIENT_ENC_DATA, signed + crypto.mac(session.keys[1], signed)))
            self.assertEqual(session.expect(wire.CLIENT_ENC_DATA), wire.TAMPERED)
            self.assertEqual(session.add(5), 5)
            session.sock.close()

    def test_other_opcodes_an_empty_30_and_frames_in_pieces_do_no_harm(self):
        with ServerProcess(*FRESH, "--nodelay") as server:
            session = server.connect()
            session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            value = wire.frame(wire.CLIENT_ENC_DATA, crypto.seal_value(session.keys, 9, CLIENT_ID, session.token))
            for byte in wire.frame(77, b"unknown") + wire.frame(wire.CLIENT_ENC_DATA) + value:
                session.sock.sendall(bytes([byte]))
            self.assertEqual(session.expect(wire.CLIENT_ENC_DATA), wire.RECEIVED)
            self.assertEqual(crypto.open_sum(session.keys, session.expect(wire.ENC_AGGR_RESULT)), 9)
            session.sock.close()

    def test_a_replayed_frame_is_counted_again(self):
        with ServerProcess(*FRESH, "--nodelay") as server:
            session = server.connect()
            self.assertEqual([session.add(21), session.add(21)], [21, 42])
            session.sock.close()


if __name__ == "__main__":
    unittest.main()
