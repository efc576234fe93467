"""Checks of the wire between: what the board's kernel writes comes out here, at which rate, and a BREAK goes in."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.port import PortLostError
from pytest_shepherd_hil.console.source import measured
from pytest_shepherd_hil.doctor.finding import Finding, in_one_line, not_checked, ok, problem, warning
from pytest_shepherd_hil.doctor.target import kernel_rate
from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.doctor.bench import Bench, Wire

__all__ = ["check_break", "check_console", "check_rate", "looks_like_text"]

NONCE_S = 3.0
"""How long a silent UART is waited for."""
TRY_S = 1.0
"""The same for each rate that is tried."""
TRYING_S = 45.0
"""How long rates are tried."""
ANSWER_S = 2.0
RATES = (115200, 1_500_000, 921_600, 57_600, 38_400, 9_600, 230_400, 460_800, 1_000_000, 3_000_000, 19_200)
"""What boards are set to, the most frequent first."""
_TEXT = frozenset(b"\t\r\n\x1b\b\a" + bytes(range(0x20, 0x7F)))
_READABLE = 0.75
"""Of what is heard at the right rate more is text; at a wrong one about a third is."""
_HELP = re.compile(r"sysrq ?: (?:SysRq ?: )?(?:HELP|This sysrq operation is disabled)", re.IGNORECASE)


def looks_like_text(data: bytes) -> bool:
    """Whether it is what a console says, and not what a wrong baud rate makes of it."""
    return sum(byte in _TEXT for byte in data) >= _READABLE * len(data)


def check_console(bench: Bench) -> Finding:
    """What this board's kernel writes comes out of the port; without a shell, at least somebody answers there."""
    wire = bench.wire
    assert wire is not None
    if bench.ssh is None:
        return _somebody(bench, wire)
    begin = wire.log.end
    with bench.loud():
        took_s = wire.nonce(NONCE_S)
        if took_s is not None:
            bench.heard = b""
            return ok(f"a line written to /dev/kmsg came out after {took_s * 1000:.0f} ms")
    if wire.lost is not None:
        return problem(wire.lost.what, "see to its plug and its USB hub: dmesg | tail")
    size = wire.log.size
    heard = _said(wire, begin)
    source = wire.config.port or wire.config.source.removeprefix("on ")
    tried = f"a line written to /dev/kmsg did not come out of {source} within {NONCE_S:g} s"
    if size == 0 and wire.config.read_only:
        return problem(
            f"{tried}; not a single byte did: {measured(wire.port)}",
            f"channel {wire.config.logic} to pin 5 of J1, the analyzer's ground to pin 1?",
        )
    if size == 0:
        answer = _answer(wire)
        if not answer:
            return problem(
                f"{tried}; not a single byte did, nor does anybody answer a newline",
                "adapter's RX to pin 5 of J1, its TX to pin 4, ground to pin 1? is it this board's adapter?",
            )
        heard = answer
    bench.heard = heard.encode("utf-8", "surrogateescape")
    shown = printable(heard.strip().rpartition("\n")[2], 80)
    if not _is_text(heard):
        return problem(f"{tried}; what comes is garbage: {shown}", "see the baud rate below")
    if "hil: f" in heard or "fence" in heard:
        return problem(
            f"{tried} whole; what came is damaged: {shown}",
            "bytes are lost on the way: see to ground, a long wire, a USB hub, a busy machine",
        )
    return problem(
        f"{tried}, but something else did: {shown}",
        "another board's console? Or the kernel prints to another UART than the one that is wired",
    )


def _somebody(bench: Bench, wire: Wire) -> Finding:
    if wire.config.read_only:
        return not_checked(f"the console {wire.config.source} is read only, and there is no shell to have it speak")
    answer = _answer(wire)
    bench.heard = answer.encode("utf-8", "surrogateescape")
    shown = printable(answer.strip().rpartition("\n")[2], 80)
    if not answer:
        return warning(
            "nobody answers a newline, and without a shell nothing else can be tried",
            f"press the board's reset button: `shepherd-hil console {bench.name}` shows whether it says anything",
        )
    if not _is_text(answer):
        return problem(f"what comes is garbage: {shown}", "see the baud rate below")
    return ok(f"somebody answers: {shown}; without [boards.{bench.name}.ssh] nobody knows whether it is this board")


def _said(wire: Wire, begin: int) -> str:
    """What came since, with each byte that is no text as U+FFFD."""
    return wire.log.text_since(begin)


def _is_text(heard: str) -> bool:
    return looks_like_text(heard.replace("\ufffd", "\0").encode("utf-8", "replace"))


