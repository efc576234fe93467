"""``python -m pytest_shepherd_hil.sim``: one embedded board, until its stdin ends or it is told to."""

from __future__ import annotations

import argparse
import io
import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pytest_shepherd_hil.rig.probe import Probe
from pytest_shepherd_hil.rig.serve import serve
from pytest_shepherd_hil.rig.workbench import Workbench
from pytest_shepherd_hil.sim.machine import Machine, MachineConfig
from pytest_shepherd_hil.sim.network import HOST, Network
from pytest_shepherd_hil.sim.shepherd import FAULTS
from pytest_shepherd_hil.sim.workbench import Faults

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_shepherd_hil.sim.life import Life
    from pytest_shepherd_hil.sim.sshd import SshServer

USER = "debian"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a board; returns the process's exit status."""
    options = _options().parse_args(arguments)
    config = MachineConfig(options.fault, options.fault_after, options.baudrate, options.boot_time)
    return serve("hil-sim-", lambda folder: _Board(folder, config))


class _Board:
    """Everything that makes one board, and where it is found."""

    def __init__(self, folder: Path, config: MachineConfig) -> None:
        network = Network()
        host_key, client_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        key_path, hosts_path = folder / "id_ed25519", folder / "known_hosts"
        _write_private(key_path, _openssh(client_key))
        public = host_key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        _write_private(hosts_path, f"[{HOST}]:{network.port} ".encode() + public + b"\n")
        self._ssh = _Ssh(_openssh(host_key), _openssh(client_key))
        self._machine = Machine(config, folder / "uart", network, self._ssh)
        self._probe = Probe(folder / "probe", self._machine.uart, self._machine.signals)
        self._workbench = Workbench(
            folder / "control", self._machine, self._probe, Faults(self._machine, network).operations
        )
        self.paths: dict[str, object] = {
            "uart": str(folder / "uart"),
            "ssh": {
                "host": HOST,
                "port": network.port,
                "user": USER,
                "key": str(key_path),
                "known_hosts": str(hosts_path),
                "sudo": True,
            },
            "control": str(folder / "control"),
            "probe": str(folder / "probe"),
        }
        self._machine.start()

    def warm_up(self) -> None:
        """Get the SSH server ready while the board boots."""
        threading.Thread(target=self._ssh.prepare, args=(self._machine,), name="warm up", daemon=True).start()

    def close(self) -> None:
        self._workbench.close()
        self._probe.close()
        self._machine.close()


class _Ssh:
    """The SSH server; paramiko is imported while the board boots, as that takes longer than all else here.

    Args:
        host_key: the board's private key.
        client_key: the private key that may log in.
    """

    def __init__(self, host_key: bytes, client_key: bytes) -> None:
        self._keys = (host_key, client_key)
        self._lock = threading.Lock()
        self._server: SshServer | None = None

    def prepare(self, machine: Machine) -> None:
        with self._lock:
            if self._server is None:
                import paramiko

                from pytest_shepherd_hil.sim.interpreter import run_login
                from pytest_shepherd_hil.sim.sshd import SshServer

                host, client = (paramiko.Ed25519Key(file_obj=io.StringIO(key.decode())) for key in self._keys)
                self._server = SshServer(host, client, USER, partial(run_login, machine))

    def serve(self, life: Life, end: socket.socket) -> None:
        if self._server is None:
            end.close()
        else:
            self._server.serve(life, end)


def _openssh(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def _write_private(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m pytest_shepherd_hil.sim", description=__doc__)
    parser.add_argument("--fault", choices=FAULTS, default="none", help="what goes wrong with the shepherd module")
    parser.add_argument("--fault-after", type=_positive, help="at which unload (racy) or load (cma, pru) since boot")
    parser.add_argument("--baudrate", type=_positive, default=115200, help="of the UART, in bits a second")
    parser.add_argument("--boot-time", type=float, default=0.3, help="from power to login prompt, in seconds")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
