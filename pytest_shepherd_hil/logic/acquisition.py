"""Where samples come from: what every driver does, and how it can fail."""

from __future__ import annotations

from typing import Protocol

from pytest_shepherd_hil.errors import HostError, LogicError

__all__ = [
    "Acquisition",
    "DeviceBusyError",
    "DeviceForbiddenError",
    "DeviceLostError",
    "DeviceMissingError",
    "DriverMissingError",
    "FirmwareMissingError",
    "OverrunError",
    "SamplerateError",
]


class DriverMissingError(HostError):
    """This computer lacks the driver: sigrok-cli, a pysigrok plugin, or libsigrok's part for this analyzer."""


class FirmwareMissingError(HostError):
    """The analyzer's firmware, which its driver loads into it, is not on this computer."""


class DeviceForbiddenError(HostError):
    """This user may not open the analyzer."""


class DeviceMissingError(LogicError):
    """No such analyzer is there."""


class DeviceBusyError(LogicError):
    """Another program has the analyzer."""


class DeviceLostError(LogicError):
    """The analyzer went away in the middle: unplugged, or its driver gave up."""


class SamplerateError(LogicError):
    """The analyzer does not take so many samples a second."""


class OverrunError(LogicError):
    """Samples were lost, because the USB bus or this computer did not take them in time."""


class Acquisition(Protocol):
    """A running acquisition: samples in real time from when it was opened.

    One thread opens, reads and closes it; a driver's process dies with that thread.
    """

    @property
    def samplerate(self) -> int:
        """Samples a second, in Hz, as the analyzer really takes them."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The analyzer's names of the channels, in bit order."""

    @property
    def unitsize(self) -> int:
        """Bytes in a sample: ``ceil(channels / 8)``."""

    def read(self, timeout_s: float) -> bytes:
        """Further samples, in whole units; empty where none came within ``timeout_s`` seconds.

        Raises:
            LogicError: the analyzer is gone.
        """

    def close(self) -> None:
        """Stop, within a few seconds, leaving no process behind. Closing twice is fine."""
