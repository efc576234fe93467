"""A bench: an embedded board that is reached as one reaches hardware."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.sim.process import SimProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.suite import Suite


@pytest.fixture
def bench(suite: Suite) -> Iterator[SimProcess]:
    """An embedded board that pytest knows only as a real one: a serial port, an SSH address, a power command."""
    with SimProcess.start() as sim:
        suite.boards(bench_toml(sim))
        yield sim


def bench_toml(sim: SimProcess, *, port: str | None = None, port_number: int | None = None, **keys: object) -> str:
    """``boards.toml`` for a board called ``bench`` that reaches ``sim`` as one reaches hardware.

    Args:
        port: another console port than the sim's.
        port_number: another TCP port for SSH than the sim's.
        keys: other values for the ssh table's keys.
    """
    table = {
        "host": sim.ssh.host,
        "port": port_number or sim.ssh.port,
        "user": sim.ssh.user,
        "key": sim.ssh.key,
        "known_hosts": sim.ssh.known_hosts,
        "sudo": True,
        "connect_timeout_s": 2,
        **keys,
    }
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in table.items())
    code = (
        f"from pytest_shepherd_hil.sim.control import SimControl; SimControl({str(sim.control.path)!r}).power_cycle()"
    )
    return f"""
[boards.bench]
boot_timeout_s = 15
[boards.bench.ssh]
{lines}
[boards.bench.console]
port = {json.dumps(port or sim.uart)}
[boards.bench.module]
name = "shepherd"
[boards.bench.power]
cycle = {json.dumps(f'{sys.executable} -c "{code}"')}
"""
