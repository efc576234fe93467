"""What can go wrong, sorted by whose fault it is.

Three families that are never mixed up: the test or its configuration is wrong (:class:`MisuseError`), the board failed
(:class:`BoardError`), or this host lacks something (:class:`HostError`). Each message says what was tried, on which
board, what came back, and what to do next. None of these knows pytest; ``plugin.py`` turns misuse into a usage error.
"""

from __future__ import annotations


class HilError(Exception):
    """Anything this package raises on purpose."""


class MisuseError(HilError):
    """A test, an option or ``boards.toml`` asks for something that cannot be; nobody's hardware is at fault."""


class ConfigError(MisuseError):
    """``boards.toml`` is missing, is not TOML, or says something that no board can have."""


class HostError(HilError):
    """This computer lacks a tool, a permission or a device node."""


class BoardError(HilError):
    """The board did not do what it should."""


class BoardDeadError(BoardError):
    """The board is known to be dead; the call was not even tried."""


class ConsoleError(BoardError):
    """The console could not be opened, was lost, or did not say what was expected in time."""


class ShellError(BoardError):
    """The shell could not be reached, or a command did not end as it should.

    Attributes:
        may_pass: it may go away by itself, as while a board boots; a wrong key will not.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class CommandFailedError(ShellError):
    """A command ended with an exit status other than 0."""


class CommandTimeoutError(ShellError):
    """A command did not end in its time."""


class CommandCutError(ShellError):
    """A command was cut off because its test is being stopped."""


class ModuleError(BoardError):
    """The kernel module is not in the state it was put into."""


class PowerError(BoardError):
    """The power backend failed."""


class RecoveryError(BoardError):
    """The board did not come back."""


class LogicError(BoardError):
    """A logic-analyzer capture could not be made or decoded."""
