"""All checks of one board, in their order, each within its time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_shepherd_hil.doctor import analyzer, cycle, host, keys, target, uart
from pytest_shepherd_hil.doctor.bench import Bench
from pytest_shepherd_hil.doctor.finding import Finding, Mark, in_one_line, not_checked, problem
from pytest_shepherd_hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_shepherd_hil.boards import BoardConfig

__all__ = ["CHECKS", "Check", "Checked", "examine"]

TOTAL_S = 180.0
"""How long all checks of a board may take; starting a board of our own and cycling power do not count."""
LOOK_EVERY_S = 0.25


@dataclass(slots=True, frozen=True)
class Check:
    """One check.

    Attributes:
        name: as the user sees it.
        find: the check itself.
        needs: checks without which it is not begun: they must not have found a problem, nor been left out.
        limit_s: how long it may take, in seconds; may depend on the board.
        counts: whether its time counts for ``TOTAL_S``.
        bounded: it ends by itself in its time, and cleans up when it is interrupted: it is not done in a thread.
    """

    name: str
    find: Callable[[Bench], Finding]
    needs: tuple[str, ...] = ()
    limit_s: float | Callable[[BoardConfig], float] = 30.0
    counts: bool = True
    bounded: bool = False

    def limit(self, config: BoardConfig) -> float:
        """How long it may take on this board, in seconds."""
        return self.limit_s if isinstance(self.limit_s, float) else self.limit_s(config)


@dataclass(slots=True, frozen=True)
class Checked:
    """A check that is done.

    Attributes:
        check: its name.
        seconds: how long it took.
    """

    check: str
    finding: Finding
    seconds: float


def _ssh_limit(config: BoardConfig) -> float:
    if config.own is not None:
        return config.boot_timeout_s + 20.0
    return (config.ssh.connect_timeout_s if config.ssh is not None else 0.0) + 10.0


_OWN = Check("start", target.check_own, counts=False, bounded=True)
CHECKS = (
    Check("lock", host.check_lock),
    Check("serial port", host.check_port, ("lock",)),
    Check("port grabbers", host.check_rivals),
    Check("SSH key", keys.check_key),
    Check("SSH host key", keys.check_host_key),
    Check("SSH", target.check_ssh, ("SSH key",), _ssh_limit, counts=False),
    Check("root", target.check_root, ("SSH",)),
    Check("kernel console", target.check_kernel_console, ("SSH",)),
    Check("loglevel", target.check_loglevel, ("SSH",)),
    Check("console", uart.check_console, ("serial port", "root")),
    Check("baud rate", uart.check_rate, ("serial port", "root"), 75.0),
    Check("SysRq", target.check_sysrq, ("SSH",)),
    Check("BREAK", uart.check_break, ("console",)),
    Check("kernel module", target.check_module, ("SSH",)),
    Check("pstore", target.check_pstore, ("SSH",)),
    Check("sigrok-cli", analyzer.check_program),
    Check("firmware", analyzer.check_firmware),
    Check("logic analyzer", analyzer.check_analyzer, ("lock", "sigrok-cli", "firmware")),
    Check("power", host.check_power),
)
_CYCLE = Check("power cycle", cycle.check_cycle, ("lock", "power"), cycle.limit, counts=False)


def examine(
    config: BoardConfig,
    *,
    power: bool = False,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[str, float], None] = lambda *_: None,
) -> Iterator[Checked]:
    """Check a board; each result comes as soon as it is known.

    Args:
        config: what ``boards.toml`` says of it.
        power: cycle its power in the end, and measure how long it takes to come back.
        say: shows a line of progress to the user.
        progress: told again and again which check runs, and for how many seconds so far.
    """
    checks = [*((_OWN,) if config.own is not None else ()), *CHECKS, *((_CYCLE,) if power else ())]
    bench = Bench(config, say)
    done: dict[str, Checked] = {}
    spent_s = 0.0
    try:
        for check in checks:
            why = _why_not(check, config, done)
            if why is None and check.counts and spent_s >= TOTAL_S:
                why = f"the examination has taken {spent_s:.0f} s already"
            if why is not None:
                result = Checked(check.name, not_checked(why), 0.0)
            else:
                limit_s = check.limit(config)
                if check.counts:
                    limit_s = min(limit_s, TOTAL_S - spent_s)
                result = _within(check, bench, limit_s, progress)
                spent_s += result.seconds if check.counts else 0.0
            done[check.name] = result
            yield result
    finally:
        bench.close()


def _why_not(check: Check, config: BoardConfig, done: dict[str, Checked]) -> str | None:
    """Why a check cannot be begun; None if it can."""
    for name in ("start", *check.needs):
        if name == "root" and config.own is None and config.ssh is None:
            continue  # a console alone is heard without any root
        before = done.get(name)
        if before is not None and before.finding.mark in (Mark.PROBLEM, Mark.NOT_CHECKED):
            if before.finding.mark is Mark.NOT_CHECKED and before.finding.says.startswith("boards.toml has no"):
                return before.finding.says
            return f"it needs '{name}', see above"
    return None


@dataclass(slots=True)
class _Outcome:
    finding: Finding | None = None
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)


def _within(check: Check, bench: Bench, limit_s: float, progress: Callable[[str, float], None]) -> Checked:
    """Do a check in a thread of its own: whatever it waits for, it is not waited for any longer than its limit."""
    outcome = _Outcome()

    def work() -> None:
        try:
            outcome.finding = check.find(bench)
        except BaseException as error:  # noqa: BLE001  it is raised in the thread that waits
            outcome.error = error
        outcome.ended.set()

    started = time.monotonic()
    if check.bounded:
        finding = check.find(bench)
        return Checked(check.name, finding, time.monotonic() - started)
    threading.Thread(target=work, name=f"hil-doctor {check.name}", daemon=True).start()
    while not outcome.ended.wait(LOOK_EVERY_S) and time.monotonic() - started < limit_s:
        progress(check.name, time.monotonic() - started)
    seconds = time.monotonic() - started
    if not outcome.ended.is_set():
        finding = problem(f"this check did not end within {limit_s:g} s", "see what it waits for, by hand")
    elif isinstance(outcome.error, HilError):
        says, _, advice = in_one_line(outcome.error, bench.name).partition("; ")
        finding = problem(says, advice)
    elif isinstance(outcome.error, OSError):
        finding = problem(f"this check failed: {outcome.error}", "look at it by hand")
    elif outcome.error is not None:
        raise outcome.error
    else:
        assert outcome.finding is not None
        finding = outcome.finding
    return Checked(check.name, finding, seconds)
