"""Bringing a dead board back: by its own reboot, by SysRq, or by its power, the gentlest way first."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import CommandFailedError, HilError, RecoveryError, ShellError
from pytest_shepherd_hil.guard.hang import boot_loader_may_listen
from pytest_shepherd_hil.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.console.link import Link
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["recover"]

_ANNOUNCED = re.compile(r"Rebooting in (\d{1,5}) seconds")
_BOOTING = re.compile(r"U-Boot|Starting kernel|Booting Linux|Linux version ")
_RESETTING = re.compile(r"sysrq: .*Resetting|U-Boot|Starting kernel|Booting Linux|Linux version ")
_SYSRQ_ANSWER_S = 3.0
_SYNC_S = 10.0


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to restart a board.

    Attributes:
        cause: what is noted of the boot that comes of it.
        progress: what is said while it is tried.
        start: does it; raises :class:`HilError` where it did not work.
        timeout_s: how long the board may then take until its shell answers.
    """

    cause: str
    progress: str
    start: Callable[[], None]
    timeout_s: float


def recover(board: Board, incident: Incident, say: Callable[[str], None], begins: Callable[[], None]) -> None:
    """Restart a board and wait until it is fit for the next test.

    A kernel that has announced its own reboot, or is rebooting, is waited for. Else a dead one is told to with BREAK
    and SysRq ``b``, unless a boot loader may be counting down. Else, or where that did not help, its power is cycled.
    A board that lives is told to sync its disks before, and to reboot where nothing switches its power.

    Args:
        board: the board.
        incident: what happened to it.
        say: shows a line of progress to the user.
        begins: told whenever the board is about to be restarted, which mends what has happened so far.

    Raises:
        RecoveryError: no way worked within its time.
    """
    started = time.monotonic()
    reason = incident.headline(board.name)
    tried: list[str] = []
    for way in _ways(board, incident, reason):
        say(f"{board.name}: {way.progress}")
        begins()
        try:
            way.start()
            board.restarted(way.timeout_s, way.cause)
        except HilError as error:
            tried.append(f"{way.cause}: {error}")
            board.died(reason)
            say(f"{board.name}: {way.cause} did not bring it back: {first_line(error)}")
            continue
        boot = board.boots[-1] if board.boots else None
        loaded = boot.module_loaded if boot is not None else None
        module = board.config.module.name if board.config.module is not None else ""
        state = "" if loaded is None else f", {module} is {'loaded' if loaded else 'not loaded'}"
        say(f"{board.name}: back after {time.monotonic() - started:.1f} s{state}")
        return
    boot_s = board.config.boot_timeout_s
    text = "\n".join(
        [
            f"board {board.name} did not come back within {boot_s:g} s (boot_timeout_s) after: {reason}",
            *(f"  {line}" for line in tried or ["there was no way to restart it"]),
        ]
    )
    board.died(text.splitlines()[0])
    raise RecoveryError(text)


def _ways(board: Board, incident: Incident, reason: str) -> Iterator[_Way]:
    """The ways there are, each looked for when those before it have not helped."""
    boot_s = board.config.boot_timeout_s
    alive = board.dead is None and "shell" in board.has
    announced = _announced_s(incident)
    if _reboots_already(board, incident):
        yield _Way("its own reboot", f"rebooting by itself, at most {boot_s:g} s", lambda: board.died(reason), boot_s)
    elif announced is not None:

        def await_own() -> None:
            board.expect_restart()
            board.died(reason)

        limit_s = announced + boot_s
        progress = f"waiting for the reboot that its kernel announced, at most {limit_s:g} s"
        yield _Way("its own reboot after a panic", progress, await_own, limit_s)
    if alive:
        _sync(board)
        if board.power is None:
            yield _Way("reboot", f"reboot, at most {boot_s:g} s", lambda: _order_reboot(board, reason), boot_s)
    mute = board.link is None or not board.link.alive
    if board.link is not None and board.link.read_only:  # only its shell can be asked, while it lives
        mute = not alive
    asked = (not alive or board.power is None) and not mute
    if asked and board.link is not None and not boot_loader_may_listen(board.log):  # a key would stop its count-down
        progress = f"{_sysrq_words(board.link)}, at most {boot_s:g} s"
        yield _Way("SysRq b", progress, lambda: _sysrq_reboot(board, reason), boot_s)
    if board.power is not None:
        yield _Way("power cycle", f"power cycle, at most {boot_s:g} s", lambda: _power_cycle(board, reason), boot_s)
    elif not alive and announced is None and mute:

        def await_anything() -> None:
            board.expect_restart()
            board.died(reason)

        progress = f"has no [boards.{board.name}.power]; waiting for it to reboot by itself, at most {boot_s:g} s"
        yield _Way("waiting", progress, await_anything, boot_s)


def _announced_s(incident: Incident) -> float | None:
    """In how many seconds the kernel said that it will reboot; None if it did not."""
    for line in reversed(incident.lines):
        found = _ANNOUNCED.search(line)
        if found is not None:
            return float(found[1])
    return None


def _reboots_already(board: Board, incident: Incident) -> bool:
    """Whether the console has shown a boot since the incident began."""
    if incident.kind == "unexpected-reboot" and incident.id > 0:
        return True
    since = incident.last_line + 1 if incident.id > 0 else incident.first_line
    return any(_BOOTING.search(line.text[:200]) for line in board.log.lines(since))


def _sync(board: Board) -> None:
    """Spare the file systems of a board that still lives."""
    with contextlib.suppress(HilError):  # it may hang; then there is nothing to spare
        board.shell.run("sync", timeout_s=_SYNC_S, check=False)


def _order_reboot(board: Board, reason: str) -> None:
    board.expect_restart()
    try:
        board.shell.run("reboot", timeout_s=10.0)
    except CommandFailedError:
        raise
    except ShellError:
        pass  # so quick that it could not say that it will
    board.died(reason)


def _sysrq_words(link: Link) -> str:
    return "SysRq b through its shell" if link.read_only else "BREAK and SysRq b"


def _sysrq_reboot(board: Board, reason: str) -> None:
    assert board.link is not None
    board.expect_restart()
    since = board.log.count
    if board.link.read_only:
        board.shell.revive()
        with contextlib.suppress(ShellError):  # so quick that it could not say that it will
            board.link.sysrq("b")
        board.died(reason)
    else:
        board.died(reason)
        board.link.sysrq("b")
    deadline = time.monotonic() + _SYSRQ_ANSWER_S
    while not any(_RESETTING.search(line.text[:200]) for line in board.log.lines(since)):
        if time.monotonic() >= deadline:
            raise RecoveryError(f"the kernel did not answer {_sysrq_words(board.link)} within {_SYSRQ_ANSWER_S:g} s")
        time.sleep(0.02)


def _power_cycle(board: Board, reason: str) -> None:
    board.expect_restart()
    board.died(reason)
    board.cut_power()
