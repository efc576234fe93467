"""A person at a debugger's prompt is told of an incident, and not thrown out."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.suite import Suite

LIMIT_S = 60.0


class Person:
    """Somebody who debugs a test with pdb."""

    def __init__(self, folder: Path, *options: str) -> None:
        lean = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "--board", "sim01", "-v", *lean, *options],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.read = ""

    def types(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def sees(self, text: str) -> None:
        """Wait for it; what was seen is not looked at again."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + LIMIT_S
        while text not in self.read:
            ready, _, _ = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))
            data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            assert data, f"{text!r} did not come: {self.read}"
            self.read += data.decode()
        self.read = self.read.partition(text)[2]

    def ends(self) -> str:
        """All that is still said."""
        output, _ = self.process.communicate(timeout=LIMIT_S)
        return self.read + output.decode()


@pytest.fixture
def person(suite: Suite, request: pytest.FixtureRequest) -> Iterator[Person]:
    """At a debugger's prompt, in the way that the test names."""
    source, options = request.param
    suite.write(source)
    found = Person(suite.pytester.path, *options)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


SLEEPS = "time.sleep(500)\n    print('WENT ON')\ndef test_next(shell): shell.run('true')\n"
BREAKPOINT = f"import time\ndef test_guilty(board):\n    here = 'in the test'\n    breakpoint()\n    {SLEEPS}"
TRACE = f"import time\nhere = 'in the module'\ndef test_guilty(board):\n    {SLEEPS}"
FAILS = (
    "def test_guilty(board):\n    here = 'in the test'\n    assert not here\ndef test_next(shell): shell.run('true')\n"
)


@pytest.mark.parametrize(
    "person",
    [(BREAKPOINT, ()), (BREAKPOINT, ("-s",)), (TRACE, ("--trace", "-k", "guilty"))],
    indirect=True,
    ids=["breakpoint", "breakpoint-s", "trace"],
)
def test_it_is_left_alone_until_the_test_goes_on(person: Person) -> None:
    person.sees("(Pdb) ")
    person.types("board.hardware.printk('shprd.k: mem corruption?')")
    person.sees(
        "hil: shepherd: mem corruption? (board sim01): the test is stopped when it leaves the debugger's prompt\n"
    )
    person.types("p here.replace('in', 'IN')")
    person.sees("'IN the ")
    person.types("c")
    rest = person.ends()
    assert "test_it.py::test_guilty FAILED" in rest
    assert "FAILED test_it.py::test_guilty - shepherd: mem corruption? (board sim01)" in rest
    assert "WENT ON" not in rest
    assert "hil: shepherd" not in rest  # told once
    assert " 1 failed" in rest


@pytest.mark.parametrize("person", [(BREAKPOINT, ())], indirect=True, ids=["breakpoint"])
def test_the_shell_of_a_dead_board_says_so_at_the_prompt(person: Person) -> None:
    person.sees("(Pdb) ")
    person.types("board.hardware.panic()")
    person.sees("the test is stopped when it leaves the debugger's prompt\n")
    person.types("board.shell.run('true')")
    person.sees("*** pytest_shepherd_hil.errors.BoardDeadError: ")
    person.types("c")
    rest = person.ends()
    assert "FAILED test_it.py::test_guilty - kernel oops, then panic: " in rest
    assert " 1 failed, 1 passed" in rest


@pytest.mark.parametrize("person", [(FAILS, ("--pdb",))], indirect=True, ids=["pdb"])
def test_after_a_failure_it_is_told_too(person: Person) -> None:
    person.sees("(Pdb) ")
    person.types("board.hardware.printk('shprd.k: mem corruption?')")
    person.sees("hil: shepherd: mem corruption? (board sim01): it is told when the debugger is left")
    person.types("p here.upper()")
    person.sees("'IN THE TEST'")
    person.types("c")
    person.sees("test_it.py::test_guilty ERROR")
    person.sees("(Pdb) ")
    person.types("c")
    assert "ERROR test_it.py::test_guilty - shepherd: mem corruption? (board sim01)" in person.ends()
