"""``boards.toml``: which boards there are and what each has. Nothing is opened here.

A file is read once, checked as a whole, and every fault of it is one :class:`ConfigError` that names the file, the
board, the key and, where a name is misspelt, the nearest right one.
"""

from __future__ import annotations

import codecs
import math
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from pytest_shepherd_hil.errors import ConfigError
from pytest_shepherd_hil.kernel.user_rules import RuleLayer  # noqa: TC001  pydantic looks it up
from pytest_shepherd_hil.rule_tables import rule_layers
from pytest_shepherd_hil.text import printable
from pytest_shepherd_hil.toml_words import closest, nearest, quoted, shown, toml_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "BoardConfig",
    "BoardsFile",
    "ConsoleConfig",
    "LogicConfig",
    "ModuleConfig",
    "PowerConfig",
    "SimConfig",
    "SshConfig",
    "VirtualConfig",
    "find_boards_file",
    "load_boards",
    "parse_samplerate",
]

BOARDS_FILE = "boards.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SAMPLERATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMG]?)(?:Hz|Sa/s|S/s)?\s*", re.IGNORECASE)
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


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _paths(value: object, info: ValidationInfo) -> object:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"must be a file name or an array of file names, not {quoted(value)}")
    folder = (info.context or {}).get("folder", Path())
    return tuple(folder / Path(name).expanduser() for name in names)


class SshConfig(_Table):
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


class ConsoleConfig(_Table):
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


class LogicConfig(_Table):
    """``[boards.NAME.logic]``: the logic analyzer clipped to the board."""

    driver: NonEmpty = "fx2lafw"
    """A libsigrok driver name as ``sigrok-cli`` knows it, or ``sim`` and ``virtual`` for such a board's own probe."""
    conn: str | None = None
    """Which device, where several are plugged in: libsigrok's ``conn``, e.g. ``"1.12"``."""
    samplerate: Samplerate = 1_000_000
    """Samples a second, in Hz."""
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
        if self.ring_bytes > _MOST_RING_MB << 20:
            raise ValueError(
                f"'ring_s': {self.ring_s:g} s at {self.samplerate} Hz are {self.ring_bytes >> 20} MiB; at most "
                f"{_MOST_RING_MB} can be kept"
            )
        return self

    @property
    def ring_bytes(self) -> int:
        """How many bytes of samples are kept in memory."""
        if self.ring_s is not None:
            return math.ceil(self.ring_s * self.samplerate) * max(1, (len(self.channels) + 7) // 8)
        return (self.ring_mb or _RING_MB) << 20


class ModuleConfig(_Table):
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


class PowerConfig(_Table):
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


class SimConfig(_Table):
    """``[boards.NAME.sim]``: this is an embedded board; its process brings console, shell, probe and power with it."""

    fault: Literal["none", "racy", "cma", "pru"] = "none"
    """What goes wrong: nothing; a panic on unload; a failed CMA allocation on load; a PRU that does not answer."""
    fault_after: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """At which unload (``racy``) or load (``cma``, ``pru``) after power-on the fault shows."""


class VirtualConfig(_Table):
    """``[boards.NAME.virtual]``: this is a virtual board; QEMU brings console, shell, probe and power with it."""

    snapshot: bool = True
    """Whether each power-on goes on from a snapshot of the booted board, instead of booting."""


class BoardConfig(_Table):
    """``[boards.NAME]``: one board. Every table but the board's own is optional."""

    name: str
    description: str = ""
    boot_timeout_s: Seconds = 120.0
    """How long the board may take from power-on to a working shell."""
    panic_on_oops: bool | None = None
    """Have the kernel panic after an Oops (``kernel.panic_on_oops``), or not; left as it is where not given."""
    prepare: Commands = []
    """Commands to run on the board each time it has booted."""
    ssh: SshConfig | None = None
    console: ConsoleConfig | None = None
    logic: LogicConfig | None = None
    module: ModuleConfig | None = None
    power: PowerConfig | None = None
    sim: SimConfig | None = None
    virtual: VirtualConfig | None = None
    rules: tuple[InstanceOf[RuleLayer], ...] = ()
    """Changes to the packaged rules of the kernel judge, the most general first."""

    @model_validator(mode="after")
    def _something_to_talk_to(self) -> BoardConfig:
        if self.sim is not None and self.virtual is not None:
            raise ValueError("it is either embedded or virtual: give it one of the tables sim, virtual")
        if self.own is None and self.ssh is None and self.console is None and self.logic is None:
            raise ValueError("give it at least one of the tables ssh, console, logic, sim, virtual")
        if self.own is not None:
            given = {"ssh": self.ssh, "console": self.console and self.console.port, "power": self.power}
            double = [table for table, value in given.items() if value is not None]
            if double:
                tables = ", ".join(f"[boards.{self.name}.{table}]" for table in double)
                what = "sim" if self.sim is not None else "virtual board"
                raise ValueError(f"the {what} brings its own {', '.join(double)}: remove {tables}")
        return self

    @model_validator(mode="after")
    def _console_on_a_channel(self) -> BoardConfig:
        wanted = self.console.logic if self.console is not None else None
        if wanted is None:
            return self
        key = f"key 'console.logic': {quoted(wanted)}"
        if self.logic is None:
            raise ValueError(f"{key} is a channel of the logic analyzer, and there is no [boards.{self.name}.logic]")
        named = [channel for pair in self.logic.channels.items() for channel in pair]
        if wanted not in named:
            channels = printable(", ".join(f"{channel} ({name})" for channel, name in self.logic.channels.items()), 200)
            raise ValueError(
                f"{key} is none of the channels in [boards.{self.name}.logic], which has {channels}; "
                f"{nearest(wanted, named)}"
            )
        return self

    @property
    def own(self) -> SimConfig | VirtualConfig | None:
        """For a board of our own, which each run starts for itself: what kind; None for a real one."""
        return self.sim or self.virtual

    @property
    def has(self) -> frozenset[str]:
        """What a test can ask of it: any of ``shell``, ``console``, ``logic``, ``module``, ``power``."""
        found = {
            "shell": self.ssh,
            "console": self.console,
            "logic": self.logic,
            "module": self.module,
            "power": self.power,
        }
        have = {name for name, table in found.items() if table is not None}
        return frozenset(have | ({"shell", "console", "power"} if self.own else set()))


class BoardsFile:
    """The boards of one ``boards.toml``, by name and in the file's order.

    Attributes:
        path: the file they come from.
    """

    def __init__(self, path: Path, boards: Mapping[str, BoardConfig]) -> None:
        self.path = path
        self._boards = dict(boards)

    def __iter__(self) -> Iterator[BoardConfig]:
        return iter(self._boards.values())

    def __len__(self) -> int:
        return len(self._boards)

    def board(self, name: str) -> BoardConfig:
        """The board called ``name``.

        Raises:
            ConfigError: there is none; the message has the nearest names.
        """
        try:
            return self._boards[name]
        except KeyError:
            pass
        near = closest(name, self._boards, 3)
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        else:
            hint = f"it has {', '.join(self._boards) or 'no boards at all'}"
        called = printable(name, 100)
        raise ConfigError(f"unknown board '{called}': {shown(self.path)} has no [boards.{called}]; {hint}")


def find_boards_file(start: Path) -> Path | None:
    """The nearest ``boards.toml`` in ``start`` or a folder above it."""
    for folder in (start, *start.parents):
        candidate = folder / BOARDS_FILE
        if candidate.is_file():
            return candidate
    return None


def load_boards(path: Path) -> BoardsFile:
    """Read and check a ``boards.toml``.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or says something a board cannot have.
    """
    try:
        data = tomllib.loads(path.read_bytes().removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {shown(path)}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown(path)} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise ConfigError(f"{shown(path)} is not TOML that can be read: it nests too deep") from error
    except ValueError as error:  # also a number of thousands of digits
        raise ConfigError(f"{shown(path)} is not TOML: {printable(str(error))}") from error

    top = ("boards", "rules")
    faults = [f"unknown key {quoted(key)} at the top; {nearest(key, top)}" for key in data if key not in top]
    tables = data.get("boards", {})
    if not isinstance(tables, dict):
        faults.append(f"'boards' must be a table, as in [boards.bbb01], not {toml_type(tables)}")
        tables = {}
    try:
        general = rule_layers(path, "", data.get("rules", {}))
    except ValueError as error:
        faults.append(str(error))
        general = ()
    boards: dict[str, BoardConfig] = {}
    for name, table in tables.items():
        try:
            boards[name] = _board(name, table, path, general)
        except ValidationError as error:
            faults += [f"board {name}: {fault}" for fault in _explain(error)]
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(f"{shown(path)}: {fault}" for fault in faults))
    return BoardsFile(path, boards)


