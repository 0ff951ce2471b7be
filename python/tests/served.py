"""A server as a user runs it, for tests: the program that the variable DDES names."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional

import ddes

PROGRAM = os.environ["DDES"]
WITHIN = 60
"""Seconds that anything may take which is to happen, on a busy machine."""


def unused_address() -> str:
    """An address on which nobody listens, as a rule also a moment later."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


class Server:
    """A server in a home of its own; it may be killed and started again at the same address."""

    def __init__(self, *flags: str, start: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ddes-python-"))
        self.home = self.folder / "home"
        self.flags = list(flags)
        self.address = unused_address()
        self.process: Optional[subprocess.Popen[str]] = None
        self._names = 0
        if start:
            self.start()

    def environment(self) -> Dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DDES_")}
        return {**kept, "DDES_HOME": str(self.home)}

    def run(self, *arguments: str) -> str:
        """What a command prints."""
        command = [PROGRAM, *arguments]
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=WITHIN
        )
        if done.returncode != 0:
            raise AssertionError(f"{command}: {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def exit_code(self, *arguments: str) -> int:
        """That with which a command ends which asks nobody."""
        command = [PROGRAM, *arguments, "--no-input"]
        done = subprocess.run(
            command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN
        )
        return done.returncode

    def start(self) -> None:
        command = [PROGRAM, "serve", "--json", "--http", "off", "--listen", self.address]
        self.process = subprocess.Popen(
            command + self.flags,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if json.loads(line).get("event") == "listening":
                return
        raise AssertionError("the server does not listen")

    def kill(self) -> None:
        if self.process is not None:
            assert self.process.stdout is not None
            self.process.kill()
            self.process.wait(WITHIN)
            self.process.stdout.close()
            self.process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def new_identity(self) -> str:
        """The name of an identity of the home that nobody has used."""
        self._names += 1
        name = f"identity-{self._names}"
        self.run("key", "new", name)
        return name

    def trust(self) -> str:
        """The line of the server's public key."""
        return self.run("key", "show", "--server-key", "--quiet")

    def settings(self, **more: Any) -> Dict[str, Any]:
        """The arguments of a client with an account of its own."""
        named = {"identity": more.get("identity") or self.new_identity()}
        return {"trust": self.trust(), "home": self.home, **more, **named}

    def client(self, **more: Any) -> ddes.Client:
        return ddes.Client(self.address, **self.settings(**more))

    def total(self, identity: str) -> ddes.Balance:
        """What the command `ddes total` says."""
        command: List[str] = ["total", "--json", "--as", identity, "--server", self.address]
        told = json.loads(self.run(*command, "--trust", self.trust()))
        return ddes.Balance(int(told["count"]), int(told["sum"]))


def interrupted(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGINT)
