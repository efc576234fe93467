"""Makes a board fit to be watched, and puts back at the end what that has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardError, CommandFailedError, HilError
from pytest_shepherd_hil.text import first_line, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.shell import Shell

__all__ = ["Preparation"]

_FOLDER = "/proc/sys/kernel"
_LOGLEVEL = "printk"
_SHOW_ALL = 8
"""Console loglevel that shows every message: the kernel shows levels below it, and debug is 7."""
_PREPARE_S = 60.0
_COMMAND_S = 10.0


class Preparation:
    """The kernel's settings that a run needs, and the commands that ``boards.toml`` wants run after each boot.

    Args:
        config: the board's.
        shell: its shell.
        say: shows a line of progress to the user.
        console: whether the board has a console that is to show everything.
        keep_dead: a kernel that has panicked is to stay as it died.
    """

    PANIC_S = 1
    """``kernel.panic``: seconds until a kernel that has panicked reboots by itself."""

    def __init__(
        self, config: BoardConfig, shell: Shell, say: Callable[[str], None], *, console: bool, keep_dead: bool = False
    ) -> None:
        self._board = config.name
        self._commands = config.prepare
        self._shell = shell
        self._say = say
        self._wanted = {"panic": 0 if keep_dead else self.PANIC_S, "sysrq": 1}
        if config.panic_on_oops is not None:
            self._wanted["panic_on_oops"] = int(config.panic_on_oops)
        if console:
            self._wanted = {_LOGLEVEL: _SHOW_ALL, **self._wanted}
        self._before: dict[str, int] = {}
        self._told: set[str] = set()

    def apply(self) -> None:
        """Do it; to be called after each boot.

        Raises:
            BoardError: the console's loglevel cannot be raised, or a command of ``prepare`` failed.
            ShellError: the shell does not answer.
        """
        self._apply_settings()
        for command in self._commands:
            self._tell(f"prepare: `{printable(command, 200)}`")
            try:
                self._shell.run(command, timeout_s=_PREPARE_S)
            except CommandFailedError as error:
                raise BoardError(
                    f"board {self._board}: a command of its 'prepare' in boards.toml failed\n{error}"
                ) from None

    def restore(self) -> None:
        """Put the settings back. What does not work is said."""
        if not self._before:
            return
        before, self._before = self._before, {}
        try:
            left = self._write(before)
        except HilError as error:
            self._say(f"{self._board}: could not put back {_shown(before)}: {first_line(error)}")
            return
        wrong = {name: value for name, value in before.items() if left.get(name) != value}
        if wrong:
            self._say(f"{self._board}: could not put back {_shown(wrong)}")
        else:
            self._say(f"{self._board}: put back {_shown(before)}")

    def _apply_settings(self) -> None:
        now = self._read()
        change = {
            name: value
            for name, value in self._wanted.items()
            if name in now and (now[name] < value if name == _LOGLEVEL else now[name] != value)
        }
        if not change:
            return
        after = self._write(change)
        done = {name: value for name, value in change.items() if after.get(name) == value}
        for name in done:
            self._before.setdefault(name, now[name])
        if done:
            words = ", ".join(f"{_name(name)} from {now[name]} to {value}" for name, value in done.items())
            self._tell(f"set for this run: {words}")
        refused = {name: value for name, value in change.items() if name not in done}
        if _LOGLEVEL in refused:
            raise BoardError(
                f"board {self._board}: the console's loglevel is {now[_LOGLEVEL]} and cannot be raised to {_SHOW_ALL} "
                f"(/proc/sys/kernel/printk), so the console would hide messages; it takes root: "
                f"sudo = true in [boards.{self._board}.ssh]?"
            )
        if refused:
            self._tell(f"could not set {_shown(refused)}; that takes root")

    def _read(self) -> dict[str, int]:
        return _values(self._shell.run(_reading(self._wanted), timeout_s=_COMMAND_S, check=False).stdout)

    def _write(self, values: dict[str, int]) -> dict[str, int]:
        """Write and read back."""
        writing = "; ".join(f"echo {value} > {_FOLDER}/{name}" for name, value in values.items())
        command = f"{writing}; {_reading(values)}"
        return _values(self._shell.run(command, timeout_s=_COMMAND_S, check=False).stdout)

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(f"{self._board}: {text}")


def _reading(names: dict[str, int]) -> str:
    return f"for name in {' '.join(names)}; do echo $name; cat {_FOLDER}/$name 2>/dev/null; done"


def _values(text: str) -> dict[str, int]:
    """The first number after each name; a setting that this kernel has not is left out."""
    found: dict[str, int] = {}
    name = ""
    for line in text.splitlines():
        first, *_ = line.split() or [""]
        if first.lstrip("-").isascii() and first.lstrip("-").isdigit():
            found[name] = int(first[:12])
        else:
            name = first
    return found


def _name(setting: str) -> str:
    return "console loglevel" if setting == _LOGLEVEL else f"kernel.{setting}"


def _shown(values: dict[str, int]) -> str:
    return ", ".join(f"{_name(name)} {value}" for name, value in values.items())
