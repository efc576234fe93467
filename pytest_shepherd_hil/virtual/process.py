"""Starts a virtual board."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.rig.process import BoardProcess
from pytest_shepherd_hil.virtual.control import VirtualControl

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VirtualProcess"]

READY_S = 30.0


class VirtualProcess(BoardProcess[VirtualControl]):
    """A virtual board that runs."""

    @classmethod
    def start(cls, say: Callable[[str], None] = lambda _: None, *, snapshot: bool = True) -> VirtualProcess:
        """Start one; returns when it has power. What it boots is built first where need be.

        Args:
            say: shows a line of progress to the user.
            snapshot: whether each power-on goes on from a snapshot of the booted board, instead of booting.

        Raises:
            HostError: it cannot be built or does not start.
            BoardError: it does not boot.
        """
        from pytest_shepherd_hil.virtual.build import ensure
        from pytest_shepherd_hil.virtual.qemu import Image
        from pytest_shepherd_hil.virtual.snapshot import snapshot_of

        build = ensure(say)
        image = Image(build.kernel, build.initramfs)
        arguments = ["--kernel", str(image.kernel), "--initramfs", str(image.initramfs)]
        arguments += ["--client-key", str(build.client_key), "--host-key", build.host_key]
        if snapshot:
            arguments += ["--snapshot", str(snapshot_of(image, build.folder, say).folder)]
        return cls("pytest_shepherd_hil.virtual", arguments, VirtualControl, what="the virtual board", ready_s=READY_S)
