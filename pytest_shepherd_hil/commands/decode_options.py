"""What ``shepherd-hil decode`` can be asked for. Imports nothing: it is read whichever sub-command runs."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

__all__ = ["add_decode_options"]

NOTES = (
    "Errors in characters, and what was measured, are told on stderr. Numbers of samples count from the recording's "
    "first, times from its beginning."
)


def add_decode_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``shepherd-hil decode``."""
    parser.epilog = NOTES
    file = "a recording: .sr of sigrok and PulseView, or a .csv that Saleae Logic exported"
    parser.add_argument("file", metavar="FILE", type=Path, help=file)
    uart = "print what this channel says; without it, list the channels and guess which carry a UART"
    parser.add_argument("--uart", metavar="CHANNEL", help=uart)
    baudrate = "bits a second (default: measured, and so is what else is not given here)"
    parser.add_argument("--baudrate", metavar="N", type=_baudrate, help=baudrate)
    bits = "data bits of a character, 5 to 9 (default: 8)"
    parser.add_argument("--data-bits", type=int, choices=range(5, 10), metavar="N", help=bits)
    parser.add_argument("--parity", choices=("none", "odd", "even", "mark", "space"), help="(default: none)")
    parser.add_argument("--stop-bits", type=float, choices=(1, 1.5, 2), metavar="N", help="1, 1.5 or 2 (default: 1)")
    parser.add_argument("--invert", action="store_true", default=None, help="the line idles low")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--raw", action="store_true", help="the characters' bytes, as they are")
    json = "json: one object per line, for each character with its time and error, or for each channel"
    output.add_argument("--format", choices=("text", "json"), default="text", help=json)


def _baudrate(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bits a second")
    return number
