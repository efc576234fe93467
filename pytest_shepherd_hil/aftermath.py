"""What a board that has come back still knows of its death: why it was reset, and its last words, if it kept them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.shell import Shell

__all__ = ["last_words"]

_ASK_S = 30.0
_MOST_CHARS = 1 << 20
_ASKS = {
    # pstore keeps each record as a file of its own, until somebody deletes it
    "pstore.txt": 'for f in /sys/fs/pstore/*; do [ -f "$f" ] && echo "=== $f" && cat "$f"; done',
    "previous-boot.txt": "journalctl --dmesg --boot -1 --no-pager --lines 5000",
}


def last_words(shell: Shell) -> dict[str, str]:
    """Texts by file name, each fit to be shown; what the board does not have is left out."""
    found = {}
    for name, command in _ASKS.items():
        try:
            said = shell.run(f"{{ {command}; }} 2>/dev/null", timeout_s=_ASK_S, check=False).stdout[-_MOST_CHARS:]
        except HilError:
            continue
        if said.strip():
            found[name] = "".join(f"{printable(line, 4000)}\n" for line in said.splitlines())
    return found
