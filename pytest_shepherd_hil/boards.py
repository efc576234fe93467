"""``boards.toml``: which boards there are and what each has. Nothing is opened here.

A file is read once, checked as a whole, and every fault of it is one :class:`ConfigError` that names the file, the
board, the key and, where a name is misspelt, the nearest right one.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from typing import TYPE_CHECKING

from pydantic import Field, InstanceOf, ValidationError, model_validator

from pytest_shepherd_hil.board_tables import (
    OWN_PROBES,
    Commands,
    ConsoleConfig,
    LogicConfig,
    ModuleConfig,
    PowerConfig,
    Seconds,
    SimConfig,
    SshConfig,
    Table,
    VirtualConfig,
    parse_samplerate,
)
from pytest_shepherd_hil.errors import ConfigError
from pytest_shepherd_hil.kernel.user_rules import RuleLayer  # noqa: TC001  pydantic looks it up
from pytest_shepherd_hil.rule_tables import rule_layers
from pytest_shepherd_hil.text import printable
from pytest_shepherd_hil.toml_words import closest, nearest, quoted, shown, toml_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

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


class BoardConfig(Table):
    """``[boards.NAME]``: one board. Every table but the board's own is optional."""

    name: str
    description: str = ""
    boot_timeout_s: Seconds = 120.0
    """How long the board may take from power-on to a working shell."""
    panic_on_oops: bool | None = None
    """Have the kernel panic after an Oops (``kernel.panic_on_oops``), or not; left as it is where not given."""
    prepare: Commands = Field(default_factory=list)
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
    def _its_own_probe(self) -> BoardConfig:
        driver = self.logic.driver if self.logic is not None else None
        if driver is None:
            return self
        if self.own is None and driver in OWN_PROBES:
            raise ValueError(
                f"key 'logic.driver': {quoted(driver)} is the probe of a board with [boards.{self.name}.{driver}]"
            )
        own = "sim" if self.sim is not None else "virtual"
        if self.own is not None and driver not in (own, LogicConfig.model_fields["driver"].default):
            raise ValueError(f"key 'logic.driver': {quoted(driver)}: this board brings its own probe, driver {own!r}")
        return self

    @model_validator(mode="after")
    def _console_on_a_channel(self) -> BoardConfig:
        wanted = self.console.logic if self.console is not None else None
        if wanted is None:
            return self
        key = f"key 'console.logic': {quoted(wanted)}"
        if self.logic is None:
            raise ValueError(f"{key} is a channel of the logic analyzer, and there is no [boards.{self.name}.logic]")
        if not self.logic.streams and self.console is not None and self.console.port is None:
            raise ValueError(
                f"{key}: driver {quoted(self.logic.driver)} takes one block of samples at a time, with gaps between "
                "them, in which a console would be lost; it takes an analyzer that streams"
            )
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
