"""The only check that touches power, and only when asked to: does the board come back, and how long does it take?"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.doctor.finding import Finding, in_one_line, ok, problem, warning
from pytest_shepherd_hil.errors import HilError, PowerError

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.doctor.bench import Bench

__all__ = ["check_cycle", "limit"]

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
TRY_S = 5.0


def limit(config: BoardConfig) -> float:
    """How long it may take, in seconds."""
    power = config.power
    switching_s = 2 * power.timeout_s + power.off_s if power is not None else 60.0
    return config.boot_timeout_s + switching_s + 30.0


def check_cycle(bench: Bench) -> Finding:
    """Power goes off and on again, and another kernel than before answers."""
    power = bench.power
    assert power is not None
    before = None
    if bench.ssh is not None:
        with contextlib.suppress(HilError):
            before = bench.read(_BOOT_ID)
            bench.run("sync")
    said = bench.wire.log.size if bench.wire is not None else 0
    started = time.monotonic()
    try:
        power.cycle()
    except PowerError as error:
        says, _, advice = in_one_line(error, bench.name).partition("; ")
        return problem(says, advice or f"run it by hand, and correct [boards.{bench.name}.power]")
    switched_s = time.monotonic() - started
    if bench.ssh is not None:
        return _await_shell(bench, before, started, switched_s)
    if bench.wire is not None:
        return _await_console(bench, said, started, switched_s)
    return ok(f"it took {switched_s:.1f} s; nobody can say whether the board was restarted")


def _await_shell(bench: Bench, before: str | None, started: float, switched_s: float) -> Finding:
    limit_s = bench.config.boot_timeout_s
    shell = bench.shell
    assert shell is not None
    now, why = None, ""
    while time.monotonic() - started < limit_s:
        shell.drop()
        try:
            now = shell.run(f"cat {_BOOT_ID}", sudo=False, timeout_s=TRY_S).stdout
        except HilError as error:
            why = in_one_line(error, bench.name)
        if now is not None and now != before:
            took_s = time.monotonic() - started
            says = f"switched in {switched_s:.1f} s; its shell was back {took_s:.1f} s after the beginning"
            if took_s > 0.8 * limit_s:
                near = f"boot_timeout_s = {limit_s:g} leaves little room"
                return warning(f"{says}: {near}", f"set boot_timeout_s = {2 * took_s:.0f} in [boards.{bench.name}]")
            return ok(f"{says} (boot_timeout_s = {limit_s:g})")
        time.sleep(0.2)
    if now is not None:
        return problem(
            f"{limit_s:g} s after it was switched the board still runs the same kernel as before",
            "does the command switch this board's port?",
        )
    return problem(
        f"no shell within {limit_s:g} s (boot_timeout_s) after it was switched: {why}",
        f"look with `shepherd-hil console {bench.name}`, or set a longer boot_timeout_s",
    )


def _await_console(bench: Bench, said: int, started: float, switched_s: float) -> Finding:
    wire = bench.wire
    assert wire is not None
    while time.monotonic() - started < bench.config.boot_timeout_s and wire.lost is None:
        if wire.log.size > said:
            return ok(f"switched in {switched_s:.1f} s; the console spoke {time.monotonic() - started:.1f} s later")
        time.sleep(0.1)
    what = wire.lost.what if wire.lost is not None else "the console has said nothing since"
    return problem(f"switched in {switched_s:.1f} s; {what}", "does the command switch this board's port?")
