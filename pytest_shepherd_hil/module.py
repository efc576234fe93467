"""The kernel module under test."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import CommandFailedError, ModuleError

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import ModuleConfig
    from pytest_shepherd_hil.shell import Shell, ShellResult

__all__ = ["KernelModule"]


class KernelModule:
    """Loads and unloads a module, and looks each time whether that is what happened.

    Args:
        config: the board's ``[boards.NAME.module]``.
        shell: the board's shell.
        board: name of the board, for error messages.
        name: a module other than the board's own; it is loaded with ``modprobe``.
    """

    def __init__(self, config: ModuleConfig, shell: Shell, *, board: str, name: str | None = None) -> None:
        own = name is None or name == config.name
        self.name = config.name if name is None else name
        self._shell = shell
        self._board = board
        self._timeout_s = config.timeout_s
        quoted = shlex.quote(self.name)
        self._before_unload = config.before_unload if own else []
        self._load = (config.load if own else None) or f"modprobe -a {quoted}"
        self._unload = (config.unload if own else None) or f"modprobe -rf {quoted}"

    @property
    def is_loaded(self) -> bool:
        """Whether the kernel lists it, asked anew each time."""
        listed = self._shell.run("cat /proc/modules").stdout
        wanted = self.name.replace("-", "_")
        return any(line.split(" ", 1)[0] == wanted for line in listed.splitlines())

    def load(self) -> None:
        """Load it; nothing happens if it is loaded already.

        Raises:
            ModuleError: the command failed, or the kernel does not list it afterwards.
        """
        __tracebackhide__ = True
        if self.is_loaded:
            return
        self._change(self._load, loaded=True)

    def unload(self) -> None:
        """Unload it; nothing happens if it is not loaded.

        Raises:
            ModuleError: the command failed, or the kernel still lists it afterwards.
        """
        __tracebackhide__ = True
        if not self.is_loaded:
            return
        for command in self._before_unload:
            try:
                self._shell.run(command, timeout_s=self._timeout_s)
            except CommandFailedError as error:
                raise ModuleError(
                    f"board {self._board}: a command of 'before_unload' of {self.name} failed\n{error}"
                ) from None
        self._change(self._unload, loaded=False)

    def reload(self) -> None:
        """Unload it, where it is loaded, and load it.

        Raises:
            ModuleError: either did not work.
        """
        __tracebackhide__ = True
        self.unload()
        self._change(self._load, loaded=True)

    def _change(self, command: str, *, loaded: bool) -> None:
        __tracebackhide__ = True
        verb = "load" if loaded else "unload"
        try:
            result = self._shell.run(command, timeout_s=self._timeout_s)
        except CommandFailedError as error:
            raise ModuleError(f"board {self._board}: could not {verb} {self.name}\n{error}") from None
        if self.is_loaded is not loaded:
            raise ModuleError(
                f"board {self._board}: `{command}` ended with exit status 0, but /proc/modules "
                f"{'does not list' if loaded else 'still lists'} {self.name}{_said(result)}"
            )


def _said(result: ShellResult) -> str:
    said = (result.stdout + result.stderr).strip()
    return f"; it said: {said[-500:]}" if said else ""
