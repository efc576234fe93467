"""What is wrong with a console out of which a line that the board's kernel logged did not come. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Unproven", "explain"]

_TEXT = re.compile(rb"[\t\r\n\x1b\x20-\x7e]")
_READABLE = 0.75
"""Of a console at the right baud rate more of the bytes are text; at a wrong one about a third of them are."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Unproven:
    """What is known of the try.

    Attributes:
        board: its name.
        port: the console's, as the user wrote it.
        baudrate: in bits a second.
        waited_s: how long the line was waited for.
        heard: the bytes that came meanwhile.
        lines: the lines that came meanwhile, as text.
        consoles: ``/proc/consoles``, as the board's shell gives it; empty where it does not.
        hostname: what the board calls itself; empty where it does not say.
        measured: what rate the line has, measured by a logic analyzer; empty where there is none, or it cannot tell.
        channel: the analyzer's channel, where that is the console.
    """

    board: str
    port: str
    baudrate: int
    waited_s: float
    heard: bytes
    lines: Sequence[str]
    consoles: str = ""
    hostname: str = ""
    measured: str = ""
    channel: str | None = None


def explain(found: Unproven) -> str:
    """The error's text: which of the ways to be wrong this is, and what to do."""
    where = f"console {found.port} at {found.baudrate} baud"
    tried = (
        f"board {found.board}: a line written to /dev/kmsg over SSH did not come out of {where} "
        f"within {found.waited_s:g} s"
    )
    measured = f"Measured: {found.measured}. " if found.measured else ""
    if not found.heard:
        return f"{tried}; not a single byte did. {measured}{_silent(found)}"
    share = len(_TEXT.findall(found.heard)) / len(found.heard)
    if share < _READABLE:
        return (
            f"{tried}, though {len(found.heard)} bytes did, of which {share:.0%} are text: wrong baud rate? "
            f"{measured}{_kernels_console(found)}"
        )
    head = f"{tried}, though {len(found.heard)} bytes of text did: "
    if any("hil: f" in line or "fence" in line for line in found.lines):
        head += "the line came out damaged: bytes are lost on the way (ground, a long wire, a hub, a busy machine?)"
    else:
        own = f" (this one calls itself {printable(found.hostname, 64)})" if found.hostname else ""
        head += f"another board's console?{own} {_kernels_console(found)}"
    return "\n".join([head, *(f"  | {printable(line)}" for line in found.lines[-_SHOWN:])])


def _silent(found: Unproven) -> str:
    if found.consoles and not _serial(found.consoles):
        return (
            f"The kernel prints on no serial port at all: /proc/consoles has {_listed(found.consoles)}; add console=… "
            "to its command line"
        )
    probe = "the adapter's RX" if found.channel is None else f"the analyzer's channel {printable(found.channel)}"
    return f"Check that {probe} is on pin 5 of J1 and that ground is connected. {_kernels_console(found)}"


def _kernels_console(found: Unproven) -> str:
    if not found.consoles:
        return "Look where the kernel prints to: cat /proc/consoles"
    return f"The kernel prints to {_listed(found.consoles)} (/proc/consoles)"


def _serial(consoles: str) -> bool:
    return any(not re.match(r"tty\d|netcon|ramoops|pstore", line) for line in consoles.splitlines() if line.strip())


def _listed(consoles: str) -> str:
    names = [line.split()[0] for line in consoles.splitlines() if line.strip()]
    return printable(", ".join(names), 200) or "nowhere"
