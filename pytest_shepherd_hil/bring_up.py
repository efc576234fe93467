"""A board that has been switched on is there: its shell answers, from a new boot, and its console is its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.proof import Unproven, explain
from pytest_shepherd_hil.console.source import measured
from pytest_shepherd_hil.errors import BoardError, ConsoleError, HostError, ShellError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.console.link import Link
    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.guard.fence import Fences
    from pytest_shepherd_hil.shell import Shell

__all__ = ["PROOF_S", "await_shell", "prove_console"]

PROOF_S = 10.0
"""How long a console that talks all the time may take to show that it is this board's."""
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def await_shell(shell: Shell, board: str, timeout_s: float | None, not_boot: str | None = None) -> str:
    """Wait until a board's shell answers; returns the boot id of its kernel.

    Args:
        shell: the board's.
        board: its name.
        timeout_s: how long it may take to boot, in seconds; None for a board that should be up: then only what may pass
            is waited for, as long as a connection may take.
        not_boot: boot id of the kernel that ran before, which does not count.

    Raises:
        HilError: it does not answer, or still runs the old kernel.
    """
    limit_s = shell.config.connect_timeout_s if timeout_s is None else timeout_s
    deadline = time.monotonic() + limit_s
    pause_s = 0.05
    while True:
        left_s = max(deadline - time.monotonic(), 0.5)
        try:
            said = shell.run(_BOOT_ID, timeout_s=min(left_s, shell.config.connect_timeout_s), sudo=False).stdout
        except HostError:
            raise
        except ShellError as error:
            if not (error.may_pass or timeout_s is not None) or time.monotonic() + pause_s >= deadline:
                raise
        else:
            boot_id = said.strip()
            if boot_id != not_boot:
                return boot_id
            if time.monotonic() >= deadline:
                raise BoardError(
                    f"board {board}: {limit_s:.3g} s after it was restarted it still runs the old kernel "
                    f"(boot id {boot_id}); does the power command switch the right port?"
                )
            shell.drop()
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 1.0)


def prove_console(
    link: Link, shell: Shell, fences: Fences, log: ConsoleLog, *, board: str, dead: Callable[[], str | None]
) -> None:
    """See a line that the board's kernel logs come out of the port that is said to be its console.

    Args:
        board: the board's name.
        dead: why the board is dead; None while it lives.

    Raises:
        ConsoleError: it does not; the message says which of the ways to be wrong this is.
    """
    before, started = log.size, log.count
    if fences.cross(lambda: not (dead() is None and link.alive), PROOF_S) is not None:
        return
    if not link.alive:
        raise ConsoleError(
            f"board {board}: console {link.config.source} was lost while the board was being opened: was its "
            f"{'logic analyzer' if link.read_only else 'adapter'} unplugged?"
        )
    lines = log.lines(started)
    heard = b"\n".join([*(line.raw for line in lines), log.unfinished]) if log.size > before else b""
    said = shell.run("cat /proc/sys/kernel/hostname /proc/consoles", check=False, timeout_s=5.0, sudo=False).stdout
    hostname, _, consoles = said.partition("\n")
    raise ConsoleError(
        explain(
            Unproven(
                board,
                link.config.source,
                link.config.baudrate,
                fences.SILENCE_S,
                heard,
                [line.text for line in lines],
                consoles,
                hostname,
                measured=measured(link.port) if link.read_only else "",
                channel=link.config.logic if link.read_only else None,
            )
        )
    )