def _board(name: str, table: object, path: Path, general: tuple[RuleLayer, ...]) -> BoardConfig:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{quoted(name)} cannot be a board's name; use up to 64 letters, digits, '_', '-', '.', and begin with a "
            "letter or digit"
        )
    if not isinstance(table, dict):
        raise ValueError(f"board {name}: must be a table [boards.{name}], not {toml_type(table)}")
    if "name" in table:
        raise ValueError(f"board {name}: key 'name': a board's name is its table's: [boards.{name}]")
    rules = rule_layers(path, name, table.get("rules", {}), general)
    return BoardConfig.model_validate({**table, "name": name, "rules": rules}, context={"folder": path.parent})


def _explain(error: ValidationError) -> Iterator[str]:
    """One line for each thing that pydantic found, all in the file's own words."""
    for problem in error.errors(include_url=False):
        where = [str(part) for part in problem["loc"]]
        key = quoted(".".join(where))
        match problem["type"]:
            case "extra_forbidden":
                yield f"unknown key {key}; {nearest(where[-1], _keys_beside(where))}"
            case "missing":
                yield f"key {key} is missing"
            case "model_type" | "dict_type":
                yield f"key {key}: must be a table, not {toml_type(problem['input'])}"
            case "too_short":
                yield f"key {key}: must not be empty"
            case "value_error":
                cause = printable(str(problem["ctx"]["error"]))
                yield f"key {key}: {cause}" if where else cause
            case _:
                what = f"{problem['msg'][0].lower()}{problem['msg'][1:]}"
                yield f"key {key}: {what}, not {quoted(problem['input'])}"


def _keys_beside(where: list[str]) -> Iterable[str]:
    """The keys that may stand in the table in which the key at ``where`` stands."""
    model: type[BaseModel] = BoardConfig
    tables: dict[str, type[BaseModel]] = {
        "ssh": SshConfig,
        "console": ConsoleConfig,
        "logic": LogicConfig,
        "module": ModuleConfig,
        "power": PowerConfig,
        "sim": SimConfig,
        "virtual": VirtualConfig,
    }
    for part in where[:-1]:
        model = tables.get(part, model)
    return [name for name in model.model_fields if not (model is BoardConfig and name == "name")]
