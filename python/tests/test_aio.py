"""The client for asyncio."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import unittest
import warnings
from typing import Any, List

import ddes
from served import WITHIN, Server, unused_address


class Aio(unittest.IsolatedAsyncioTestCase):
    server: Server

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.remove()

    def setUp(self) -> None:
        # The loop of a test is a debugging one, and says what takes a tenth of a second.
        logging.getLogger("asyncio").setLevel(logging.ERROR)

    def client(self, **more: Any) -> ddes.AsyncClient:
        timeout = more.pop("timeout", None)
        settings = self.server.settings(**more)
        return ddes.AsyncClient(self.server.address, timeout=timeout, **settings)

    async def test_a_thousand_tasks_count_exactly(self) -> None:
        async with self.client(outbox=self.server.folder / "tasks") as client:

            async def count(number: int) -> int:
                await client.add([number, 1])
                return (await client.flush()).count

            before = threading.active_count()
            counts = await asyncio.gather(*(count(number) for number in range(1000)))
            self.assertGreaterEqual(min(counts), 2)
            # Whatever the tasks, the threads are few.
            self.assertLessEqual(threading.active_count() - before, 4)
            self.assertEqual(await client.total(), (2000, sum(range(1000)) + 1000))

    async def test_the_loop_goes_on_while_calls_wait(self) -> None:
        settings = self.server.settings(patience=None)
        client = await ddes.AsyncClient(unused_address(), **settings).open()
        waits = [asyncio.ensure_future(call()) for call in (client.flush, client.total)]
        ticks, begin = 0, time.monotonic()
        while time.monotonic() - begin < 0.3:
            await asyncio.sleep(0)
            ticks += 1
        self.assertGreater(ticks, 100)
        self.assertFalse(any(wait.done() for wait in waits))
        client.leave()
        for wait in waits:
            with self.assertRaises(ddes.UsageError):
                await asyncio.wait_for(wait, WITHIN)

    async def test_timeouts_and_cancellations_leave_the_client_usable(self) -> None:
        address = unused_address()
        settings = self.server.settings(outbox=self.server.folder / "timeouts")
        async with ddes.AsyncClient(address, timeout=0.05, **settings) as client:
            await client.add(1, timeout=WITHIN)
            for wait in (client.flush, client.total, client.close):
                with self.assertRaises(ddes.TimeoutError):
                    await wait()
            for _ in range(200):
                flushed = asyncio.ensure_future(client.flush(WITHIN))
                await asyncio.sleep(0)
                flushed.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await flushed
            await client.add([2, 3], timeout=WITHIN)
            with self.assertRaises(ddes.TimeoutError):
                await client.flush(0.01)
            client.leave()

    async def test_what_was_added_before_a_flush_is_in_its_balance(self) -> None:
        async with self.client() as client:
            for number in range(1, 51):
                await client.add(number)
                balance = await client.flush()
                self.assertEqual(balance, (number, number * (number + 1) // 2))

    async def test_unfit_integers_are_refused_alone(self) -> None:
        async with self.client() as client:
            unfit: List[Any] = [2**63, "7", 1.5, [1, 2**63]]
            fit = [client.add(number) for number in range(20)]
            wrong = [client.add(given) for given in unfit]
            many = client.add(range(ddes.ADD_MAX + 1))
            done = await asyncio.gather(*fit, *wrong, many, return_exceptions=True)
            self.assertEqual(done[:20], [None] * 20)
            kinds = [type(error) for error in done[20:]]
            usage = ddes.UsageError
            self.assertEqual(kinds, [usage, TypeError, TypeError, usage, usage])
            self.assertEqual(await client.close(), (20, 190))
            self.assertEqual(await client.close(), (20, 190))
            with self.assertRaisesRegex(ddes.UsageError, "closed"):
                await client.add(1)

    async def test_a_client_is_opened_once_and_on_one_loop(self) -> None:
        client = self.client()
        with self.assertRaisesRegex(ddes.UsageError, "not open"):
            await client.add(1)
        async with client:
            with self.assertRaisesRegex(ddes.UsageError, "opened before"):
                await client.open()

            def elsewhere() -> None:
                with self.assertRaisesRegex(ddes.UsageError, "another event loop"):
                    asyncio.run(client.add(1))

            await asyncio.get_running_loop().run_in_executor(None, elsewhere)

    async def test_errors_are_those_of_the_client(self) -> None:
        with self.assertRaises(ddes.IdentityError):
            await self.client(identity="nobody").open()
        settings = self.server.settings(patience=0)
        client = await ddes.AsyncClient(unused_address(), **settings).open()
        done = await asyncio.gather(*(client.flush() for _ in range(3)), return_exceptions=True)
        self.assertEqual([type(error) for error in done], [ddes.ConnectError] * 3)
        client.leave()

    async def test_a_client_that_is_forgotten_is_named(self) -> None:
        client = await self.client().open()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            del client
            gc.collect()
        self.assertTrue(any(warning.category is ResourceWarning for warning in seen))


if __name__ == "__main__":
    unittest.main()
