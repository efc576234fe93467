"""Lines that stand before a report or a boot: what they announce comes after them."""

from __future__ import annotations

import re

from pytest_shepherd_hil.kernel.rows import MAX_LINE_CHARS

__all__ = ["ASKED_FOR", "CUT", "MARK", "MARKED", "PREAMBLE", "REQUEST", "shows_a_log"]

CUT = re.compile(r"8<--- cut here ---|-{4,16}\[ cut here \]-{4,16}")
PREAMBLE = re.compile(CUT.pattern + r"|pgd = [0-9a-f]{8,16}$|\[[0-9a-f]{8,16}\] \*pgd=[0-9a-f]{8,16}")
"""What may stand before the line that shows what it is, also where the first line was lost."""
REQUEST = re.compile(r"(?:reboot|kexec_core|sysrq): (?:Restarting system|Starting new kernel|Resetting)")
"""Somebody asks for a reboot."""
ASKED_FOR = re.compile(
    r"FAULT_INJECTION: forcing|[Ss]ys[Rr]q ?: (?:Show|HELP)|potentially unexpected fatal signal|.{1,32}\[\d{1,10}\]:? "
    r"(?:segfault|unhandled|general protection|trap|bad frame)"
)
"""A trace that follows is no crash's."""
MARK = re.compile(f"{PREAMBLE.pattern}|{REQUEST.pattern}|FAULT_INJECTION: |[Ss]ys[Rr]q ?: |potentially unexp")
_HEX = "0123456789abcdef"
MARKED = frozenset(
    {"8<-", "---", "pgd", "reb", "kex", "sys", "Sys", "FAU", "pot"} | {f"[{a}{b}" for a in _HEX for b in _HEX}
)
"""How all of these begin: their first three characters."""
_SHOWS_A_LOG = re.compile(r"[$#>] .{0,200}\b(?:dmesg|journalctl|\w{0,20}log|messages|kmsg)\b")


def shows_a_log(message: str) -> bool:
    """Whether a line is a prompt with a command that shows logs."""
    if "$ " not in message and "# " not in message and "> " not in message:
        return False
    return _SHOWS_A_LOG.search(message, 0, MAX_LINE_CHARS) is not None
