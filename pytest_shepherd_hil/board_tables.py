"""The tables of ``boards.toml``: what may stand in each."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationInfo, model_validator

from pytest_shepherd_hil.toml_words import quoted

__all__ = [
    "Commands",
    "ConsoleConfig",
    "LogicConfig",
    "ModuleConfig",
    "PowerConfig",
    "Seconds",
    "SimConfig",
    "SshConfig",
    "Table",
    "VirtualConfig",
    "parse_samplerate",
]

_SAMPLERATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMG]?)(?:Hz|Sa/s|S/s)?\s*", re.IGNORECASE)
OWN_PROBES = ("sim", "virtual")
"""The drivers of boards of our own."""
_RING_MB = 64
_MOST_RING_MB = 16384
_MOST_SAMPLERATE = 10_000_000_000
_UNIT = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def parse_samplerate(value: object) -> int:
    """A samplerate in Hz from ``4_000_000``, ``"4 MHz"`` or ``"500k"``.

    Raises:
        ValueError: it is none of these, or not a whole number of Hz from 1 Hz to 10 GHz.
    """
    rate: Decimal | int = 0
    if isinstance(value, int) and not isinstance(value, bool):
        rate = value
    elif isinstance(value, str) and (match := _SAMPLERATE.fullmatch(value)):
        rate = Decimal(match[1]) * _UNIT[match[2].lower()]
    if 1 <= rate <= _MOST_SAMPLERATE and rate == int(rate):
        return int(rate)
    raise ValueError(f"{value!r} is not a samplerate; write it as 4_000_000 or '4 MHz'")


Samplerate = Annotated[int, PlainValidator(parse_samplerate)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
NonEmpty = Annotated[str, Field(min_length=1)]
Commands = list[NonEmpty]


class Table(BaseModel):
    """A table: unknown keys and other types than those that it names are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _paths(value: object, info: ValidationInfo) -> object:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"must be a file name or an array of file names, not {quoted(value)}")
    folder = (info.context or {}).get("folder", Path())
    return tuple(folder / Path(name).expanduser() for name in names)


def _path(value: object, info: ValidationInfo) -> object:
    found = _paths([value], info)
    assert isinstance(found, tuple)
    return found[0]


class SshConfig(Table):
    """``[boards.NAME.ssh]``: how to reach the board's shell."""

    host: NonEmpty
    """Host name or address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: NonEmpty = "root"
    key: str | None = None
    """Private key file; without it the agent and the usual files in ``~/.ssh`` are tried."""
    password: str | None = None
    sudo: bool = False
    """Run every command through ``sudo -n``."""
    known_hosts: str | None = None
    """File of known host keys; with it, an unknown host is refused. Without it only a *changed* key is refused."""
    connect_timeout_s: Seconds = 10.0
    """How long connecting may take, from the first packet to the end of the log-in."""


class ConsoleConfig(Table):
    """``[boards.NAME.console]``: the kernel's UART.

    Where there is a ``port``, it is watched. Else the channel ``logic`` is, which can only be read.
    """

    port: NonEmpty | None = None
    """A device path, or any pyserial URL: ``socket://host:port``, ``rfc2217://host:port``, …"""
    logic: NonEmpty | None = None
    """The logic analyzer's channel that the UART's TX line is on, by its name or the board's: ``D0``, ``uart_tx``."""
    baudrate: Annotated[int, Field(ge=50, le=20_000_000)] = 115200

    @model_validator(mode="after")
    def _some_source(self) -> ConsoleConfig:
        if self.port is None and self.logic is None:
            raise ValueError("give 'port', a serial port, or 'logic', a channel of the logic analyzer")
        return self

    @property
    def source(self) -> str:
        """Where the watched bytes come from, for people: the port, or ``on logic channel D0``."""
        return self.port if self.port is not None else f"on logic channel {self.logic}"

    @property
    def read_only(self) -> bool:
        """Whether nothing can be sent to the board: an analyzer only listens."""
        return self.port is None


