"""What sigrok-cli makes of our files."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_by_sigrok_cli"]


def read_by_sigrok_cli(file: Path, *options: str) -> bytes:
    """The samples that it reads from a file, as its output format ``binary`` has them."""
    return subprocess.run(
        ["sigrok-cli", *options, "-i", str(file), "-O", "binary"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=True,
    ).stdout
