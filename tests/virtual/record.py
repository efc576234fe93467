"""Records the library of kernel logs in ``tests/data/kernel`` from the virtual board, and from other machines.

    python -m tests.virtual.record [--arch amd64|arm64|armhf_6_12] [NAME...]

One log for each fault of ``faults.py``, as it came out of the UART, with what the judge has to say of it beside it; and
the clean ones: ``cold-boot``, ``reload-loop`` and ``full-suite``. With names, only these are made anew.

With ``--arch``, from a machine of ``bare.py`` instead; the names of its logs begin with the architecture. What the
judge has to say of these is written by hand after reading them, and is left as it is here. The ``hilfault`` that they
crashed in is kept with its debug information, as ``modules/ARCH-hilfault.ko.xz``: after a change of it record all.
"""

from __future__ import annotations

import argparse
import json
import lzma
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.boards import SshConfig
from pytest_shepherd_hil.errors import HilError, ShellError
from pytest_shepherd_hil.shell import Shell
from pytest_shepherd_hil.virtual.build import ensure
from pytest_shepherd_hil.virtual.process import VirtualProcess
from tests.sim.sim_process import Console
from tests.virtual import bare
from tests.virtual.faults import HILFAULT, SHEPHERD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.virtual.faults import Fault

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "data" / "kernel"
RELOADS = "for i in $(seq 20); do modprobe shepherd && sleep 0.2 && modprobe -r shepherd || exit 1; done"
FLUSH = "echo '<7>hil: flush' > /dev/kmsg"
"""Makes the kernel print what it keeps back: a message without a newline."""
QUIET_S = 2.0
GIVE_UP_S = 90.0
READY = "hil: board is ready"
BANNER = b"Linux version "
BOOT_LINES = 10
"""Of the boot after a fault: it is the same each time."""
BARE_BOOT_S = 240.0


def shell_of(board: VirtualProcess) -> Shell:
    """A shell, once the board answers."""
    ssh = board.ssh
    config = SshConfig(host=ssh.host, port=ssh.port, user=ssh.user, key=ssh.key, known_hosts=ssh.known_hosts)
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        shell = Shell(config, board="virtual")
        try:
            shell.run("echo 8 > /proc/sys/kernel/printk", timeout_s=10.0)
            return shell
        except ShellError:
            shell.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def last_words(console: Console) -> None:
    """Wait until the board has been silent for a while."""
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline:
        size = len(console.data)
        time.sleep(QUIET_S)
        if len(console.data) == size:
            return
    raise TimeoutError(f"the board still talks after {GIVE_UP_S:g} s")


def record_commands(board: VirtualProcess, commands: tuple[str, ...], *, reboots: bool) -> bytes:
    """What the console says of ``commands`` on a fresh board, which shows what it says while booting, too."""
    if reboots:
        board.control.cold_boot(verbose=True)
        shell_of(board).close()
        time.sleep(QUIET_S)
    else:
        board.control.power_cycle()
    console = Console(board.uart)
    shell = shell_of(board)

    def run() -> None:
        for command in (*commands, FLUSH):
            try:
                shell.run(command, check=False, timeout_s=60.0)
            except HilError:
                return  # as happens where the board dies of it

    runner = threading.Thread(target=run, daemon=True)
    try:
        runner.start()
        if reboots:
            console.wait_for(READY, GIVE_UP_S)
        else:
            runner.join(GIVE_UP_S)
            last_words(console)
        return bytes(console.data)
    finally:
        shell.kill("recorded")
        shell.close()
        console.close()


def record_cold_boot(board: VirtualProcess) -> bytes:
    """What the console says of a boot with nothing held back."""
    board.control.cold_boot(verbose=True)
    console = Console(board.uart)
    try:
        console.wait_for(READY, GIVE_UP_S)
        last_words(console)
        return bytes(console.data)
    finally:
        console.close()


