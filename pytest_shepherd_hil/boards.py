"""``boards.toml``: which boards there are and what each has. Nothing is opened here.

A file is read once, checked as a whole, and every fault of it is one :class:`ConfigError` that names the file, the
board, the key and, where a name is misspelt, the nearest right one.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from pytest_shepherd_hil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = [
    "BoardConfig",
    "BoardsFile",
    "ConsoleConfig",
    "LogicConfig",
    "ModuleConfig",
    "PowerConfig",
    "SimConfig",
    "SshConfig",
    "find_boards_file",
    "load_boards",
    "parse_samplerate",
]

BOARDS_FILE = "boards.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SAMPLERATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMG]?)(?:Hz|Sa/s|S/s)?\s*", re.IGNORECASE)
_UNIT = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def parse_samplerate(value: object) -> int:
    """A samplerate in Hz from ``4_000_000``, ``"4 MHz"`` or ``"500k"``.

    Raises:
        ValueError: it is none of these, or not a positive whole number of Hz.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and (match := _SAMPLERATE.fullmatch(value)):
        rate = Decimal(match[1]) * _UNIT[match[2].lower()]
        if rate >= 1 and rate == int(rate):
            return int(rate)
    raise ValueError(f"{value!r} is not a samplerate; write it as 4_000_000 or '4 MHz'")


Samplerate = Annotated[int, PlainValidator(parse_samplerate)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
NonEmpty = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
    """``[boards.NAME.console]``: the kernel's UART."""

    port: NonEmpty
    """A device path, or any pyserial URL: ``socket://host:port``, ``rfc2217://host:port``, …"""
    baudrate: Annotated[int, Field(ge=50, le=20_000_000)] = 115200


class LogicConfig(_Table):
    """``[boards.NAME.logic]``: the logic analyzer clipped to the board."""

    driver: NonEmpty = "fx2lafw"
    """A libsigrok driver name as ``sigrok-cli`` knows it, or ``sim`` for the embedded board's own probe."""
    conn: str | None = None
    """Which device, where several are plugged in: libsigrok's ``conn``, e.g. ``"1.12"``."""
    samplerate: Samplerate = 1_000_000
    """Samples a second, in Hz."""
    channels: dict[str, str] = Field(default_factory=lambda: {"D0": "uart_tx"}, min_length=1)
    """What hangs on which channel: the analyzer's channel name to the name that tests use."""


class ModuleConfig(_Table):
    """``[boards.NAME.module]``: the kernel module under test."""

    name: NonEmpty
    load: str | None = None
    """Command that loads it; ``modprobe -a NAME`` where not given."""
    unload: str | None = None
    """Command that unloads it; ``modprobe -rf NAME`` where not given."""
    timeout_s: Seconds = 30.0
    """How long loading or unloading may take."""


class PowerConfig(_Table):
    """``[boards.NAME.power]``: commands of this host that switch the board's power."""

    cycle: str | None = None
    off: str | None = None
    on: str | None = None
    off_s: Annotated[float, Field(ge=0, le=600)] = 2.0
    """How long the board stays off between ``off`` and ``on``."""
    timeout_s: Seconds = 60.0
    """How long each command may take."""

    @model_validator(mode="after")
    def _some_way(self) -> PowerConfig:
        if self.cycle is None and (self.off is None or self.on is None):
            raise ValueError("give 'cycle', or both 'off' and 'on'")
        return self


class SimConfig(_Table):
    """``[boards.NAME.sim]``: this is an embedded board; its process brings console, shell, probe and power with it."""

    fault: Literal["none", "racy", "cma", "pru"] = "none"
    """What goes wrong: nothing; a panic on unload; a failed CMA allocation on load; a PRU that does not answer."""
    fault_after: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """At which unload (``racy``) or load (``cma``, ``pru``) after power-on the fault shows."""


class BoardConfig(_Table):
    """``[boards.NAME]``: one board. Every table but the board's own is optional."""

    name: str
    description: str = ""
    boot_timeout_s: Seconds = 120.0
    """How long the board may take from power-on to a working shell."""
    ssh: SshConfig | None = None
    console: ConsoleConfig | None = None
    logic: LogicConfig | None = None
    module: ModuleConfig | None = None
    power: PowerConfig | None = None
    sim: SimConfig | None = None

    @model_validator(mode="after")
    def _something_to_talk_to(self) -> BoardConfig:
        if self.sim is None and self.ssh is None and self.console is None and self.logic is None:
            raise ValueError("give it at least one of the tables ssh, console, logic, sim")
        if self.sim is not None:
            for table in ("ssh", "console", "power"):
                if getattr(self, table) is not None:
                    raise ValueError(f"the sim brings its own {table}: remove [boards.{self.name}.{table}]")
        return self

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
        return frozenset(have | ({"shell", "console", "power"} if self.sim else set()))


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
        nearest = difflib.get_close_matches(name, self._boards, n=3, cutoff=0.5)
        if nearest:
            hint = f"did you mean {' or '.join(nearest)}?"
        else:
            hint = f"it has {', '.join(self._boards) or 'no boards at all'}"
        raise ConfigError(f"unknown board {name!r}: {self.path} has no [boards.{name}]; {hint}")


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
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error

    unknown = [key for key in data if key != "boards"]
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]!r} at the top; {_nearest(unknown[0], ['boards'])}")
    tables = data.get("boards", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: 'boards' must be a table, as in [boards.bbb01], not {_toml_type(tables)}")
    return BoardsFile(path, {name: _board(path, name, table) for name, table in tables.items()})


def _board(path: Path, name: str, table: object) -> BoardConfig:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{path}: {name!r} cannot be a board's name; use up to 64 letters, digits, '_', '-', '.', and begin with a "
            "letter or digit"
        )
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: board {name}: must be a table [boards.{name}], not {_toml_type(table)}")
    if "name" in table:
        raise ConfigError(f"{path}: board {name}: key 'name': a board's name is its table's: [boards.{name}]")
    try:
        return BoardConfig.model_validate({**table, "name": name})
    except ValidationError as error:
        raise ConfigError(_explain(path, name, error)) from error


def _explain(path: Path, board: str, error: ValidationError) -> str:
    """One line for each thing that pydantic found, all in the file's own words."""
    lines = []
    for problem in error.errors(include_url=False):
        where = [str(part) for part in problem["loc"]]
        key = ".".join(where)
        match problem["type"]:
            case "extra_forbidden":
                what = f"unknown key {key!r}; {_nearest(where[-1], _keys_beside(where))}"
            case "missing":
                what = f"key {key!r} is missing"
            case "value_error":
                cause = problem["ctx"]["error"]
                what = f"key {key!r}: {cause}" if key else str(cause)
            case _:
                what = f"key {key!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem['input']!r}"
        lines.append(f"{path}: board {board}: {what}")
    return "\n".join(lines)


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
    }
    for part in where[:-1]:
        model = tables.get(part, model)
    return [name for name in model.model_fields if name != "name"]


def _nearest(word: str, valid: Iterable[str]) -> str:
    valid = list(valid)
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(valid)}"


def _toml_type(value: object) -> str:
    names = {str: "a string", int: "a number", float: "a number", bool: "a boolean", list: "an array", dict: "a table"}
    return names.get(type(value), type(value).__name__)
