"""One console, read by ours or by a peer: what ``guard.py`` runs in a process of its own for each of them.

    PYTHON console_ends.py ours|labgrid|pytest-embedded WORK PORT

Imports nothing but what it measures, so that it also runs in the peers' environment. ``WORK`` is what is done on the
console at ``PORT``; each answer is a line of JSON on the standard output, times are ``time.monotonic_ns()``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Expect = Callable[[str, float], Any]

SIX = r"login: $|Kernel panic - not syncing|=> $|U-Boot \d+|root@\w+:~#|ALL OF IT"
NEVER_S = 10.0
IDLE_S = 5.0


def tell(**answer: object) -> None:
    """One answer."""
    # past pytest's capture
    os.write(3, json.dumps(answer).encode() + b"\n")


def work(what: str, expect: Expect) -> None:
    """Do it with an ``expect`` that raises where nothing comes in time."""
    if what == "match":
        tell(ready=True)
        number = 0
        while True:
            expect(f"token-{number}-" if number else "token-0-", 60.0)
            tell(matched=time.monotonic_ns())
            number += 1
    if what == "flood":
        expect("warm", 60.0)
        cpu_s = time.process_time()
        tell(ready=True)
        expect(SIX, 600.0)
        tell(matched=time.monotonic_ns(), cpu_s=time.process_time() - cpu_s)
    if what == "idle":
        expect("warm", 60.0)
        cpu_s, started = time.process_time(), time.monotonic()
        with contextlib.suppress(BaseException):  # each has its own
            expect("never", IDLE_S)
        tell(core=(time.process_time() - cpu_s) / (time.monotonic() - started))
    if what == "oops":
        tell(ready=True)
        try:
            expect("never", NEVER_S)
        except BaseException as error:  # noqa: BLE001 -- each has its own
            tell(failed=time.monotonic_ns(), says=f"{type(error).__name__}: {error}"[-4000:])


def ours(what: str, port: str) -> None:
    from pytest_shepherd_hil.boards import ConsoleConfig
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.console.link import Link
    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.console.source import open_port
    from pytest_shepherd_hil.kernel.rules import load_rules

    with tempfile.TemporaryDirectory() as folder:
        log = ConsoleLog(Path(folder) / "console.log")
        config = ConsoleConfig(port=port)
        link = Link(
            config,
            log,
            board="bench",
            rules=load_rules(),
            on_incident=lambda _: None,
            on_line=lambda _: None,
            on_lost=lambda _: None,
            open_port=lambda: open_port(config, None, board="bench"),
        )
        link.open()
        console = Console(log, lambda: link.port, board="bench")
        work(what, console.expect)


def labgrid(what: str, port: str) -> None:
    from labgrid import Target  # type: ignore[import-not-found]
    from labgrid.driver import SerialDriver  # type: ignore[import-not-found]
    from labgrid.resource import RawSerialPort  # type: ignore[import-not-found]

    target = Target("bench")
    RawSerialPort(target, name=None, port=port, speed=115200)
    driver = SerialDriver(target, name=None)
    target.activate(driver)
    work(what, lambda pattern, timeout_s: driver.expect(pattern, timeout=timeout_s))


def embedded(what: str, port: str) -> None:
    import pytest

    with tempfile.TemporaryDirectory() as folder:
        test = Path(folder) / "test_bench.py"
        test.write_text(
            f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom console_ends import work\n"
            f"def test_bench(dut):\n    work({what!r}, lambda pattern, s: dut.expect(pattern, timeout=s))\n"
        )
        pytest.main(
            [
                "-q",
                "--embedded-services",
                "serial",
                "--port",
                port,
                "-p",
                "no:cacheprovider",
                "-p",
                "no:labgrid",
                str(test),
            ]
        )


if __name__ == "__main__":
    os.dup2(os.dup(1), 3)
    os.dup2(2, 1)
    {"ours": ours, "labgrid": labgrid, "pytest-embedded": embedded}[sys.argv[1]](sys.argv[2], sys.argv[3])
