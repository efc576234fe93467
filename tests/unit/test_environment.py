"""``.ci/environment``: what ``make demo`` and ``make test`` do first, and what it says where Python lacks something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(tmp_path: Path, python: str) -> subprocess.CompletedProcess[str]:
    """Run it where the only Python is a script with these contents."""
    tools = tmp_path / "bin"
    tools.mkdir()
    stub = tools / "python3"
    stub.write_text(f"#!/bin/sh\n{python}\n")
    stub.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(ROOT / ".ci/environment"), str(tmp_path / "venv")],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_missing_venv_names_the_package(tmp_path: Path) -> None:
    done = environment(tmp_path, f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    assert done.returncode == 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"sudo apt-get install python{version}-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_old_python_is_refused_with_what_to_do(tmp_path: Path) -> None:
    done = environment(tmp_path, "exit 1")
    assert done.returncode == 1
    assert "no Python 3.11 or later found" in done.stderr
    assert "make PYTHON=/path/to/python3" in done.stderr
