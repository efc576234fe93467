"""From power-on to a working shell: the virtual board cold, and from its snapshot.

    python benchmarks/virtual.py [ROUNDS]

"Shell" is our own: a new SSH connection, logged in, the output of a command read back. The board is built first where
need be, which is not counted. The peer is what one would do without us: OpenSSH's client, tried until it answers.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.boards import SshConfig
from pytest_shepherd_hil.errors import ShellError
from pytest_shepherd_hil.shell import Shell
from pytest_shepherd_hil.virtual.process import VirtualProcess

if TYPE_CHECKING:
    from collections.abc import Callable

GIVE_UP_S = 120.0
COLD_S, CYCLE_S = 6.0, 1.5


def ours(board: VirtualProcess) -> None:
    """Wait until our shell has run a command."""
    ssh = board.ssh
    config = SshConfig(host=ssh.host, port=ssh.port, user=ssh.user, key=ssh.key, known_hosts=ssh.known_hosts)
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        shell = Shell(config, board="virtual")
        try:
            shell.run("true", timeout_s=10.0)
            return
        except ShellError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        finally:
            shell.close()


def openssh(board: VirtualProcess) -> None:
    """Wait until OpenSSH's client has run a command."""
    ssh = board.ssh
    command = ["ssh", "-F", "none", "-p", str(ssh.port), "-i", ssh.key, "-o", f"UserKnownHostsFile={ssh.known_hosts}"]
    command += ["-o", "ConnectTimeout=10", "-o", "BatchMode=yes", f"{ssh.user}@{ssh.host}", "true"]
    deadline = time.monotonic() + GIVE_UP_S
    while subprocess.run(command, capture_output=True, check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no shell within {GIVE_UP_S:g} s")


def measure(power: Callable[[], None], wait: Callable[[VirtualProcess], None], board: VirtualProcess) -> float:
    """Seconds from ``power`` to a shell."""
    started = time.monotonic()
    power()
    wait(board)
    return time.monotonic() - started


def main() -> int:
    """Print medians; the exit status says whether ours are within the limits."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    clients = {"ours": ours, **({"ssh": openssh} if shutil.which("ssh") else {})}
    medians: dict[tuple[str, str], float] = {}
    with VirtualProcess.start(lambda line: print(line, flush=True)) as board:
        ours(board)
        powers = {"cold power-on": board.control.cold_boot, "power cycle": board.control.power_cycle}
        print(f"{'seconds to shell':<16} {'client':<6} {'median':>7} {'min':>7} {'max':>7}   of {rounds}")
        for what, power in powers.items():
            times: dict[str, list[float]] = {name: [] for name in clients}
            for _ in range(rounds):
                for name, wait in clients.items():
                    times[name].append(measure(power, wait, board))
            for name, found in times.items():
                medians[what, name] = statistics.median(found)
                print(f"{what:<16} {name:<6} {medians[what, name]:7.2f} {min(found):7.2f} {max(found):7.2f}")
    good = medians["cold power-on", "ours"] <= COLD_S and medians["power cycle", "ours"] <= CYCLE_S
    print(f"limits: {COLD_S:g} s cold, {CYCLE_S:g} s by snapshot: {'kept' if good else 'NOT kept'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
