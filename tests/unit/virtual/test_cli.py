"""The shepherd-hil command, as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil import cli
from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual import build as building
from pytest_shepherd_hil.virtual.build import Build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def build(tmp_path: Path) -> Build:
    modules = {"hilfault": tmp_path / "hilfault.ko", "shepherd": tmp_path / "shepherd.ko"}
    return Build(tmp_path, "6.1.0-9-armmp", tmp_path, tmp_path, tmp_path, "ssh-ed25519 A", modules, tmp_path / "s")


def test_build_says_its_steps_and_where_it_is(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refresh(say: Callable[[str], None], live: Callable[[str], None]) -> Build:
        say("Building")
        live("not on a terminal")
        return build

    monkeypatch.setattr(building, "refresh", refresh)
    assert cli.main(["virtual", "build"]) == 0
    assert capsys.readouterr() == (f"Building\nKernel 6.1.0-9-armmp, hilfault, shepherd: {build.folder}\n", "")


def test_on_a_terminal_progress_is_wiped_by_the_next_line(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refresh(say: Callable[[str], None], live: Callable[[str], None]) -> Build:
        live("1 of 2 MB")
        live("2 of 2 MB")
        say("Done")
        return build

    monkeypatch.setattr(building, "refresh", refresh)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    cli.main(["virtual", "build"])
    assert capsys.readouterr().out.startswith("\r\x1b[K  1 of 2 MB\r\x1b[K  2 of 2 MB\r\x1b[KDone\n")


def test_what_goes_wrong_is_told_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refresh(*_: object) -> Build:
        raise HostError("this host lacks make")

    monkeypatch.setattr(building, "refresh", refresh)
    assert cli.main(["virtual", "build"]) == 1
    assert capsys.readouterr() == ("", "error: this host lacks make\n")


def test_where_prints_the_folder_and_nothing_else(
    build: Build, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(building, "existing", lambda: build)
    assert cli.main(["virtual", "where"]) == 0
    assert capsys.readouterr().out == f"{build.folder}\n"


def test_where_there_is_none_says_how_to_make_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest_shepherd_hil.cli", "virtual", "where"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: there is no build of the virtual board yet: shepherd-hil virtual build\n"
    assert list(tmp_path.iterdir()) == []


def test_a_command_line_without_a_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert "required: COMMAND" in capsys.readouterr().err
