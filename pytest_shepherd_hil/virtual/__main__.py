"""``python -m pytest_shepherd_hil.virtual``: one virtual board, until its stdin ends or it is told to."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.rig.probe import Probe
from pytest_shepherd_hil.rig.serve import serve
from pytest_shepherd_hil.rig.workbench import Workbench
from pytest_shepherd_hil.virtual.machine import Machine
from pytest_shepherd_hil.virtual.port import HOST, free_port
from pytest_shepherd_hil.virtual.qemu import Image, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

USER = "root"
PORT_TRIES = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a board; returns the process's exit status."""
    options = _options().parse_args(arguments)
    return serve("hil-virtual-", lambda folder: _Board(folder, options))


class _Board:
    """Everything that makes one board, and where it is found."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        image = Image(options.kernel, options.initramfs)
        snapshot = Snapshot(options.snapshot) if options.snapshot else None
        for left in reversed(range(PORT_TRIES)):
            port = free_port()
            self._machine = Machine(image, snapshot, folder / "uart", port, options.baudrate)
            try:
                self._machine.start()
                break
            except HilError as error:
                self._machine.close()
                if not left or "host forwarding" not in str(error):  # else somebody has just taken the port
                    raise
        self._probe = Probe(folder / "probe", self._machine.uart, self._machine.signals)
        self._workbench = Workbench(folder / "control", self._machine, self._probe, {"cold_boot": self._cold_boot})
        hosts = folder / "known_hosts"
        hosts.write_text(f"[{HOST}]:{port} {options.host_key}\n", encoding="ascii")
        self.paths: dict[str, object] = {
            "uart": str(folder / "uart"),
            "ssh": {
                "host": HOST,
                "port": port,
                "user": USER,
                "key": str(options.client_key),
                "known_hosts": str(hosts),
                "sudo": False,
            },
            "control": str(folder / "control"),
            "probe": str(folder / "probe"),
        }

    def _cold_boot(self, request: dict[str, Any]) -> None:
        self._machine.cold_boot(verbose=bool(request.get("verbose")))

    def warm_up(self) -> None:
        """Nothing can wait."""

    def close(self) -> None:
        self._workbench.close()
        self._probe.close()
        self._machine.close()


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m pytest_shepherd_hil.virtual", description=__doc__)
    parser.add_argument("--kernel", type=Path, required=True, help="its kernel")
    parser.add_argument("--initramfs", type=Path, required=True, help="its initramfs")
    parser.add_argument("--client-key", type=Path, required=True, help="private key that may log in")
    parser.add_argument("--host-key", required=True, help="its public host key, as in known_hosts")
    parser.add_argument("--snapshot", type=Path, help="folder of a snapshot, from which it goes on")
    parser.add_argument("--baudrate", type=int, default=115200, help="of the UART, in bits a second")
    return parser


if __name__ == "__main__":
    sys.exit(main())