def _answer(wire: Wire) -> str:
    """What somebody at the other end says to a newline."""
    begin = wire.log.end
    view = wire.console()
    try:
        view.send("\r")
        view.expect(r"\S", ANSWER_S)
        view.expect(r"[:#$>] ?$", ANSWER_S / 2)  # all of a prompt
    except HilError:
        pass
    return wire.log.text_since(begin)


def check_rate(bench: Bench) -> Finding:
    """Port and kernel have the same baud rate; where they have not, the right one is found."""
    wire = bench.wire
    assert wire is not None
    rate = wire.config.baudrate
    if wire.lost is not None or bench.heard is None:
        return not_checked("nothing came out of the UART")
    if bench.heard == b"":
        return _compare(bench, wire, rate)
    if looks_like_text(bench.heard):
        return not_checked(f"what comes out at {rate} baud is text, though not this board's")
    if wire.config.read_only:
        return problem(
            f"the channel is no UART of {rate} baud; measured: {measured(wire.port)}",
            f"set baudrate in [boards.{bench.name}.console]",
        )
    found = _try_rates(bench, rate)
    if found is not None:
        return problem(f"the board talks at {found} baud, and this port listens at {rate}", f"set baudrate = {found}")
    return problem(
        f"garbage at {rate} baud, and at none of {', '.join(map(str, RATES))} does the board's line come out",
        "signal levels (3.3 V TTL, not RS-232)? ground? parity or inverted lines?",
    )


def _compare(bench: Bench, wire: Wire, rate: int) -> Finding:
    stated = kernel_rate(bench)
    proof = f"{rate} baud: the kernel's line came out whole"
    if stated is None or stated[0] == rate:
        return ok(f"{proof}, and {stated[1]} says so, too" if stated is not None else proof)
    kernel, source = stated
    if wire.config.port is not None and "://" in wire.config.port:
        return ok(f"the other end of {wire.config.port} decides; the board has {kernel} ({source})")
    return warning(
        f"{proof}, but {source} says {kernel}: this port does not care for its rate",
        f"set baudrate = {kernel} all the same",
    )


def _try_rates(bench: Bench, wrong: int) -> int | None:
    """The rate at which the board's own line comes out, or, without a shell, at which its answer is text."""
    rates = [rate for rate in RATES if rate != wrong]
    if bench.ssh is not None:
        stated = kernel_rate(bench)
        if stated is not None:
            rates = [stated[0], *(rate for rate in rates if rate != stated[0])]
    deadline = time.monotonic() + TRYING_S
    with bench.loud():
        for rate in rates:
            if time.monotonic() >= deadline:
                break
            try:
                wire = bench.open_wire(rate)
            except HilError:  # a rate that this adapter cannot do
                continue
            if bench.ssh is None:
                answer = _answer(wire)
                if answer and _is_text(answer):
                    return rate
            elif wire.nonce(TRY_S, longest_s=2 * TRY_S) is not None:
                return rate
    return None


def check_break(bench: Bench) -> Finding:
    """A BREAK on the wire reaches the kernel's SysRq: it is asked for its list of commands, and does nothing else."""
    wire = bench.wire
    assert wire is not None
    port = wire.config.port
    if port is None and (bench.own is not None or bench.config.power is not None):
        return ok("none: a logic analyzer only listens; a board whose shell is gone gets its power cycled")
    if port is None:
        return warning(
            "a logic analyzer sends no BREAK: a kernel that no longer runs its shell can be neither asked nor "
            "restarted through the console",
            f"give it a [boards.{bench.name}.power], or a serial port",
        )
    if bench.own is None and port.startswith("socket://"):
        return warning("a socket:// port carries no BREAK", "use rfc2217:// (ser2net), which does")
    if bench.own is None and os.path.realpath(port).startswith("/dev/pts/"):
        return warning("a pty carries no BREAK: no SysRq through the console", "use the adapter's own device")
    if bench.ssh is not None and bench.read("/proc/sys/kernel/sysrq") is None:
        return not_checked("this kernel has no SysRq: it would hand a BREAK to whoever waits for a log-in")
    view = wire.console()
    try:
        with bench.sysrq_on():
            view.send_break()
            view.send("h")
            view.expect(_HELP, ANSWER_S)
    except PortLostError as error:
        return warning(in_one_line(error, bench.name), "see whether this adapter and its driver can send a BREAK")
    except HilError:
        view.send("\x08\x15")  # it was typed at a log-in prompt then
        return warning(
            "no answer to BREAK and SysRq h: a hung kernel can be neither asked nor restarted through the console",
            "a kernel with CONFIG_MAGIC_SYSRQ_SERIAL? TX wired to the board's RX (pin 4 of J1)?",
        )
    return ok("BREAK and SysRq h are answered")
