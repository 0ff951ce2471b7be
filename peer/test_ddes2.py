"""D-DDES/2 in Python against the vectors: it computes every handshake on its own, from both sides."""

import hashlib
import socket
import struct
import threading
import unittest
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from ddes2 import client, function, handshake, session

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "ddes2"


def cases(file):
    """`name: value` lines, cases apart by blank lines."""
    for part in (VECTORS / file).read_text().split("\n\n"):
        fields = [line.split(":", 1) for line in part.splitlines() if not line.startswith("#")]
        case = {name: value.strip() for name, value in fields}
        if case:
            yield case


class Functions(unittest.TestCase):
    def test_the_answers_of_the_specification(self):
        for case in cases("cipher-functions.txt"):
            key, expected = bytes.fromhex(case["k"]), bytes.fromhex(case["expect"])
            if case["name"] == "REKEY":
                self.assertEqual(function.rekey(key), expected)
                continue
            cipher = function.Function(case["name"] == "DDESChaCha", key)
            n, ad, plaintext = int(case["n"]), bytes.fromhex(case["ad"]), bytes.fromhex(case["pt"])
            self.assertEqual(cipher.seal(n, ad, plaintext), expected)
            self.assertEqual(cipher.open(n, ad, expected), plaintext)
            with self.assertRaises(function.TagError):
                cipher.open(n + 1, ad, expected)

    def test_there_are_64_weak_keys_and_none_is_used(self):
        self.assertEqual(len(function.WEAK), 64)
        for key in function.WEAK:
            key1, key2 = function.key_pair(key, key)
            self.assertFalse({key1, key2} & function.WEAK)
            self.assertNotEqual(key1, key2)

    def test_keys_that_are_weak_or_equal_are_mended(self):
        for case in cases("key-pairs.txt"):
            pair = function.key_pair(bytes.fromhex(case["key1"]), bytes.fromhex(case["key2"]))
            self.assertEqual(b"".join(pair).hex(), case["expect"], case["name"])

    def test_long_texts(self):
        for case in cases("long-texts.txt"):
            cipher = function.Function(case["name"] == "DDESChaCha", bytes.fromhex(case["k"]))
            plaintext = bytes(i % 251 for i in range(int(case["length"])))
            sealed = cipher.seal(int(case["n"]), bytes.fromhex(case["ad"]), plaintext)
            self.assertEqual(hashlib.sha256(sealed).hexdigest(), case["expect"], case["length"])


class Handshakes(unittest.TestCase):
    def test_every_suite_from_both_sides(self):
        names = []
        for case in cases("handshakes.txt"):
            with self.subTest(case["name"]):
                self.check(case)
                names.append(case["name"])
        self.assertEqual(names, ["hybrid", "hybrid-3072", "hybrid-4096", "ddes", "ddes-3072", "ddes-4096"])

    def check(self, case):
        suite = handshake.Suite(int(case["suite"], 16))
        frames = [bytes.fromhex(frame) for frame in case["expect"].split()]
        for frame in frames:
            self.assertEqual(struct.unpack(">I", frame[4:8])[0], len(frame) - 8)

        client = handshake.Client(suite, int(case["client_x"], 16), bytes.fromhex(case["kem_seed"]))
        self.assertEqual(frames[0][8:], bytes([2, suite.number]) + client.first)
        h, to_server, to_client = client.finish(frames[1][8:])
        self.assertEqual(h.hex(), case["h"])

        message, *rest = handshake.respond(suite, int(case["server_x"], 16), client.first, self.encapsulation(case, suite, frames))
        self.assertEqual(message, frames[1][8:])
        self.assertEqual(rest, [h, to_server, to_client])

        proof = handshake.prove(b"ddes2-server", bytes.fromhex(case["server_seed"]), h)
        self.assertEqual(handshake.Link(suite, to_client).seal(10, proof), frames[2])
        server_key = handshake.verify(b"ddes2-server", proof, h)
        proof = handshake.prove(b"ddes2-client", bytes.fromhex(case["client_seed"]), h, server_key)
        link = handshake.Link(suite, to_server)
        self.assertEqual(link.seal(10, proof), frames[3])
        data = bytes([7] * 16) + struct.pack(">QHqq", 1, 2, 42, -1)
        self.assertEqual(link.seal(30, data), frames[4])
        with self.assertRaises(InvalidSignature):
            handshake.verify(b"ddes2-server", proof, h, server_key)

    def encapsulation(self, case, suite, frames):
        """The library takes no randomness for encapsulating, so the ciphertext is the vector's; its secret is found by decapsulating."""

        def encapsulate(key):
            kem = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(case["kem_seed"]))
            reader = handshake.Client(suite, int(case["client_x"], 16), bytes.fromhex(case["kem_seed"]))
            body = frames[1][8:]
            end = suite.dh_bytes + handshake.KEM_CIPHERTEXT_BYTES + function.TAG_BYTES
            reader.symmetric.mix_hash(body[: suite.dh_bytes])
            reader.symmetric.mix_key(suite.shared_value(reader.x, body[: suite.dh_bytes]))
            ciphertext = reader.symmetric.decrypt_and_hash(body[suite.dh_bytes : end])
            self.assertEqual(len(key), handshake.KEM_KEY_BYTES)
            return ciphertext, kem.decapsulate(ciphertext)

        return encapsulate


