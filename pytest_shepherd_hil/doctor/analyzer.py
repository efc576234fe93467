"""Checks of the logic analyzer: its program, its firmware, the device itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.doctor.finding import Finding, in_one_line, not_checked, ok, problem, warning
from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.logic.sigrok_cli import SigrokCli
from pytest_shepherd_hil.logic.sigrok_errors import FIRMWARE

if TYPE_CHECKING:
    from pytest_shepherd_hil.doctor.bench import Bench

__all__ = ["check_analyzer", "check_firmware", "check_program"]

SCAN_S = 15.0


def check_program(bench: Bench) -> Finding:
    """sigrok-cli is there and can be run."""
    if bench.config.logic is None:
        return not_checked(bench.lacks("logic"))
    if bench.own is not None:
        return ok(f"not needed: the {bench.kind} has its own probe")
    if not bench.config.logic.by_sigrok_cli:
        return ok(f"not needed: driver {bench.config.logic.driver} does without")
    if shutil.which(SigrokCli.COMMAND) is None:
        return problem(f"{SigrokCli.COMMAND} is not on PATH", f"sudo apt-get install {SigrokCli.COMMAND}")
    code, said = _sigrok("--version")
    if code != 0:
        return problem(f"{SigrokCli.COMMAND} --version ended with {code} and said: {said[:300]}", "install it anew")
    return ok(said.partition("\n")[0])


def check_firmware(bench: Bench) -> Finding:
    """What the driver loads into its device is there."""
    logic = bench.config.logic
    if logic is None:
        return not_checked(bench.lacks("logic"))
    if bench.own is not None or logic.driver not in FIRMWARE:
        return ok(f"driver {logic.driver} needs none that is known")
    pattern, get = FIRMWARE[logic.driver]
    folders = _firmware_folders()
    found = [folder for folder in folders if folder.is_dir() and any(folder.glob(pattern))]
    if not found:
        where = ", ".join(map(str, folders))
        return problem(f"no {pattern} for driver {logic.driver} in any of {where}", get)
    return ok(f"{pattern} is in {found[0]}")


def _firmware_folders() -> list[Path]:
    """Where libsigrok looks, in its order."""
    folders = []
    if own := os.environ.get("SIGROKFIRMWARE_DIR"):
        folders.append(Path(own))
    folders.append(Path(os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()))
    folders += map(Path, (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":"))
    first = 1 if own else 0
    return folders[:first] + [folder / "sigrok-firmware" for folder in folders[first:]]


def check_analyzer(bench: Bench) -> Finding:
    """The analyzer answers."""
    logic = bench.config.logic
    assert logic is not None
    wire = bench.wire
    if wire is not None and wire.config.read_only and wire.lost is None:
        found = _sample(bench)
        return replace(found, says=f"{found.says}; the console is heard on {wire.config.logic}")
    if bench.own is not None or not logic.by_sigrok_cli:
        return _sample(bench)
    device = logic.driver + (f":conn={logic.conn}" if logic.conn else "")
    code, said = _sigrok("--driver", device, "--scan")
    if f"Driver {logic.driver} not found" in said:
        return problem(
            f"this libsigrok has no driver {logic.driver}", f"{SigrokCli.COMMAND} --list-supported names those it has"
        )
    devices = re.findall(rf"^{re.escape(logic.driver)}\S* - (.+)", said, re.MULTILINE)
    if code != 0 or not devices:
        more = f"; {SigrokCli.COMMAND} said: {said[:300]}" if said else ""
        return problem(
            f"no device of driver {device} answers{more}",
            "plug it in (lsusb), join group plugdev, end other programs that use it",
        )
    if len(devices) > 1 and logic.conn is None:
        return warning(
            f"{len(devices)} devices answer to driver {logic.driver}, and the first is taken: {'; '.join(devices)}",
            f"choose one with conn in [boards.{bench.name}.logic]",
        )
    return ok(devices[0])


def _sample(bench: Bench) -> Finding:
    """Take a few samples."""
    logic = bench.config.logic
    assert logic is not None
    try:
        found = bench.analyzer.capture(64 / logic.samplerate)
    except HilError as error:
        says, _, advice = in_one_line(error, bench.name).partition("; ")
        return problem(says, advice or f"correct [boards.{bench.name}.logic]")
    what = f"the {bench.kind}'s own probe" if bench.own is not None else f"driver {logic.driver}"
    return ok(f"{what} takes {found.samplerate} samples a second of {', '.join(found.channels)}")


def _sigrok(*arguments: str) -> tuple[int, str]:
    """Exit status and words of sigrok-cli; a run that does not end counts as one that failed."""
    try:
        done = subprocess.run(
            [SigrokCli.COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SCAN_S,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, f"it did not end within {SCAN_S:g} s"
    except OSError as error:
        return -1, error.strerror or str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()
