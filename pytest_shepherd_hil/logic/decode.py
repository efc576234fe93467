"""sigrok's own protocol decoders on a finished capture.

The only place that imports pysigrok and its decoders, which are GPLv3+; imported when used, not before.
"""

from __future__ import annotations

import difflib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.errors import HostError, LogicError
from pytest_shepherd_hil.logic import srzip
from pytest_shepherd_hil.logic.capture import Capture
from pytest_shepherd_hil.logic.samples import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Annotation", "decode"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One thing that a decoder found."""

    start_sample: int
    end_sample: int
    data: Any
    """What the decoder gives to those stacked upon it; for ``uart`` e.g. ``["FRAME", 0, (0x48, True)]``."""


def decode(
    source: Capture | str | Path,
    decoder: str = "uart",
    pins: Mapping[str, str] | None = None,
    options: Mapping[str, object] | None = None,
) -> list[Annotation]:
    """Run one of sigrok's decoders. It takes about a second for each million samples.

    Args:
        source: a capture, or a ``.sr`` file.
        decoder: sigrok's id of it: ``uart``, ``i2c``, ``spi``, …
        pins: the decoder's pin to a channel of the capture; ``{"rx": "D0"}`` where not given.
        options: the decoder's options that differ from their defaults.

    Raises:
        LogicError: no such decoder, pin, channel or option (the message lists those that there are), or it failed.
        HostError: pysigrok is not installed.
    """
    capture = source if isinstance(source, Capture) else Capture.load(source)
    pins = pins or {"rx": "D0"}
    cls = _load(decoder)
    known = [pin["id"] for pin in (*getattr(cls, "channels", ()), *getattr(cls, "optional_channels", ()))]
    for pin in pins:
        if pin not in known:
            raise LogicError(f"sigrok's decoder {decoder} has no pin {pin!r}; it has {', '.join(known)}")
    every = {option["id"]: option["default"] for option in getattr(cls, "options", ())}
    for option in options or {}:
        if option not in every:
            raise LogicError(f"sigrok's decoder {decoder} has no option {option!r}; it has {', '.join(every)}")
    bits = sorted({capture.bit(channel) for channel in pins.values()})
    mapping = {pin: bits.index(capture.bit(channel)) for pin, channel in pins.items()}
    try:
        return _run(capture, bits, decoder, cls, {**every, **(options or {})}, mapping)
    except Exception as error:
        raise LogicError(f"sigrok's decoder {decoder} failed: {type(error).__name__}: {error}") from error


def _load(decoder: str) -> Any:
    from importlib.metadata import entry_points

    found = {entry.name: entry for entry in entry_points(group="pysigrok.decoders")}
    if not found:
        raise HostError("pysigrok's decoders are not installed; pip install pysigrok pysigrok-libsigrokdecode")
    if decoder not in found:
        near = difflib.get_close_matches(decoder, found, n=3, cutoff=0.5)
        raise LogicError(
            f"sigrok has no decoder {decoder!r}; " + (f"did you mean {' or '.join(near)}?" if near else _list(found))
        )
    return found[decoder].load()


def _list(names: Iterable[str]) -> str:
    return f"it has {', '.join(sorted(names))}"


def _run(
    capture: Capture, bits: list[int], decoder: str, cls: Any, options: dict[str, object], mapping: dict[str, int]
) -> list[Annotation]:
    from sigrokdecode import OUTPUT_PYTHON, run_decoders
    from sigrokdecode.output import Output
    from sigrokdecode.srzip import SrZipInput

    found: list[Annotation] = []

    class Collect(Output):  # type: ignore[misc]  # pysigrok is not typed
        def output(self, source: object, start: int, end: int, data: object) -> None:
            if source is not reader:
                found.append(Annotation(start, end, data))

    with tempfile.TemporaryDirectory(prefix="shepherd-hil-") as folder:
        # its own reader fails at some unit sizes, and with triggers: it gets the few channels it needs, in our writing
        path = Path(folder, "decode.sr")
        channels = [capture.channels[bit] for bit in bits]
        srzip.write(path, capture.samplerate, channels, pack(capture.samples, capture.unitsize, bits))
        reader = SrZipInput(str(path))
        try:
            stack = [{"id": decoder, "cls": cls, "options": options, "pin_mapping": mapping}]
            run_decoders(reader, Collect(), stack, output_type=OUTPUT_PYTHON)
        finally:
            reader.zip.close()
    return found
