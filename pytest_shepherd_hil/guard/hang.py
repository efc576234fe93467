"""A picture of a kernel that hangs: what it still says when asked over its UART with BREAK and SysRq."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.console.link import Link
    from pytest_shepherd_hil.console.log import ConsoleLog

__all__ = ["ask_kernel", "boot_loader_may_listen"]

_BOOT = re.compile(
    r"U-Boot|Starting kernel|reboot: Restarting system|Rebooting in \d+ seconds|sysrq: (?:SysRq : )?Resetting"
    r"|(?P<kernel>Booting Linux|Linux version )"
)
_LOOK_BACK = 500
_FIRST_WORD_S = 1.0
"""How long a kernel may take to begin to answer."""
_PAUSE_S = 0.3
"""A silence this long ends an answer."""
_LONGEST_S = 5.0


def boot_loader_may_listen(log: ConsoleLog) -> bool:
    """Whether what a board last said leaves room for a boot loader that counts down: a key typed now would stop it."""
    for line in reversed(log.lines(max(log.count - _LOOK_BACK, 0))):
        found = _BOOT.search(line.text[:200])
        if found is not None:
            return found["kernel"] is None
    return False


def ask_kernel(link: Link, log: ConsoleLog, keys: str, given_up: Callable[[], bool] = lambda: False) -> list[str]:
    """Ask with BREAK and SysRq, and return what came, as lines.

    Args:
        link: the line to the board's console.
        log: its record.
        keys: SysRq commands that only show something: ``w`` blocked tasks, ``l`` what each processor does, ``t`` all.
        given_up: whether nothing more can come.
    """
    if not link.alive:
        return []
    if boot_loader_may_listen(log):
        return ["(SysRq was not sent: a boot loader may be counting down)"]
    said: list[str] = []
    for key in keys:
        start = log.count
        try:
            link.sysrq(key)
        except HilError as error:
            said.append(f"(SysRq {key}: {first_line(error)})")
            continue
        _await_silence(log, given_up)
        said += [line.text for line in log.lines(start)] or [f"(SysRq {key}: nothing came)"]
    return said


def _await_silence(log: ConsoleLog, given_up: Callable[[], bool]) -> None:
    asked_ns = time.monotonic_ns()
    while not given_up():
        now_ns = time.monotonic_ns()
        last_ns = log.last_ns or 0
        waited_s = (now_ns - asked_ns) / 1e9
        if waited_s > _LONGEST_S or (last_ns < asked_ns and waited_s > _FIRST_WORD_S):
            return
        if last_ns >= asked_ns and (now_ns - last_ns) / 1e9 > _PAUSE_S:
            return
        time.sleep(0.02)
