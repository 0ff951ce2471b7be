"""What a client counts, and how it says no."""

from __future__ import annotations

import builtins
import logging
import math
import os
import queue
import signal
import socket
import threading
import time
import unittest
from array import array
from pathlib import Path
from typing import Any, Iterator, List, Type

import ddes
from served import WITHIN, Server, unused_address


class Served(unittest.TestCase):
    """Tests that share a server; each has an account of its own."""

    server: Server

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.remove()


class Counting(Served):
    def test_what_is_added_is_counted_exactly(self) -> None:
        identity = self.server.new_identity()
        with self.server.client(identity=identity) as client:
            self.assertEqual(client.total(), (0, 0))
            client.add(42)
            client.add([3, 4, -5])
            client.add(array("q", [1, 2]))
            client.add(n for n in range(10))
            client.add([])
            self.assertEqual(client.flush(), ddes.Balance(count=16, sum=92))
            self.assertEqual(client.total().sum, 92)
        self.assertEqual(self.server.total(identity), (16, 92))

    def test_a_sum_may_have_more_than_64_bits(self) -> None:
        largest, smallest = 2**63 - 1, -(2**63)
        with self.server.client() as client:
            client.add([largest] * 5)
            self.assertEqual(client.flush(), (5, 5 * largest))
            client.add([smallest] * 9)
            self.assertEqual(client.close(), (14, 5 * largest + 9 * smallest))

    def test_what_is_no_integer_of_64_bits_is_refused_and_nothing_is_taken(self) -> None:
        class Index:
            def __index__(self) -> int:
                return 7

        with self.server.client() as client:
            for unfit in (2**63, -(2**63) - 1, [1, 2**63], [10**5000]):
                with self.assertRaisesRegex(ddes.UsageError, "64 bits"):
                    client.add(unfit)
            wrong: List[Any] = [1.0, "7", None, [1, "7"], {1: 2}.items(), b"x" and [b"x"]]
            for unfit in wrong:
                with self.assertRaises(TypeError):
                    client.add(unfit)
            with self.assertRaisesRegex(ddes.UsageError, "at most 8192"):
                client.add(range(ddes.ADD_MAX + 1))
            with self.assertRaisesRegex(ddes.UsageError, "at most 8192"):
                client.add(iter(int, 1))
            self.assertEqual(client.flush(), (0, 0))
            client.add(Index())
            client.add(range(ddes.ADD_MAX))
            self.assertEqual(client.flush().count, ddes.ADD_MAX + 1)

    def test_an_iterable_that_raises_adds_nothing(self) -> None:
        def broken() -> Iterator[int]:
            yield 1
            raise LookupError("no more")

        with self.server.client() as client:
            with self.assertRaises(LookupError):
                client.add(broken())
            self.assertEqual(client.flush(), (0, 0))

    def test_an_outbox_goes_on_where_it_was(self) -> None:
        settings = self.server.settings(outbox=self.server.folder / "goes-on")
        for day in range(1, 4):
            with ddes.Client(self.server.address, **settings) as client:
                client.add([10, 1])
                self.assertEqual(client.flush(), (2 * day, 11 * day))

    def test_a_closed_client_says_so_and_keeps_its_balance(self) -> None:
        client = self.server.client()
        client.add(5)
        self.assertEqual(client.close(), (1, 5))
        self.assertEqual(client.close(), (1, 5))
        for use in (lambda: client.add(1), client.flush, client.total, client.__enter__):
            with self.assertRaisesRegex(ddes.UsageError, "closed"):
                use()

    def test_a_with_statement_that_raises_does_not_wait(self) -> None:
        outbox = self.server.folder / "raises"
        settings = self.server.settings(outbox=outbox)
        with self.assertRaises(LookupError):
            # Nobody is there: closing would wait without limit.
            with ddes.Client(unused_address(), **settings) as client:
                client.add(1)
                raise LookupError
        with self.assertRaisesRegex(ddes.UsageError, "closed"):
            client.flush()

    def test_a_client_may_leave_within_its_with_statement(self) -> None:
        with ddes.Client(unused_address(), **self.server.settings()) as client:
            client.leave()
        with self.assertRaisesRegex(ddes.UsageError, "closed"):
            client.close()

    def test_leaving_ends_the_calls_that_wait(self) -> None:
        client = ddes.Client(unused_address(), **self.server.settings())
        ended: queue.Queue[BaseException] = queue.Queue()

        def flush() -> None:
            try:
                client.flush()
            except BaseException as error:
                ended.put(error)

        threads = [threading.Thread(target=flush) for _ in range(5)]
        for thread in threads:
            thread.start()
        client.leave()
        for thread in threads:
            thread.join(WITHIN)
        for _ in threads:
            self.assertIsInstance(ended.get(timeout=WITHIN), ddes.UsageError)

    def test_fifty_threads_share_a_client(self) -> None:
        outbox = self.server.folder / "threads"
        with self.server.client(outbox=outbox) as client:
            failures: List[BaseException] = []

            def count(number: int) -> None:
                try:
                    for _ in range(10):
                        client.add([number, -1])
                    assert client.flush().count >= 20
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=count, args=(number,)) for number in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(WITHIN)
            self.assertEqual(failures, [])
            self.assertEqual(client.close(), (1000, 10 * sum(range(50)) - 500))

    def test_nothing_that_shows_a_client_shows_a_secret(self) -> None:
        identity = self.server.new_identity()
        text = (self.server.home / "identities" / identity).read_text()
        client = self.server.client(identity=text, outbox=self.server.folder / "shown")
        shown = repr(client)
        self.assertIn("SHA256:", shown)
        self.assertIn(self.server.address, shown)
        for line in text.splitlines():
            self.assertNotIn(line, shown)
        client.leave()
        spoilt = text.replace("A", "B")
        with self.assertRaises(ddes.IdentityError) as raised:
            self.server.client(identity=spoilt)
        for line in spoilt.splitlines()[1:-1]:
            self.assertNotIn(line, str(raised.exception))

    def test_what_happens_to_sessions_is_logged(self) -> None:
        seen: queue.Queue[logging.LogRecord] = queue.Queue()

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                seen.put(record)

        logger = logging.getLogger("ddes")
        level, handler = logger.level, Handler()
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        self.addCleanup(logger.setLevel, level)
        self.addCleanup(logger.removeHandler, handler)
        with self.server.client():
            record = seen.get(timeout=WITHIN)
            self.assertEqual(record.levelno, logging.INFO)
            self.assertIn("session is open", record.getMessage())
        lost = ddes.Client(unused_address(), **self.server.settings())
        record = seen.get(timeout=WITHIN)
        self.assertEqual(record.levelno, logging.WARNING)
        self.assertRegex(record.getMessage(), r"refused the connection; connecting again in \d")
        lost.leave()


