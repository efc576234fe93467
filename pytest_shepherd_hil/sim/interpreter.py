"""The board's shell: runs what ``syntax`` understands, with the commands of its own, and nothing of the host."""

from __future__ import annotations

import contextlib
import os
import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_shepherd_hil.sim import commands, filters, system_commands
from pytest_shepherd_hil.sim.life import PowerLost
from pytest_shepherd_hil.sim.streams import BytesInput, Capture, Process, no_output
from pytest_shepherd_hil.sim.syntax import (
    For,
    Group,
    If,
    Incomplete,
    List,
    Loop,
    Pipeline,
    Simple,
    SyntaxFault,
    parse,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from pytest_shepherd_hil.sim.life import Life
    from pytest_shepherd_hil.sim.machine import Machine
    from pytest_shepherd_hil.sim.syntax import Command, Part, Redirect, Word
    from pytest_shepherd_hil.sim.system import System
    from pytest_shepherd_hil.sim.terminal import Terminal

__all__ = ["Shell", "ShellExit", "interact", "run_login"]

COMMANDS: dict[str, Callable[[Shell, Process, list[str]], int]] = {
    **commands.COMMANDS,
    **filters.COMMANDS,
    **system_commands.COMMANDS,
}
BUILTINS = frozenset({"echo", "printf", "cd", "true", "false", "test", "[", "export", "read", "exit", "pwd", ":"})
NOT_FOUND = 127
SYNTAX_STATUS = 2
SCRIPT_MAX = 1 << 16
NESTING_MAX = 20


class ShellExit(Exception):  # noqa: N818 -- how ``exit`` gets out
    """``exit``."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Shell:
    """One shell.

    Args:
        machine: the board.
        life: this boot.
        system: its files.
    """

    def __init__(self, machine: Machine, life: Life, system: System, depth: int = 0) -> None:
        self.machine = machine
        self.life = life
        self.system = system
        self.status = 0
        self.arguments: list[str] = ["sh"]
        self.interrupted: threading.Event | None = None
        self._depth = depth

    def child(self) -> Shell:
        """A shell started by this one."""
        inside = Shell(self.machine, self.life, self.system, self._depth + 1)
        inside.interrupted = self.interrupted
        return inside

    def pause(self, process: Process, seconds: float) -> bool:
        """Let time pass; False if somebody interrupts, or nobody waits any more."""

        def ended() -> bool:
            return process.gone() or (self.interrupted is not None and self.interrupted.is_set())

        self.life.pause(seconds, ended)
        return not ended()

    def run(self, process: Process, script: str) -> int:
        """Run a script; returns its exit status.

        Raises:
            PowerLost: the board is gone.
        """
        if self._depth > NESTING_MAX or len(script) > SCRIPT_MAX:
            process.err("sh: 1: Cannot fork\n")
            return SYNTAX_STATUS
        try:
            tree = parse(script)
        except SyntaxFault as fault:
            process.err(f"sh: 1: {fault}\n")
            self.status = SYNTAX_STATUS
            return self.status
        try:
            return self._list(process, tree)
        except ShellExit as leaving:
            return leaving.status

    def run_lines(self, process: Process, prompt: str = "", *, interactive: bool = False) -> int:
        """Run commands as lines of ``process.stdin`` come in, up to its end or ``exit``."""
        pending = ""
        while True:
            if self.interrupted is not None:
                self.interrupted.clear()
            if prompt:
                process.out("> " if pending else self._prompt(process, prompt))
            line = process.stdin.read_line().decode("utf-8", "surrogateescape")
            self.life.check()
            if not line or process.gone():
                return self.status
            pending += line
            try:
                tree = parse(pending)
            except Incomplete:
                if len(pending) > SCRIPT_MAX:
                    return SYNTAX_STATUS
                continue
            except SyntaxFault as fault:
                process.err(f"sh: 1: {fault}\n")
                self.status = SYNTAX_STATUS
                pending = ""
                if not interactive:
                    return self.status
                continue
            pending = ""
            try:
                self._list(process, tree)
            except ShellExit as leaving:
                return leaving.status

    def command(self, process: Process, words: Sequence[str]) -> int:
        """Run one command by its name."""
        self.life.check()
        if process.gone():
            raise ShellExit(129)
        name = words[0]
        plain = posixpath.basename(name) if name.startswith(("/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/")) else name
        known = COMMANDS.get(plain)
        if known is None:
            process.err(f"sh: 1: {name}: not found\n")
            return NOT_FOUND
        try:
            return known(self, process, list(words[1:]))
        except OSError as error:
            self.life.check()
            if process.gone():
                raise ShellExit(129) from None
            # Only what a command did not see to itself ends here: a write to a file of the tree that failed.
            if name in BUILTINS:
                process.err(f"sh: 1: {name}: {name}: I/O error\n")
            else:
                process.err(f"{name}: write error: {os.strerror(error.errno or 5)}\n")
            return 1

    def path(self, process: Process, name: str) -> str:
        """An absolute, normal path."""
        path = posixpath.normpath(posixpath.join(process.cwd, name))
        return "/" + path.lstrip("/")

    def _prompt(self, process: Process, prompt: str) -> str:
        home = "/root" if process.is_root else "/home/debian"
        cwd = "~" + process.cwd[len(home) :] if (process.cwd + "/").startswith(home + "/") else process.cwd
        return f"{prompt}:{cwd}{'#' if process.is_root else '$'} "

    def _list(self, process: Process, tree: List) -> int:
        for joined, pipeline in tree.items:
            if (joined == "&&" and self.status) or (joined == "||" and not self.status):
                continue
            self.status = self._pipeline(process, pipeline)
        return self.status

    def _pipeline(self, process: Process, pipeline: Pipeline) -> int:
        status = 0
        stdin = process.stdin
        for index, command in enumerate(pipeline.commands):
            last = index == len(pipeline.commands) - 1
            output = Capture()
            part = replace(process, stdin=stdin, stdout=process.stdout if last else output)
            if len(pipeline.commands) == 1:
                status = self._any(process, command)
            else:
                inside = self.child()
                inside.status, inside.arguments = self.status, self.arguments
                with contextlib.suppress(ShellExit):
                    status = inside._any(part, command)
            stdin = BytesInput(bytes(output.data))
        return int(not status) if pipeline.negated else status

    def _any(self, process: Process, command: Command) -> int:
        outer = (process.stdin, process.stdout, process.stderr)
        try:
            if not all(self._redirect(process, redirect) for redirect in command.redirects):
                return SYNTAX_STATUS
            match command:
                case Simple():
                    return self._simple(process, command)
                case If():
                    return self._if(process, command)
                case Loop():
                    return self._loop(process, command)
                case For():
                    return self._for(process, command)
                case Group():
                    return self._list(process, command.body)
        finally:
            process.stdin, process.stdout, process.stderr = outer

    def _simple(self, process: Process, command: Simple) -> int:
        words = [text for word in command.words for text in self._expand(process, word)]
        set_here: dict[str, str] = {}
        while words and "=" in words[0] and words[0].partition("=")[0].isidentifier():
            name, _, value = words.pop(0).partition("=")
            set_here[name] = value
        if not words:
            process.env.update(set_here)
            return 0
        if not set_here:
            return self.command(process, words)
        return self.command(replace(process, env={**process.env, **set_here}), words)

    def _if(self, process: Process, command: If) -> int:
        for condition, body in command.branches:
            if condition is None or self._list(process, condition) == 0:
                self.status = 0
                return self._list(process, body)
        return 0

    def _loop(self, process: Process, command: Loop) -> int:
        status = 0
        while (self._list(process, command.condition) == 0) is not command.until:
            self.life.check()
            status = self._list(process, command.body)
        return status

    def _for(self, process: Process, command: For) -> int:
        status = 0
        for text in [text for word in command.words for text in self._expand(process, word)]:
            process.env[command.name] = text
            status = self._list(process, command.body)
        return status

    def _redirect(self, process: Process, redirect: Redirect) -> bool:
        target = "".join(self._value(process, part) for part in redirect.target)
        if redirect.operator == ">&":
            source = {"1": process.stdout, "2": process.stderr}.get(target)
            if source is None:
                process.err("sh: 1: Syntax error: Bad fd number\n")
                return False
            self._connect(process, redirect.fd, source)
            return True
        path = self.path(process, target)
        try:
            if redirect.operator == "<":
                process.stdin = BytesInput(self.system.tree.read(path, root=process.is_root))
            elif path == "/dev/null":
                self._connect(process, redirect.fd, no_output)
            else:
                append = redirect.operator == ">>"
                write = self.system.tree.open_to_write(path, root=process.is_root, append=append)
                self._connect(process, redirect.fd, write)
        except OSError as error:
            verb = "open" if redirect.operator == "<" else "create"
            reason = "No such file" if redirect.operator == "<" and error.errno == 2 else os.strerror(error.errno or 5)
            process.err(f"sh: 1: cannot {verb} {target}: {reason}\n")
            return False
        return True

    @staticmethod
    def _connect(process: Process, fd: int, write: Callable[[bytes], None]) -> None:
        if fd == 2:
            process.stderr = write
        else:
            process.stdout = write

    def _value(self, process: Process, part: Part) -> str:
        if not part.variable:
            return part.text
        if part.text == "?":
            return str(self.status)
        if part.text in ("@", "*"):
            return " ".join(self.arguments[1:])
        if part.text == "#":
            return str(len(self.arguments) - 1)
        if part.text in ("$", "!"):
            return "1184"
        if part.text.isdigit():
            index = int(part.text)
            return self.arguments[index] if index < len(self.arguments) else ""
        known = {"HOME": "/root" if process.is_root else "/home/debian", "USER": process.user, "PWD": process.cwd}
        return process.env.get(part.text, known.get(part.text, ""))

    def _expand(self, process: Process, word: Word) -> list[str]:
        """The words that one word becomes: variables split at blanks unless quoted, globs matched."""
        texts = [""]
        glob = kept = False
        for part in word:
            value = self._value(process, part)
            kept = kept or part.quoted or bool(value and not part.variable)
            if part.variable and not part.quoted:
                pieces = value.split()
                if pieces:
                    texts[-1] += pieces[0]
                    texts += pieces[1:]
                    kept = True
                continue
            glob = glob or (not part.quoted and value in ("*", "?", "["))
            texts[-1] += value
        if not kept:
            return []
        if glob and len(texts) == 1:
            return self._matches(process, texts[0]) or texts
        return texts

    def _matches(self, process: Process, pattern: str) -> list[str]:
        found = self.system.tree.match(posixpath.join(process.cwd, pattern))
        if pattern.startswith("/"):
            return found
        return [path[len(process.cwd.rstrip("/")) + 1 :] for path in found]


def run_login(machine: Machine, life: Life, process: Process, command: str | None, terminal: Terminal | None) -> int:
    """What a user who logged in over the network gets: one command, or a shell.

    Raises:
        PowerLost: the board is gone.
    """
    life.check()
    process.env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", **process.env}
    process.cwd = "/root" if process.is_root else "/home/debian"
    shell = Shell(machine, life, machine.system(life))
    if terminal is not None:
        shell.interrupted = terminal.interrupted
    if command is not None:
        status = shell.run(process, command)
    elif terminal is not None:
        return interact(machine, life, process, terminal)
    else:
        status = shell.run_lines(process)
    life.check()
    return status


def interact(machine: Machine, life: Life, process: Process, terminal: Terminal) -> int:
    """A shell with a prompt on a terminal.

    Raises:
        PowerLost: the board is gone.
    """
    process.cwd = "/root" if process.is_root else "/home/debian"
    shell = Shell(machine, life, machine.system(life))
    shell.interrupted = terminal.interrupted
    with contextlib.suppress(OSError):
        return shell.run_lines(process, f"{process.user}@{shell.system.hostname}", interactive=True)
    life.check()
    raise PowerLost