class Conversations(unittest.TestCase):
    """Every message and every refusal: the frames sealed and opened here, and read."""

    def test_what_is_sent_and_what_is_heard(self):
        self.opening = next(case for case in cases("handshakes.txt") if case["name"] == "ddes")
        names = []
        for case in cases("conversations.txt"):
            with self.subTest(case["name"]):
                self.check(case)
                names.append(case["name"])
        self.assertEqual(len(names), 30)

    def check(self, case):
        suite = handshake.Suite(2)
        client = handshake.Client(suite, int(self.opening["client_x"], 16), b"")
        frames = [bytes.fromhex(frame) for frame in case["expect"].split()]
        if frames[0][:4] == struct.pack(">I", 50):
            reason, text = frames[0][8], frames[0][9:].decode()
            self.assertEqual(case["heard"], f"50 reason {reason} text {text}")
            return
        _, to_server, to_client = client.finish(frames[0][8:])
        inwards, outwards = handshake.Link(suite, to_client), handshake.Link(suite, to_server)
        opened = [inwards.open(frame) for frame in frames[1:]]
        if case["heard"].startswith("unproven"):
            [(opcode, plaintext)] = opened
            self.assertEqual(case["heard"], f"unproven {opcode} reason {plaintext[0]} text {plaintext[26:].decode()}")
            return
        self.assertEqual(opened[0][0], 10)
        self.assertEqual(case["heard"], "; ".join(self.said(*message) for message in opened[1:]))
        sent = [bytes.fromhex(frame) for frame in case["send"].split()]
        outwards.open(sent[1])
        for record, frame in zip(case["plain"].split(), sent[2:]):
            opcode, plaintext = record.split(":")
            self.assertEqual(outwards.seal(int(opcode), bytes.fromhex(plaintext)), frame)

    @staticmethod
    def said(opcode, plaintext):
        """A message in the file's words."""
        if opcode == 20:
            session, last_seq, last_session = struct.unpack(">QQQ", plaintext[16:40])
            total = int.from_bytes(plaintext[40:56], "big", signed=True)
            idle, most = struct.unpack(">IH", plaintext[56:])
            return f"20 session {session} last_seq {last_seq} last_session {last_session} sum {total} idle {idle} most {most}"
        if opcode == 40:
            status, last_seq = struct.unpack(">BQ", plaintext[:9])
            return f"40 status {status} last_seq {last_seq} sum {int.from_bytes(plaintext[9:], 'big', signed=True)}"
        reason, scope, last_seq = struct.unpack(">BBQ", plaintext[:10])
        total = int.from_bytes(plaintext[10:26], "big", signed=True)
        return f"50 reason {reason} scope {scope} last_seq {last_seq} sum {total} text {plaintext[26:].decode()}"


class Clients(unittest.TestCase):
    """What the client makes of servers that lie."""

    def test_a_sealed_50_in_the_place_of_message_3_is_unproven(self):
        ours, theirs = socket.socketpair()

        def lie():
            suite, body = handshake.Suite(2), session.read_frame(theirs)[8:]
            message, _, _, to_client = handshake.respond(suite, session.exponent(suite), body[2:], None)
            theirs.sendall(struct.pack(">II", 10, len(message)) + message)
            sealed = struct.pack(">BBQ", session.NOT_AUTHORIZED, 0, 0) + bytes(16) + b"run ddes trust rm"
            theirs.sendall(handshake.Link(suite, to_client).seal(50, sealed))

        liar = threading.Thread(target=lie)
        liar.start()
        with ours, theirs, self.assertRaises(session.Unproven):
            session.open_as_client(ours, "ddes", bytes([3] * 32), bytes(32))
        liar.join()

    def test_a_sum_or_a_count_that_is_not_that_of_what_was_sent_ends_it(self):
        stated = struct.pack(">Q", 2) + (7).to_bytes(16, "big", signed=True)
        client.held(stated, 2, 7)
        for last_seq, total in [(1, 7), (3, 7), (2, 8)]:
            with self.assertRaises(session.Ended):
                client.held(stated, last_seq, total)


class Records(unittest.TestCase):
    def test_the_key_changes_after_the_record_that_reaches_two_to_the_twentieth(self):
        for case in cases("records.txt"):
            link = handshake.Link(handshake.Suite(2 if case["name"] == "DDES" else 1), bytes.fromhex(case["k"]))
            for _ in range(129):
                last = link.seal(30, bytes(65519))
            self.assertNotEqual(link.key, bytes.fromhex(case["k"]))
            after = link.seal(40, bytes.fromhex(case["pt"]))
            self.assertEqual(f"{last[-16:].hex()} {after.hex()}", case["expect"])


if __name__ == "__main__":
    unittest.main()
