"""``shepherd-hil console``: a board's console, live; while a run holds the board, what that run records of it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING

from pytest_shepherd_hil.boards import ConsoleConfig
from pytest_shepherd_hil.commands.boards_file import boards_file
from pytest_shepherd_hil.commands.keyboard import Keyboard
from pytest_shepherd_hil.commands.live_text import LiveText, stamp
from pytest_shepherd_hil.console.port import PortLostError
from pytest_shepherd_hil.console.source import open_port
from pytest_shepherd_hil.errors import ConfigError, ConsoleError, HilError, HostError
from pytest_shepherd_hil.lock import BoardLock
from pytest_shepherd_hil.rig.start import start_own
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.console.port import Port
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
    from pytest_shepherd_hil.rig.control import Control
    from pytest_shepherd_hil.rig.process import BoardProcess

__all__ = ["run"]

ENDED, LOST, NOT_BEGUN = 0, 1, 2
BACK_S = 120.0
"""How long a port that has gone is waited for."""
AGAIN_S = 0.25
READ_S = 0.5
TAIL_BYTES = 4096
"""How much of a run's log is shown that is older than this command."""


class _EndedError(Exception):
    """The user has seen enough."""


def run(options: argparse.Namespace) -> int:
    """Show a console; returns the exit status."""
    try:
        board = boards_file(options.boards).board(options.board)
        if board.console is None and board.own is None:
            raise ConfigError(f"board {board.name} has no [boards.{board.name}.console] in boards.toml")
    except HilError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_BEGUN
    session = _Session(board, _Screen(raw=options.raw, stamps=options.timestamps))
    try:
        with _signals(), Keyboard(session.send, session.end) as keyboard:
            session.run(typed=keyboard.is_terminal)
    except (_EndedError, KeyboardInterrupt):
        session.screen.note("ended")
        return ENDED
    except BrokenPipeError:  # who reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ENDED
    except HilError as error:
        session.screen.note(f"error: {error}")
        return LOST
    finally:
        session.close()
    return ENDED


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end it as Ctrl-C does, with the user's terminal put back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _EndedError

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Screen:
    """stdout for what the board says, stderr for what is to be said about it."""

    def __init__(self, *, raw: bool, stamps: bool) -> None:
        self._text = LiveText(stamps=stamps) if not raw else None
        self._stamps = stamps
        self._raw_in_line = False
        self._lock = threading.Lock()

    def show(self, chunk: bytes) -> None:
        """Show bytes of the console; without any, what was held back of the last ones."""
        with self._lock:
            if self._text is None:
                shown = self._raw_shown(chunk)
            else:
                shown = (self._text.feed(chunk) if chunk else self._text.rest()).encode("utf-8", "replace")
            if shown:
                self._write(shown)

    def _raw_shown(self, chunk: bytes) -> bytes:
        shown = b""
        for line in re.findall(rb"[^\n]*\n|[^\n]+", chunk):
            begins = self._stamps and not self._raw_in_line
            shown += stamp(datetime.now().astimezone()).encode() + line if begins else line
            self._raw_in_line = not line.endswith(b"\n")
        return shown

    def note(self, text: str) -> None:
        """Say something that the board did not say."""
        with self._lock:
            in_line = self._text.break_line() != "" if self._text is not None else self._raw_in_line
            self._raw_in_line = False
            if in_line:
                with contextlib.suppress(BrokenPipeError):
                    self._write(b"\n")
            for line in text.splitlines():
                print(f"-- {printable(line)}", file=sys.stderr, flush=True)

    @staticmethod
    def _write(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class _Session:
    """A console that is shown until its user ends it."""

    def __init__(self, board: BoardConfig, screen: _Screen) -> None:
        self.screen = screen
        self._board = board
        self._console: ConsoleConfig | None = board.console
        self._own: BoardProcess[Control] | None = None
        self._lock = BoardLock(board)
        self._port: Port | None = None
        self._analyzer: LogicAnalyzer | None = None
        self._usable = threading.Event()
        self._closed = threading.Event()
        self._refusal: str | None = None
        self._refused = False

    # in the keyboard's thread

    def send(self, keys: bytes) -> None:
        """Send what was typed as soon as the port is open, unless nothing may be sent."""
        while not self._usable.wait(AGAIN_S):
            if self._closed.is_set():
                return
            if self._refusal is not None:
                if not self._refused:
                    self._refused = True
                    self.screen.note(f"not sent: {self._refusal}")
                return
        port = self._port
        assert port is not None
        try:
            port.write(keys)
        except PortLostError:
            pass  # the reader finds out, too
        except ConsoleError as error:
            self.screen.note(f"not sent: {error}")

    @staticmethod
    def end() -> None:
        """The user wants to end, whatever the main thread waits for: as with Ctrl-C where that is a signal."""
        ident = threading.main_thread().ident
        if ident is not None:
            signal.pthread_kill(ident, signal.SIGINT)

    # in the main thread

    def run(self, *, typed: bool) -> None:
        how = "Ctrl-C or Ctrl-] ends this" if typed else "Ctrl-C ends this"
        while (holder := self._take()) is not None:
            self._follow(holder, how)
        self._live(how)

    def close(self) -> None:
        self._closed.set()
        with contextlib.ExitStack() as parts:
            parts.callback(self._lock.release)
            if self._own is not None:
                parts.callback(self._own.close)
            if self._analyzer is not None:
                parts.callback(self._analyzer.close)
            if self._port is not None:
                parts.callback(self._port.close)

    def _take(self) -> str | None:
        """Take the board; says who has it, where somebody has."""
        try:
            self._lock.acquire()
        except HostError as error:
            text = str(error)
            if "is in use" not in text:
                raise
            return text.partition("is in use ")[2] or "by another run"
        return None

    def _live(self, how: str) -> None:
        board = self._board
        if board.own is not None and self._own is None:
            self._own = start_own(board, self.screen.note)
            self._console = board.console or ConsoleConfig(port=self._own.uart)
            self.screen.note(f"board {board.name} was started for this console alone; it ends with it")
        assert self._console is not None
        if self._console.read_only:
            from pytest_shepherd_hil.logic.drivers import open_analyzer

            self._analyzer = open_analyzer(board, self._own.probe if self._own is not None else None)
        self._port = self._open(self._console)
        self.screen.note(f"console of {board.name}: {self._console.source} at {self._console.baudrate} baud; {how}")
        self._ready()
        while True:
            try:
                self.screen.show(self._port.read(READ_S))
            except PortLostError as error:
                self._lost(error, self._console)

    def _ready(self) -> None:
        self._refusal, self._refused = None, False
        if self._console is not None and self._console.read_only:
            self._refusal = f"the console {self._console.source} is read only"
            return
        self._usable.set()

    def _open(self, config: ConsoleConfig) -> Port:
        sender = self._own.control.send_break if self._own is not None else None
        return open_port(config, self._analyzer, board=self._board.name, break_sender=sender)

    def _lost(self, error: PortLostError, config: ConsoleConfig) -> None:
        """Wait until the port is back."""
        assert self._port is not None
        self._refusal = "the port has gone"
        self._usable.clear()
        self._port.close()
        self.screen.note(f"lost: {error}")
        self.screen.note(f"waiting for it to come back, at most {BACK_S:g} s")
        deadline = time.monotonic() + BACK_S
        while True:
            time.sleep(AGAIN_S)
            try:
                self._port = self._open(config)
            except HilError as reason:
                if time.monotonic() >= deadline:
                    raise HostError(f"{reason}\nit did not come back within {BACK_S:g} s") from None
            else:
                self.screen.note(f"{config.port or f'the console {config.source}'} is back")
                self._ready()
                return

    def _follow(self, holder: str, how: str) -> None:
        """Show what the run that holds the board records, until it lets go of it."""
        board = self._board
        self._refusal = "read-only while a run holds the board"
        self.screen.note(f"board {board.name} is in use {holder}")
        path = self._lock.console_log()
        if path is None:
            self.screen.note("read-only, and whoever has it has noted no console log: another `shepherd-hil` command?")
            self.screen.note(f"waiting until it lets go of the board; {how}")
        else:
            self.screen.note(f"read-only: this is what it records in {path}; {how}")
        with contextlib.ExitStack() as files:
            log = files.enter_context(_opened(path)) if path is not None else None
            while True:
                free = self._lock.holder() is None
                while log is not None and (chunk := log.read(1 << 16)):
                    self.screen.show(chunk)
                self.screen.show(b"")
                if free:
                    self.screen.note("the run has let go of the board")
                    self._refusal = None
                    return
                time.sleep(AGAIN_S)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file from a little before its end on, from the beginning of a line."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - TAIL_BYTES, 0))
            if size > TAIL_BYTES:
                file.readline(TAIL_BYTES)
            yield file
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error
