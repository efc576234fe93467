"""The console log of the run that holds a board, found through the run's own process."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_shepherd_hil.text import file_name

__all__ = ["run_log"]

_PID = re.compile(r"\(pid (\d+), since \d\d:\d\d:\d\d\): ")


def run_log(holder: str, board: str) -> tuple[Path | None, str]:
    """Where the run writes what the board says.

    Args:
        holder: what :meth:`~pytest_shepherd_hil.lock.BoardLock.holder` says.
        board: name of the board.

    Returns:
        The file; or None, and why it cannot be found and what to do.
    """
    match = _PID.search(holder)
    if match is None:
        return None, "nobody has noted which process that is; look for hil-evidence/*/console-*.log where it runs"
    folder = Path("/proc", match[1], "fd")
    try:
        links = [name.readlink() for name in folder.iterdir()]
    except PermissionError:
        where = f"its console log is console-{file_name(board)}.log in the newest folder of its hil-evidence"
        return None, f"process {match[1]} is another user's, so its files cannot be seen here; {where}"
    except OSError:
        return None, f"process {match[1]} is not to be found (in a container? just ended?)"
    logs = [link for link in links if re.fullmatch(r"console-.*\.log", link.name)]
    wanted = [link for link in logs if link.name == f"console-{file_name(board)}.log"] or logs
    if len(wanted) == 1:
        return wanted[0], ""
    if wanted:
        return None, f"it writes several: {', '.join(sorted(map(str, wanted)))}"
    return None, f"process {match[1]} writes no console log (now); it may be another `shepherd-hil` or on its way"
