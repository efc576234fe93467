"""One life of the board: from one boot to whatever ends it."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.sim.kernel import Kernel

__all__ = ["Life", "PowerLost"]

SLICE_S = 0.1


class PowerLost(Exception):  # noqa: N818 -- it is no error of anybody's: the life that a thread belonged to is over
    """The life that this thread works in has ended."""


class Life:
    """What begins anew with every boot.

    Attributes:
        epoch: number of this boot since the board was made, from 1.
        kernel: the kernel of this boot.
        boot_id: its random id, as in ``/proc``.
        over: set when power or reset has ended it.
        frozen: set when user space stands still for good: panic, or hang.
        booted: set once there is a login prompt and an SSH server.
        panicked: whether the kernel panicked.
        sysctl: values below ``/proc/sys/kernel`` that are plain numbers.
    """

    def __init__(self, epoch: int, kernel: Kernel) -> None:
        self.epoch = epoch
        self.kernel = kernel
        self.boot_id = str(uuid.uuid4())
        self.over = threading.Event()
        self.frozen = threading.Event()
        self.booted = threading.Event()
        self.panicked = False
        self.sysctl = {"panic": 0, "sysrq": 1, "panic_on_oops": 0}

    def check(self) -> None:
        """Go on only if user space runs: stands still while frozen.

        Raises:
            PowerLost: this life is over.
        """
        if self.frozen.is_set():
            self.over.wait()
        if self.over.is_set():
            raise PowerLost

    def pause(self, seconds: float, ended: Callable[[], bool] | None = None) -> None:
        """Let time pass in user space, or less if ``ended()``.

        Raises:
            PowerLost: this life is over.
        """
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            self.over.wait(rest if ended is None else min(rest, SLICE_S))
            self.check()
            if ended is not None and ended():
                return
        self.check()
