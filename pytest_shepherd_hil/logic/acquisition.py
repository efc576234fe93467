"""Where samples come from: what every driver does."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Acquisition"]


class Acquisition(Protocol):
    """A running acquisition: samples in real time from when it was opened. One thread reads and closes it."""

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
