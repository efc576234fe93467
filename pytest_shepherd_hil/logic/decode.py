"""sigrok's own protocol decoders on a finished capture."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.errors import HostError, LogicError
from pytest_shepherd_hil.logic.capture import Capture
from pytest_shepherd_hil.logic.sigrok_input import CaptureInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Annotation", "decode"]

_MAX_STACK = 8


@dataclass(frozen=True, slots=True)
class Annotation:
    """One thing that a decoder found."""

    start_sample: int
    end_sample: int
    data: Any
    """What the decoder gives to those stacked upon it; for ``uart`` e.g. ``["FRAME", 0, (0x48, True)]``.

    Of a decoder that gives them nothing, and where annotations were asked for, what it shows to people: the kind of the
    annotation and its text, as in ``["data-read", "Data read: 2A"]``.
    """


def decode(
    source: Capture | str | Path,
    decoder: str = "uart",
    pins: Mapping[str, str] | None = None,
    options: Mapping[str, object] | None = None,
    *,
    annotations: bool = False,
) -> list[Annotation]:
    """Run one of sigrok's decoders.

    A decoder that works on another one's output, as ``eeprom24xx`` on that of ``i2c``, gets that one below it, and its
    pins and options are taken from those given here.

    Args:
        source: a capture, or a ``.sr`` file.
        decoder: sigrok's id of it: ``uart``, ``i2c``, ``spi``, …
        pins: the decoder's pin to a channel of the capture; ``{"rx": "D0"}`` where not given.
        options: the decoder's options that differ from their defaults.
        annotations: give what the decoder shows to people, also where it gives others more than that.

    Raises:
        LogicError: no such decoder, pin, channel or option (the message lists those that there are), or it failed.
        HostError: pysigrok is not installed.
    """
    capture = source if isinstance(source, Capture) else Capture.load(source)
    pins = {"rx": "D0"} if pins is None else pins
    stack = _stack(decoder)
    bits = _checked_pins(capture, decoder, stack[0], pins)
    chosen = [_options(cls, options or {}) for cls in stack]
    for option in options or {}:
        if not any(option in each for each in chosen):
            known = ", ".join(known for each in chosen for known in each) or "none"
            raise LogicError(f"sigrok's decoder {decoder} has no option {option!r}; it has {known}")
    try:
        return _run(capture, bits, stack, chosen, pins, annotations or not getattr(stack[-1], "outputs", ()))
    except Exception as error:
        raise LogicError(f"sigrok's decoder {decoder} failed: {type(error).__name__}: {error}") from error


def _stack(decoder: str) -> list[Any]:
    """The decoder, below it the one whose output it works on, and so on; the lowest, which reads pins, first."""
    stack = [_load(decoder)]
    while (below := str(stack[0].inputs[0])) != "logic":
        if len(stack) > _MAX_STACK:
            raise LogicError(f"sigrok's decoder {decoder} works on {below}, which works on itself")
        stack.insert(0, _load(below))
    return stack


def _checked_pins(capture: Capture, decoder: str, cls: Any, pins: Mapping[str, str]) -> list[int]:
    """The bits that the pins are on, each once."""
    needed = [pin["id"] for pin in getattr(cls, "channels", ())]
    known = [*needed, *(pin["id"] for pin in getattr(cls, "optional_channels", ()))]
    for pin in pins:
        if pin not in known:
            raise LogicError(f"sigrok's decoder {decoder} has no pin {pin!r}; it has {', '.join(known)}")
    bits = sorted({capture.bit(channel) for channel in pins.values()})
    missing = [pin for pin in needed if pin not in pins]
    if missing or not bits:
        raise LogicError(f"sigrok's decoder {decoder} needs a channel for its pin {', '.join(missing or known)}")
    return bits


def _options(cls: Any, given: Mapping[str, object]) -> dict[str, object]:
    """Every option, as decoders demand it."""
    defaults = {option["id"]: option["default"] for option in getattr(cls, "options", ())}
    return {option: given.get(option, default) for option, default in defaults.items()}


def _load(decoder: str) -> Any:
    from pytest_shepherd_hil.logic.pysigrok import decoders, load

    found = decoders()
    if not found:
        raise HostError("pysigrok's decoders are not installed; pip install pysigrok pysigrok-libsigrokdecode")
    if decoder not in found:
        near = difflib.get_close_matches(decoder, found, n=3, cutoff=0.5)
        raise LogicError(
            f"sigrok has no decoder {decoder!r}; " + (f"did you mean {' or '.join(near)}?" if near else _list(found))
        )
    return load(found[decoder])


def _list(names: Iterable[str]) -> str:
    return f"it has {', '.join(sorted(names))}"


def _run(
    capture: Capture,
    bits: list[int],
    stack: list[Any],
    options: list[dict[str, object]],
    pins: Mapping[str, str],
    annotations: bool,
) -> list[Annotation]:
    from pytest_shepherd_hil.logic.pysigrok import sigrokdecode

    srd = sigrokdecode()
    found: list[Annotation] = []
    decoders = [cls() for cls in stack]
    for decoder, chosen in zip(decoders, options, strict=True):
        decoder.options = chosen
        decoder.decoder_channel_to_data_channel = {}
        decoder.one_to_one = False
    for pin, channel in pins.items():
        decoders[0].set_channelnum(pin, bits.index(capture.bit(channel)))
    for below, above in pairwise(decoders):
        below.add_callback(srd.OUTPUT_PYTHON, None, above.decode)

    def show(start: int, end: int, data: Any) -> None:
        found.append(Annotation(start, end, [stack[-1].annotations[data[0]][0], data[1][0]]))

    def give(start: int, end: int, data: Any) -> None:
        found.append(Annotation(start, end, data))

    decoders[-1].add_callback(*((srd.OUTPUT_ANN, None, show) if annotations else (srd.OUTPUT_PYTHON, None, give)))
    for decoder in decoders:
        decoder.reset()
    for decoder in decoders:
        decoder.metadata(srd.SRD_CONF_SAMPLERATE, capture.samplerate)
    for decoder in decoders:
        decoder.start()
    decoders[0].run(CaptureInput(capture.samples, capture.unitsize, bits))
    for decoder in decoders:
        decoder.stop()
    return found