def record_full_suite(_: VirtualProcess) -> bytes:
    """The console of the whole board suite on the healthy board."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "--board", "qemu01", "tests/hil", "--hil-evidence", folder]
        subprocess.run(command, cwd=ROOT, check=True, timeout=300)
        (log,) = Path(folder).glob("*/console-qemu01.log")
        return log.read_bytes()


def expected(fault: Fault) -> list[dict[str, object]]:
    """The incident that a fault is, as a person knows it who wrote the fault."""
    if fault.kind is None:
        return []
    keys = {"kind": fault.kind, "severity": "fail", "function": fault.function, "module": fault.guilty}
    return [{**keys, "fatal": fault.fatal}]


def record_bare(machine: bare.BareMachine, commands: tuple[str, ...]) -> bytes:
    """What the UART says of ``commands`` once the machine is ready; where it reboots, also how the next boot begins."""
    machine.read_until(lambda data: bare.READY in data, BARE_BOOT_S)
    start = machine.data.index(bare.READY) + len(bare.READY)
    machine.tell([*commands, FLUSH])

    def done(data: bytes) -> bool:
        _, _, rebooted = data[start:].partition(BANNER)
        return b"hil: flush" in data[start:] or rebooted.count(b"\n") >= BOOT_LINES

    machine.read_until(done, GIVE_UP_S)
    machine.read_until_quiet(QUIET_S, QUIET_S)
    said, banner, rebooted = machine.data[start:].partition(BANNER)
    return b"".join([said, banner, *rebooted.splitlines(keepends=True)[:BOOT_LINES]])


def record_bare_boot(machine: bare.BareMachine) -> bytes:
    """What the UART says of a boot."""
    machine.read_until(lambda data: bare.READY in data, BARE_BOOT_S)
    machine.read_until_quiet(QUIET_S, QUIET_S)
    return machine.data


def record_other(architecture: bare.Architecture, names: list[str]) -> None:
    """Record from a machine that is not the virtual board."""
    built = bare.build(architecture, lambda line: print(line, flush=True))
    faults = architecture.faults
    if architecture.keeps_symbols:
        module = FOLDER / "modules" / f"{architecture.name}-hilfault.ko.xz"
        module.parent.mkdir(exist_ok=True)
        module.write_bytes(lzma.compress(built.modules["hilfault"].read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    for name in names:
        with bare.BareMachine.started(architecture, built) as machine:
            data = record_bare(machine, faults[name].commands) if name in faults else record_bare_boot(machine)
        path = FOLDER / f"{architecture.name}-{name}"
        path.with_suffix(".log").write_bytes(data)
        answer = path.with_suffix(".json")
        incidents = json.loads(answer.read_text())["incidents"] if answer.exists() else None
        said = {"kernel": built.release, "arch": architecture.arch, "incidents": incidents}
        answer.write_text(json.dumps(said, indent=2) + "\n")
        print(
            f"{path.name}: {len(data)} bytes{'' if incidents is not None else '; write what is expected beside it'}",
            flush=True,
        )


def main() -> int:
    """Record what was asked for."""
    faults = {f"{fault.module}-{fault.name}": fault for fault in (*HILFAULT, *SHEPHERD)}
    clean: dict[str, Callable[[VirtualProcess], bytes]] = {
        "cold-boot": record_cold_boot,
        "reload-loop": lambda board: record_commands(board, (RELOADS,), reboots=False),
        "full-suite": record_full_suite,
    }
    parser = argparse.ArgumentParser(prog="python -m tests.virtual.record")
    parser.add_argument("--arch", choices=sorted(bare.ARCHITECTURES), help="another machine than the virtual board")
    parser.add_argument("names", nargs="*", metavar="NAME", help="logs to make anew; all of them without any")
    wanted = parser.parse_args()
    other = bare.ARCHITECTURES.get(wanted.arch)
    known = [*faults, *clean] if other is None else [*other.faults, "cold-boot"]
    names = wanted.names or known
    unknown = set(names) - set(known)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if other is not None:
        record_other(other, names)
        return 0
    kernel = ensure(print).release
    with VirtualProcess.start(print) as board:
        for name in names:
            fault = faults.get(name)
            data = record_commands(board, fault.commands, reboots=fault.fatal) if fault else clean[name](board)
            answer = {"kernel": kernel, "arch": "arm", "incidents": expected(fault) if fault else []}
            (FOLDER / f"{name}.log").write_bytes(data)
            (FOLDER / f"{name}.json").write_text(json.dumps(answer, indent=2) + "\n")
            print(f"{name}: {len(data)} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
