"""Writing lines to the kernel's log, over one shell that stays, so that a line costs no new SSH channel."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardDeadError, ShellError

if TYPE_CHECKING:
    import paramiko

    from pytest_shepherd_hil.shell import Shell

__all__ = ["KmsgWriter"]

_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
# The device is opened for each line: the kernel limits the rate for each opening, silently.
_LOOP = f'while read -r line; do echo "$line" > /dev/kmsg && {_BOOT_ID} || echo failed; done'


class KmsgWriter:
    """Writes to ``/dev/kmsg`` through a shell process on the board; each line is answered with the boot id.

    Where that process or its connection is gone, a new one is tried, and at last a command of its own over a new
    connection.

    Args:
        shell: the board's.
    """

    ANSWER_S = 5.0
    """How long the process that stays may take for a line."""
    COMMAND_S = 10.0
    """How long a command of its own may take."""
    _ANSWER_MAX = 1024

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._channel: paramiko.Channel | None = None
        self._turn = threading.Lock()

    def write(self, line: str, timeout_s: float = COMMAND_S) -> str:
        """Have the kernel log a line, without characters that a shell minds; returns the boot id.

        Args:
            line: what to write, with its level: ``<3>text``.
            timeout_s: how long all ways together may take, about.

        Raises:
            ShellError: no way worked.
            BoardDeadError: the board is known to be dead.
        """
        deadline = time.monotonic() + timeout_s
        if not self._turn.acquire(timeout=timeout_s):
            raise ShellError(f"/dev/kmsg: another thread has been writing for {timeout_s:g} s")
        try:
            answer = self._over_the_channel(line, min(self.ANSWER_S, timeout_s))
            if answer is not None:
                return answer
            if timeout_s >= self.COMMAND_S:  # who has less time than that does not wait for a new connection
                self._shell.drop()
            left_s = self.COMMAND_S if timeout_s >= self.COMMAND_S else max(deadline - time.monotonic(), 0.1)
            return self._shell.run(f"echo '{line}' > /dev/kmsg && {_BOOT_ID}", timeout_s=left_s).stdout.strip()
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process that stays."""
        channel, self._channel = self._channel, None
        if channel is not None:
            with contextlib.suppress(Exception):
                channel.close()

    def _over_the_channel(self, line: str, timeout_s: float) -> str | None:
        """The boot id; None where the process that stays did not answer."""
        deadline = time.monotonic() + timeout_s
        for _ in range(2):
            fresh = self._channel is None
            try:
                if self._channel is None:
                    self._channel = self._shell.stream(_LOOP, timeout_s)
                answer = self._ask(self._channel, line, deadline)
            except BoardDeadError:
                raise
            except (ShellError, EOFError, OSError):  # also time-outs
                answer = None
            except BaseException:  # cut off in the midst of an answer, which the next line must not get
                self.close()
                raise
            if answer:
                return answer
            self.close()
            if fresh or time.monotonic() >= deadline:
                return None
        return None

    def _ask(self, channel: paramiko.Channel, line: str, deadline: float) -> str | None:
        channel.settimeout(max(deadline - time.monotonic(), 0.01))
        channel.sendall(line.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n") and len(answer) < self._ANSWER_MAX:
            channel.settimeout(max(deadline - time.monotonic(), 0.01))
            data = channel.recv(256)
            if not data:
                return None
            answer += data
        text = answer.decode("ascii", "replace").strip()
        return None if text == "failed" else text
