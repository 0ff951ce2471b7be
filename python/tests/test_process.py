"""Programs that are killed, forked, interrupted, or end without closing their client."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import unittest
from typing import Any, List, Optional

import ddes
from served import WITHIN, Server

# Each script begins with these: SERVER, SETTINGS.
HEAD = """
import json, os, sys, threading
import ddes
SERVER, SETTINGS = json.loads(sys.argv[1])
def client(**more):
    return ddes.Client(SERVER, **{**SETTINGS, **more})
"""


class Scripts(unittest.TestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.addCleanup(self.server.remove)
        self.identity = self.server.new_identity()
        self.outbox = self.server.folder / "outbox"
        self.trust = self.server.trust()

    def start(self, script: str) -> subprocess.Popen[str]:
        import json

        settings = {
            "identity": self.identity,
            "trust": self.trust,
            "home": str(self.server.home),
            "outbox": str(self.outbox),
        }
        arguments = json.dumps([self.server.address, settings])
        code = HEAD + textwrap.dedent(script)
        process = subprocess.Popen(
            [sys.executable, "-c", code, arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait(WITHIN)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def output(self, script: str, code: Optional[int] = 0) -> str:
        """What a script prints that ends by itself."""
        process = self.start(script)
        output, error = process.communicate(timeout=WITHIN)
        self.assertEqual(process.returncode, code, error)
        self.error = error
        return output

    def test_ten_thousand_integers_survive_kill_9(self) -> None:
        script = """
            with client() as counter:
                # As many as were counted are done: those in the outbox are among them by now.
                done = counter.flush().count
                print("from", done, flush=True)
                for n in range(done + 1, 10_001):
                    counter.add(n)
                    if n % 1000 == 0:
                        print("added", n, flush=True)
                print(*counter.flush())
        """
        killed: List[str] = []
        for at in ("added 2000\n", "added 6000\n"):
            process = self.start(script)
            assert process.stdout is not None
            for line in process.stdout:
                killed.append(line)
                if line == at:
                    break
            process.kill()
            process.wait(WITHIN)
        self.assertEqual(killed[-1], "added 6000\n")
        last = self.output(script).splitlines()
        begin = int(last[0].split()[1])
        self.assertGreaterEqual(begin, 6000)
        self.assertLess(begin, 10_000)
        self.assertEqual(last[-1], "10000 50005000")
        self.assertEqual(self.server.total(self.identity), (10_000, 50_005_000))

    def test_a_fork_is_refused_and_harms_nobody(self) -> None:
        script = """
            counter = client()
            counter.add(1)
            counter.flush()
            child = os.fork()
            if child == 0:
                uses = [lambda: counter.add(2), counter.flush, counter.total, counter.close,
                        counter.leave, counter.__enter__]
                for use in uses:
                    try:
                        use()
                        print("no error")
                    except ddes.UsageError as error:
                        print("fork" in str(error), flush=True)
                repr(counter)
                # It ends as programs do, and drops its client.
                del counter
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            counter.add(3)
            print(*counter.close())
        """
        lines = self.output(script).splitlines()
        self.assertEqual(lines, ["True"] * 6 + ["7", "2 4"])

    def test_a_fork_of_an_asyncio_client_is_refused(self) -> None:
        script = """
            import asyncio
            async def main():
                async with ddes.AsyncClient(SERVER, **SETTINGS) as counter:
                    await counter.add(1)
                    child = os.fork()
                    if child == 0:
                        for use in (counter.add(2), counter.flush(), counter.close()):
                            try:
                                await use
                                print("no error")
                            except ddes.UsageError as error:
                                print("fork" in str(error), flush=True)
                        os._exit(7)
                    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                    print(*await counter.close())
            asyncio.run(main())
        """
        lines = self.output(script).splitlines()
        self.assertEqual(lines, ["True"] * 3 + ["7", "1 1"])

    def test_a_fork_that_lives_does_not_keep_the_outbox(self) -> None:
        script = """
            counter = client()
            counter.add(1)
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(write)
                os.read(read, 1)
                os._exit(0)
            counter.close()
            with client() as counter:
                counter.add(2)
                print(*counter.flush())
            os.close(write)
            os.waitpid(child, 0)
        """
        self.assertEqual(self.output(script), "2 3\n")

    def test_ctrl_c_ends_a_program_that_waits(self) -> None:
        import signal

        self.server.kill()
        script = """
            with client() as counter:
                counter.add(1)
                print("waits", flush=True)
                counter.flush()
        """
        process = self.start(script)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "waits\n")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=WITHIN)
        self.assertIn("KeyboardInterrupt", error)
        self.assertEqual(process.returncode, -signal.SIGINT)

    def test_a_program_that_ends_with_an_open_client_ends(self) -> None:
        self.server.kill()
        # Nobody is there: whatever waits would wait without limit.
        self.output("""
            counter = client()
            counter.add(1)
            threading.Thread(target=counter.flush, daemon=True).start()
        """)
        self.output("""
            import asyncio
            async def main():
                counter = await ddes.AsyncClient(SERVER, **SETTINGS).open()
                await counter.add(1)
                asyncio.ensure_future(counter.flush())
                await asyncio.sleep(0)
                sys.modules["kept"] = counter
            asyncio.run(main())
        """)
        self.server.start()
        with self.server.client(identity=self.identity, outbox=self.outbox) as client:
            self.assertEqual(client.flush(), ddes.Balance(2, 2))

    def test_a_client_that_is_dropped_frees_its_outbox(self) -> None:
        script = """
            for _ in range(3):
                counter = client()
                counter.add(1)
                counter.flush()
                del counter
                while True:
                    try:
                        counter = client()
                        break
                    except ddes.RefusedError:
                        pass
                counter.close()
            print(threading.active_count() <= 2)
        """
        self.assertEqual(self.output(script), "True\n")
        self.assertEqual(self.server.total(self.identity), (3, 3))


if __name__ == "__main__":
    unittest.main()