class LogicConfig(Table):
    """``[boards.NAME.logic]``: the logic analyzer clipped to the board."""

    driver: NonEmpty = "fx2lafw"
    """A libsigrok driver's name as ``sigrok-cli`` knows it; ``pysigrok:NAME`` for a hardware plugin of pysigrok;
    ``replay`` for a file; ``probe`` for a socket; ``sim`` and ``virtual`` for such a board's own probe."""
    conn: str | None = None
    """Which device, where several are plugged in: libsigrok's ``conn``, e.g. ``"1.12"``; a plugin's serial port; the
    path of a probe's socket."""
    samplerate: Samplerate = 1_000_000
    """Samples a second, in Hz. A replayed file has its own."""
    options: dict[NonEmpty, str | bool | int | float] = {}
    """Further settings of the driver, by its own names for them."""
    file: Annotated[Path | None, BeforeValidator(_path)] = None
    """What ``replay`` plays; relative to ``boards.toml``."""
    loop: bool = False
    """Whether ``replay`` begins again at the end."""
    channels: dict[str, str] = Field(default_factory=lambda: {"D0": "uart_tx"}, min_length=1)
    """What hangs on which channel: the analyzer's channel name to the name that tests use."""
    continuous: bool = True
    """Whether it runs all the time that the board is open, so that the moments before a crash are there."""
    ring_s: Annotated[float, Field(ge=1, le=3600)] | None = None
    """How many seconds of samples are kept in memory."""
    ring_mb: Annotated[int, Field(ge=1, le=_MOST_RING_MB)] | None = None
    """How many MiB of samples are kept in memory; 64 where neither this nor ``ring_s`` is given."""

    @model_validator(mode="after")
    def _one_ring(self) -> LogicConfig:
        if self.ring_s is not None and self.ring_mb is not None:
            raise ValueError("give either 'ring_s' or 'ring_mb'")
        size = self.ring_bytes(self.samplerate, max(1, (len(self.channels) + 7) // 8))
        if size > _MOST_RING_MB << 20:
            raise ValueError(
                f"'ring_s': {self.ring_s:g} s at {self.samplerate} Hz are {size >> 20} MiB; at most {_MOST_RING_MB} "
                "can be kept"
            )
        return self

    @model_validator(mode="after")
    def _what_the_driver_takes(self) -> LogicConfig:
        if self.driver == "replay" and self.file is None:
            raise ValueError("driver 'replay' needs 'file', a recording to be played")
        if self.driver != "replay" and (self.file is not None or self.loop):
            raise ValueError("'file' and 'loop' are for driver 'replay'")
        if self.driver == "replay" and "samplerate" in self.model_fields_set:
            raise ValueError("a replayed file has its own samplerate: remove 'samplerate'")
        if self.driver == "probe" and self.conn is None:
            raise ValueError("driver 'probe' needs 'conn', the path of its socket")
        if self.options and self.driver in ("replay", "probe", *OWN_PROBES):
            raise ValueError(f"driver {quoted(self.driver)} has no options")
        return self

    @property
    def plugin(self) -> str | None:
        """The hardware plugin of pysigrok that is to be used; None for other drivers."""
        name = self.driver.removeprefix("pysigrok:")
        return name if name != self.driver else None

    @property
    def streams(self) -> bool:
        """Whether samples come without gaps for as long as wanted; a plugin of pysigrok takes one block at a time."""
        return self.plugin is None

    @property
    def by_sigrok_cli(self) -> bool:
        """Whether ``sigrok-cli`` runs it."""
        return self.plugin is None and self.driver not in ("replay", "probe", *OWN_PROBES)

    def ring_bytes(self, samplerate: int, unitsize: int) -> int:
        """How many bytes of samples are kept in memory.

        Args:
            samplerate: samples a second, in Hz.
            unitsize: bytes in a sample.
        """
        if self.ring_s is not None:
            return math.ceil(self.ring_s * samplerate) * unitsize
        return (self.ring_mb or _RING_MB) << 20


class ModuleConfig(Table):
    """``[boards.NAME.module]``: the kernel module under test."""

    name: NonEmpty
    load: NonEmpty | None = None
    """Command that loads it; ``modprobe -a NAME`` where not given."""
    unload: NonEmpty | None = None
    """Command that unloads it; ``modprobe -rf NAME`` where not given."""
    before_unload: Commands = []
    """Commands to run before it is unloaded: they end what still holds it."""
    timeout_s: Seconds = 30.0
    """How long loading or unloading may take."""
    symbols: Annotated[tuple[Path, ...], BeforeValidator(_paths)] = ()
    """The ``.ko`` with debug information, or several of them, or ``vmlinux`` too: a file name or an array of them.
    Relative to ``boards.toml``; ``~`` is the home folder."""


class PowerConfig(Table):
    """``[boards.NAME.power]``: what switches the board's power: commands of this host, or another package's backend."""

    backend: NonEmpty | None = None
    """Name of another package's backend, as its entry point in the group ``pytest_shepherd_hil.power`` gives it."""
    options: dict[str, Any] = {}
    """What that backend is given."""
    cycle: NonEmpty | None = None
    off: NonEmpty | None = None
    on: NonEmpty | None = None
    off_s: Annotated[float, Field(ge=0, le=600)] = 2.0
    """How long the board stays off between ``off`` and ``on``."""
    timeout_s: Seconds = 60.0
    """How long each command may take."""

    @model_validator(mode="after")
    def _some_way(self) -> PowerConfig:
        ways = [self.backend is not None, self.cycle is not None, self.off is not None or self.on is not None]
        if self.backend is None and self.options:
            raise ValueError("'options' are for a 'backend'")
        if sum(ways) > 1 and (self.backend is not None):
            raise ValueError("give either 'backend', or the commands 'cycle' or 'off' and 'on'")
        if self.backend is None and self.cycle is None and (self.off is None or self.on is None):
            raise ValueError("give 'cycle', or both 'off' and 'on', or a 'backend'")
        return self


class SimConfig(Table):
    """``[boards.NAME.sim]``: this is an embedded board; its process brings console, shell, probe and power with it."""

    fault: Literal["none", "racy", "cma", "pru"] = "none"
    """What goes wrong: nothing; a panic on unload; a failed CMA allocation on load; a PRU that does not answer."""
    fault_after: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """At which unload (``racy``) or load (``cma``, ``pru``) after power-on the fault shows."""


class VirtualConfig(Table):
    """``[boards.NAME.virtual]``: this is a virtual board; QEMU brings console, shell, probe and power with it."""

    snapshot: bool = True
    """Whether each power-on goes on from a snapshot of the booted board, instead of booting."""
