"""Characters of a UART's line, and the errors in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = ["BREAK", "FRAMING", "PARITY", "UartError", "UartFrame", "UartFrames"]

UartError = Literal["framing", "break", "parity"]

FRAMING, BREAK, PARITY = 1, 2, 3
_ERRORS: tuple[UartError | None, ...] = (None, "framing", "break", "parity")


class UartFrame(NamedTuple):
    """One character on the line."""

    start_sample: int
    """The first sample of its start bit."""
    value: int
    """What its data bits say, the first on the line being the least significant."""
    error: UartError | None = None
    """``framing``: no stop bit where one should be; ``break``: low for a whole frame or longer; ``parity``."""


class UartFrames(Sequence[UartFrame]):
    """Characters in the order in which they were sent: a sequence of :class:`UartFrame`, held as arrays.

    Attributes:
        start_samples: ``int64``, shape (characters,): the first sample of each start bit.
        values: ``uint16``, shape (characters,).
        codes: ``uint8``, shape (characters,): 0 for a clean character, 1 framing, 2 break, 3 parity.
        glitches: ``int64``, shape (glitches,): the first samples of pulses shorter than half a bit. No UART sends such
            a pulse; one beside the middle of a bit changes no character.
    """

    __slots__ = ("codes", "glitches", "start_samples", "values")

    def __init__(
        self,
        start_samples: NDArray[np.int64],
        values: NDArray[np.uint16],
        codes: NDArray[np.uint8],
        glitches: NDArray[np.int64],
    ) -> None:
        self.start_samples = start_samples
        self.values = values
        self.codes = codes
        self.glitches = glitches

    @classmethod
    def join(cls, parts: Iterable[UartFrames]) -> UartFrames:
        """Several, one after the other."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([np.empty(0, np.int64), *(part.start_samples for part in parts)]),
            np.concatenate([np.empty(0, np.uint16), *(part.values for part in parts)]),
            np.concatenate([np.empty(0, np.uint8), *(part.codes for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.glitches for part in parts)]),
        )

    @property
    def data(self) -> bytes:
        """The characters, those with framing or parity errors too (as a serial port gives them), without breaks.

        Of characters with 9 data bits, the lower 8.
        """
        values = self.values if not self.codes.any() else self.values[self.codes != BREAK]
        return values.astype(np.uint8).tobytes()

    @property
    def errors(self) -> tuple[UartFrame, ...]:
        """The frames that are not clean characters."""
        return tuple(self[int(index)] for index in np.flatnonzero(self.codes))

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> UartFrame: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[UartFrame, ...]: ...
    def __getitem__(self, index: int | slice) -> UartFrame | tuple[UartFrame, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(len(self))))
        return UartFrame(int(self.start_samples[index]), int(self.values[index]), _ERRORS[self.codes[index]])

    def __iter__(self) -> Iterator[UartFrame]:
        rows = zip(self.start_samples.tolist(), self.values.tolist(), self.codes.tolist(), strict=True)
        return (UartFrame(start, value, _ERRORS[code]) for start, value, code in rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # arrays may be written to

    def __repr__(self) -> str:
        return f"UartFrames({len(self)} characters, {np.count_nonzero(self.codes)} with errors: {self.data[:40]!r})"
