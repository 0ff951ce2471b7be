"""One program that counts as fast as it can: with ddes, or with redis-py. Prints values a second.

`cargo xtask bench python` runs it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Callable, Tuple

Calls = Tuple[Callable[[], object], Callable[[], object], Callable[[], object]]


def of_ddes(arguments: argparse.Namespace) -> Calls:
    """What adds, what waits for the sum, and what ends."""
    import ddes

    client = ddes.Client(
        arguments.address,
        identity=arguments.folder / "client_key",
        trust=arguments.folder / "server_key.pub",
        outbox=arguments.outbox,
    )
    client.flush()
    if arguments.batch == 1:
        return lambda: client.add(7), client.flush, client.close
    values = [7] * arguments.batch
    return lambda: client.add(values), client.flush, client.close


def of_redis(arguments: argparse.Namespace) -> Calls:
    import redis

    host, port = arguments.address.rsplit(":", 1)
    client = redis.Redis(
        host=host,
        port=int(port),
        ssl=True,
        ssl_ca_certs=str(arguments.folder / "server.crt.pem"),
        ssl_certfile=str(arguments.folder / "client.crt.pem"),
        ssl_keyfile=str(arguments.folder / "client.key.pem"),
        ssl_check_hostname=False,
    )
    client.incrby("count", 7)
    if arguments.batch == 1:
        return lambda: client.incrby("count", 7), lambda: None, client.close

    def add() -> None:
        pipeline = client.pipeline(transaction=False)
        for _ in range(arguments.batch):
            pipeline.incrby("count", 7)
        pipeline.execute()

    return add, lambda: None, client.close


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["ddes", "redis"])
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--outbox", type=Path)
    parser.add_argument("--wait", action="store_true")
    arguments = parser.parse_args()
    make = of_ddes if arguments.what == "ddes" else of_redis
    add, flush, close = make(arguments)
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < arguments.seconds:
        add()
        if arguments.wait:
            flush()
        count += arguments.batch
    flush()
    print(count / (time.monotonic() - begin))
    close()


if __name__ == "__main__":
    main()
