"""The examples of the documentation, against a server."""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import io
import os
import re
import unittest
from pathlib import Path
from typing import Any, Dict, Tuple

import ddes
import ddes.aio
import ddes.errors
from served import Server

ROOT = Path(__file__).resolve().parent.parent.parent


def examples(file: str) -> Tuple[str, ...]:
    """The Python code of a Markdown file."""
    text = (ROOT / file).read_text()
    return tuple(re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


class Examples(unittest.TestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.addCleanup(self.server.remove)
        folder = os.getcwd()
        os.chdir(self.server.folder)
        self.addCleanup(os.chdir, folder)

    def in_home(self) -> None:
        """As a user has it: the default identity, and the server is known."""
        self.server.run("key", "new")
        self.server.run("trust", "add", self.server.address, self.server.trust())
        before = os.environ.get("DDES_HOME")
        os.environ["DDES_HOME"] = str(self.server.home)
        self.addCleanup(os.environ.__delitem__, "DDES_HOME")
        self.assertIsNone(before)

    def run_file(self, file: str, printed: str) -> None:
        self.in_home()
        codes = examples(file)
        self.assertGreater(len(codes), 0, file)
        names: Dict[str, Any] = {"__name__": "__main__"}
        output = io.StringIO()
        for code in codes:
            for given in ("localhost:5566", "counter.example:5566"):
                code = code.replace(given, self.server.address)
            code = code.replace("SHA256:...", self.fingerprint())
            if "counts.csv" in code:
                Path("counts.csv").write_text(self.server.run("ledger", "export"))
            if "logging" in code:
                # It is for a whole program.
                compile(code, file, "exec")
                continue
            with contextlib.redirect_stdout(output):
                exec(compile(code, file, "exec"), names)
        self.assertEqual(output.getvalue(), printed)

    def fingerprint(self) -> str:
        shown = self.server.run("key", "show", "--server-key").split()
        return next(word for word in shown if word.startswith("SHA256:"))

    def test_the_readme(self) -> None:
        self.run_file("README.md", "54\n")
        self.assertEqual(self.server.total("default").sum, 54)

    def test_the_readme_of_the_package(self) -> None:
        self.run_file("python/README.md", "42\n")

    def test_the_guide(self) -> None:
        late = "not counted yet; still being delivered"
        self.run_file("docs/python.md", f"54\n{late}\n2004\n")

    def test_docstrings(self) -> None:
        finder = doctest.DocTestFinder(exclude_empty=True)
        found = {
            test.name: test
            for module in (ddes, ddes.aio, ddes.errors)
            for test in finder.find(module)
            if test.examples
        }
        methods = {f"ddes.Client.{name}" for name in ("add", "flush", "total")}
        self.assertLessEqual({"ddes.Client"} | methods, set(found))
        self.assertIn("ddes.aio.AsyncClient", found)
        for name, test in found.items():
            with self.subTest(name):
                identity = self.server.new_identity()
                settings: Dict[str, Any] = {"identity": str(self.server.home / "identities" / identity)}
                settings["trust"] = self.server.trust()
                test.globs = {"ddes": ddes, "asyncio": asyncio, **settings}
                test.globs["server"] = self.server.address
                test.globs["outbox"] = str(self.server.folder / name)
                if name in methods:
                    test.globs["client"] = ddes.Client(self.server.address, **settings)
                    # What the examples of the class and of add() leave.
                    test.globs["client"].add([42, 3, 4, 5, -7, *range(10)])
                    test.globs["client"].flush()
                result = doctest.DocTestRunner().run(test)
                self.assertEqual(result.failed, 0)

    def test_everything_public_is_documented(self) -> None:
        for name in ddes.__all__:
            item = getattr(ddes, name)
            if isinstance(item, type):
                self.assertTrue(item.__doc__, name)
                for method, value in vars(item).items():
                    if not method.startswith("_") and callable(value):
                        self.assertTrue(value.__doc__, f"{name}.{method}")


if __name__ == "__main__":
    unittest.main()