class Waiting(unittest.TestCase):
    """Calls that wait for a server that is not there."""

    def setUp(self) -> None:
        self.server = Server(start=False)
        self.addCleanup(self.server.remove)
        self.identity = self.server.new_identity()
        key = self.server.home / "identities" / self.identity
        # The server's key is made with its first start.
        self.server.start()
        self.trust = self.server.trust()
        self.server.kill()
        self.key = key

    def client(self, **more: Any) -> ddes.Client:
        return ddes.Client(self.server.address, identity=self.key, trust=self.trust, **more)

    def test_a_timeout_ends_a_wait_and_changes_nothing(self) -> None:
        client = self.client(outbox=self.server.folder / "outbox", timeout=0.05)
        client.add([1, 2, 3], timeout=WITHIN)
        begin = time.monotonic()
        for wait in (client.flush, client.total, client.close):
            with self.assertRaises(ddes.TimeoutError) as raised:
                wait()
            self.assertIsInstance(raised.exception, builtins.TimeoutError)
        self.assertGreaterEqual(time.monotonic() - begin, 0.15)
        for unfit in (-1.0, math.nan):
            with self.assertRaisesRegex(ddes.UsageError, "seconds"):
                client.flush(unfit)
        with self.assertRaises(ddes.TimeoutError):
            client.flush(timeout=0)
        self.server.start()
        self.assertEqual(client.flush(WITHIN), (3, 6))
        self.assertEqual(client.close(math.inf), (3, 6))

    def test_integers_for_which_there_was_no_room_in_time_are_not_taken(self) -> None:
        client = self.client(outbox=None, patience=math.inf)
        for _ in range(128):
            client.add([1] * ddes.ADD_MAX)
        for _ in range(3):
            with self.assertRaises(ddes.TimeoutError):
                client.add(7, timeout=0.01)
        self.server.start()
        client.add(1, timeout=WITHIN)
        self.assertEqual(client.close(WITHIN), (2**20 + 1, 2**20 + 1))

    def test_a_signal_ends_a_wait(self) -> None:
        class Interrupted(Exception):
            pass

        def interrupt(*_: Any) -> None:
            raise Interrupted

        before = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        client = self.client(outbox=self.server.folder / "outbox")
        client.add(5)
        for wait in (client.flush, client.total, client.close):
            with self.assertRaises(Interrupted):
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                wait()
        self.server.start()
        self.assertEqual(client.close(WITHIN), (1, 5))

    def test_a_server_that_comes_back_gets_what_was_added_meanwhile(self) -> None:
        with self.client(outbox=self.server.folder / "outbox", timeout=WITHIN) as client:
            client.add(1)
            self.server.start()
            self.assertEqual(client.flush(), (1, 1))
            self.server.kill()
            client.add(range(2, 101))
            self.server.start()
            self.assertEqual(client.flush(), (100, 5050))


