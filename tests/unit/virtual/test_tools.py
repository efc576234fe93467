"""What a host lacks is told at once, all of it, with the packages that bring it."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual import tools

PYTHON = sys.executable


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which tools are looked for; empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(tools, "SBIN", ())
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).symlink_to(shutil.which("true", path="/usr/bin:/bin") or "/bin/true")


def test_a_host_without_apt_is_shown_where_else_to_go(path: Path) -> None:
    with pytest.raises(HostError) as caught:
        tools.check()
    assert str(caught.value) == (
        "a virtual board is built from Debian packages by apt, and this host lacks "
        "apt-get, apt-cache, dpkg, dpkg-deb.\n"
        "  Use the debian:bookworm container in which .github/workflows/ci.yml runs the tests of the virtual boards."
    )


def test_all_that_is_missing_is_named_at_once_with_its_packages(path: Path) -> None:
    install(path, "apt-get", "apt-cache", "dpkg", "dpkg-deb", "make")
    with pytest.raises(HostError) as caught:
        tools.check()
    assert str(caught.value) == (
        "a virtual board cannot be built: this host lacks qemu-system-arm, arm-linux-gnueabihf-gcc, "
        "arm-linux-gnueabihf-readelf, arm-linux-gnueabihf-strip, depmod\n"
        "  sudo apt-get install qemu-system-arm gcc-arm-linux-gnueabihf binutils-arm-linux-gnueabihf kmod"
    )


def test_nothing_is_said_where_nothing_is_missing(path: Path) -> None:
    install(path, *tools.DEBIAN, *tools.TOOLS)
    tools.check()


def test_tools_of_root_are_found_without_being_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert tools.run([PYTHON, "-c", "import os; print(os.environ['PATH'])"]).strip() == "/usr/bin:/usr/sbin:/sbin"


def test_a_tool_that_fails_is_quoted() -> None:
    with pytest.raises(HostError) as caught:
        tools.run([PYTHON, "-c", "import sys; print('one'); print('\\x1b[31mtwo', file=sys.stderr); sys.exit(4)"])
    assert "ended with exit status 4" in str(caught.value)
    assert str(caught.value).endswith("  | one\n  | two") or str(caught.value).endswith("  | two\n  | one")


def test_a_tool_that_is_not_there_is_told() -> None:
    with pytest.raises(HostError, match=r"^`no-such-tool --really` could not be started: No such file or directory$"):
        tools.run(["no-such-tool", "--really"])


def test_a_tool_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    line = f"echo waiting; sleep 60 & echo $! > '{tmp_path}/child'; wait"
    started = time.monotonic()
    with pytest.raises(HostError, match=r"did not end within 0\.5 s\n  \| waiting"):
        tools.run(["sh", "-c", line], timeout_s=0.5)
    assert time.monotonic() - started < 10
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_output_is_english_and_variables_can_be_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("MAKEFLAGS", "j")
    show = "import os; print(os.environ['LC_ALL'], os.environ.get('MAKEFLAGS'))"
    output, status = tools.attempt([PYTHON, "-c", show], environment={"MAKEFLAGS": ""})
    assert (output.split(), status) == (["C.UTF-8", "None"], 0)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