class Refusals(Served):
    """An example of each class, and its exit code."""

    def raises(self, kind: Type[ddes.Error], code: int, text: str, work: Any) -> None:
        with self.assertRaisesRegex(kind, text) as raised:
            work()
        self.assertEqual(raised.exception.exit_code, code)

    def test_an_outbox_in_use_is_refused(self) -> None:
        settings = self.server.settings(outbox=self.server.folder / "in-use")
        with ddes.Client(self.server.address, **settings):
            again = lambda: ddes.Client(self.server.address, **settings)
            self.raises(ddes.RefusedError, 1, "in use", again)

    def test_what_makes_no_sense_is_a_value_error(self) -> None:
        outbox = self.server.folder / "foreign"
        self.server.client(outbox=outbox).close(WITHIN)
        foreign = lambda: self.server.client(outbox=outbox)
        self.raises(ddes.UsageError, 2, "is of identity", foreign)
        for unfit, text in (
            ({"suite": "none"}, "hybrid"),
            ({"trust": "SHA256:abc"}, "43 characters"),
            ({"identity": "two words"}, "name of an identity"),
            ({"timeout": -1}, "seconds"),
            ({"patience": math.nan}, "seconds"),
            ({"network_timeout": -0.5}, "seconds"),
        ):
            with self.assertRaises(ValueError):
                self.server.client(**unfit)
            self.raises(ddes.UsageError, 2, text, lambda: self.server.client(**unfit))
        address = lambda: ddes.Client("localhost", **self.server.settings())
        self.raises(ddes.UsageError, 2, "HOST:PORT", address)

    def test_no_server_is_a_connect_error(self) -> None:
        client = ddes.Client(unused_address(), patience=0, **self.server.settings())
        self.raises(ddes.ConnectError, 3, "refused the connection", client.flush)
        self.assertTrue(issubclass(ddes.ConnectError, ConnectionError))

    def test_another_key_of_the_server_is_an_identity_error(self) -> None:
        other = "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8"
        identity = self.server.new_identity()
        client = self.server.client(identity=identity, trust=other)
        self.raises(ddes.IdentityError, 4, "server's key SHA256:", client.flush)
        with self.assertRaises(ddes.IdentityError):
            with self.server.client(identity=identity, trust=[other]) as client:
                pass
        self.assertEqual(self.server.total(identity), (0, 0))
        both = self.server.client(identity=identity, trust=[other, self.server.trust()])
        self.assertEqual(both.close(WITHIN), (0, 0))

    def test_keys_that_cannot_be_used_are_identity_errors(self) -> None:
        identity = self.server.new_identity()
        path = self.server.home / "identities" / identity
        stranger = Server(start=False)
        self.addCleanup(stranger.remove)
        unknown = stranger.home / "identities" / stranger.new_identity()
        client = self.server.client(identity=unknown)
        self.raises(ddes.IdentityError, 4, "session ended", client.flush)
        missing = lambda: self.server.client(identity="nobody")
        self.raises(ddes.IdentityError, 4, "ddes key new nobody", missing)
        nobody_known = lambda: self.server.client(identity=identity, trust=None)
        self.raises(ddes.IdentityError, 4, "ddes trust add", nobody_known)
        no_file = lambda: self.server.client(identity=Path("no-such-file"))
        self.raises(ddes.IdentityError, 4, "no-such-file", no_file)
        os.chmod(path, 0o644)
        self.raises(ddes.IdentityError, 4, "chmod 600", lambda: self.server.client(identity=path))

    def test_a_ledger_that_went_back_is_an_integrity_error(self) -> None:
        server = Server("--ledger", "memory")
        self.addCleanup(server.remove)
        settings = server.settings(outbox=server.folder / "outbox")
        with ddes.Client(server.address, **settings) as client:
            client.add([1, 2, 3])
        server.kill()
        server.start()
        client = ddes.Client(server.address, **settings)
        self.raises(ddes.IntegrityError, 5, "went back", client.flush)

    def test_a_server_that_is_silent_is_a_timeout_error(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            settings = self.server.settings(patience=0, network_timeout=0.2)
            client = ddes.Client(address, **settings)
            self.raises(ddes.TimeoutError, 6, "in time", client.flush)

    def both(self, code: int, server: Server, address: str, **settings: Any) -> None:
        """The exception and the command's exit code of one and the same failure."""
        given = server.settings(**settings)
        with self.assertRaises(ddes.Error) as raised:
            with ddes.Client(address, patience=0, network_timeout=1, **given) as client:
                client.add(1)
                client.flush()
        self.assertEqual(raised.exception.exit_code, code, raised.exception)
        command = ["send", "--server", address, "--trust", given["trust"], "--timeout", "1"]
        command += ["--as", given["identity"], "--retry-secs", "0", "1"]
        if "outbox" in given:
            command += ["--outbox", str(given["outbox"])]
        self.assertEqual(server.exit_code(*command), code, command)

    def test_the_command_ends_with_the_code_of_the_exception(self) -> None:
        server, outbox = Server("--ledger", "memory"), self.server.folder / "of-both"
        self.addCleanup(server.remove)
        settings = server.settings(outbox=outbox)
        with ddes.Client(server.address, **settings) as client:
            client.add([1, 2, 3])
            client.flush()
            self.both(1, server, server.address, **settings)
        self.both(2, server, server.address, outbox=outbox)
        self.both(3, server, unused_address())
        other = "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8"
        self.both(4, server, server.address, trust=other)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.both(6, server, f"127.0.0.1:{listener.getsockname()[1]}")
        server.kill()
        server.start()
        self.both(5, server, server.address, **settings)

    def test_keys_are_found_as_people_name_them(self) -> None:
        identity = self.server.new_identity()
        path = self.server.home / "identities" / identity
        text, line = path.read_text(), self.server.trust()
        public = self.server.folder / "server.pub"
        public.write_text(line + "\n")
        known = self.server.folder / "known_servers"
        known.write_text(f"{self.server.address} {line}\n")
        fingerprint = self.server.run("key", "show", "--server-key").split()
        fingerprint = [word for word in fingerprint if word.startswith("SHA256:")]
        for given in (identity, path, str(path), text, text.encode()):
            for trusted in (line, public, str(public), known, fingerprint, fingerprint[0]):
                with self.server.client(identity=given, trust=trusted, patience=0) as client:
                    self.assertEqual(client.total(), (0, 0))
        self.server.run("trust", "add", self.server.address, line)
        self.addCleanup(self.server.run, "trust", "rm", self.server.address)
        with self.server.client(identity=identity, trust=None) as client:
            self.assertEqual(client.total(), (0, 0))


if __name__ == "__main__":
    unittest.main()
