"""What is wrong where sigrok-cli did not begin, or stopped by itself: from its exit status and its words. Pure.

What libsigrok 0.5.2 says is in its sources; a driver that loses its device mostly says nothing at all and ends with 0.
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError, LogicError
from pytest_shepherd_hil.logic.acquisition import (
    DeviceBusyError,
    DeviceForbiddenError,
    DeviceLostError,
    DeviceMissingError,
    DriverMissingError,
    FirmwareMissingError,
    OverrunError,
    SamplerateError,
)
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FIRMWARE", "not_begun", "stopped", "supported_rates"]

FIRMWARE = {
    "fx2lafw": ("fx2lafw-*.fw", "apt-get install sigrok-firmware-fx2lafw"),
    "hantek-6xxx": ("fx2lafw-hantek-*.fw", "apt-get install sigrok-firmware-fx2lafw"),
    "dreamsourcelab-dslogic": ("dreamsourcelab-dslogic-*", "see https://sigrok.org/wiki/DreamSourceLab_DSLogic"),
    "saleae-logic16": ("saleae-logic16-*", "see https://sigrok.org/wiki/Saleae_Logic16"),
    "kingst-la2016": ("kingst-la*", "see https://sigrok.org/wiki/Kingst_LA2016"),
    "asix-sigma": ("asix-sigma-*", "see https://sigrok.org/wiki/ASIX_SIGMA"),
    "sysclk-lwla": ("sysclk-lwla*", "see https://sigrok.org/wiki/Sysclk_LWLA1034"),
}
"""Which files a driver loads into its device before that can do anything, and how to get them."""

_SHOWN = 500
_FIRMWARE_SAID = re.compile(
    r"Failed to (?:locate|open resource|load) '?[^'\n]*(?:fw|firmware|bitstream|\.bin|\.hex|\.bit)"
    r"|[Ff]irmware upload failed|Failed to (?:select|upload) FPGA firmware|Unable to (?:open|find) firmware"
)
_BUSY_SAID = re.compile(r"already claimed it|LIBUSB_ERROR_BUSY|Resource busy|[Dd]evice or resource busy|in use by")
_FORBIDDEN_SAID = re.compile(r"LIBUSB_ERROR_ACCESS|Access denied|[Pp]ermission denied|insufficient permissions")
_RATE_SAID = re.compile(r"'samplerate'|[Ii]nvalid samplerate|unsupported samplerate|does not support .*samplerate")
_OVERRUN_SAID = re.compile(r"overflow|overrun|[Bb]uffer full|FIFO|[Ss]amples? (?:were )?(?:lost|dropped)|too slow")
_CANNOT_STREAM_SAID = "does not support continuous sampling"
_UNPLUGGED_SAID = re.compile(
    r"LIBUSB_ERROR_NO_DEVICE|LIBUSB_TRANSFER_NO_DEVICE|No such device|disconnected|unplugged|LIBUSB_ERROR_IO"
    r"|Input/[Oo]utput [Ee]rror|LIBUSB_ERROR_NOT_FOUND"
)


def not_begun(
    where: str, driver: str, device: str, samplerate: int, code: int, said: str, look: Callable[[str], str]
) -> HilError:
    """The error of a sigrok-cli that ended before it took a sample.

    Args:
        where: board and device, as the message begins.
        driver: libsigrok's name of the driver.
        device: the driver and which of its devices, as on the command line.
        samplerate: which was asked for, in Hz.
        code: its exit status.
        said: what it printed.
        look: gives what sigrok-cli prints for ``--scan`` and ``--show``.
    """
    quoted = printable(said[-_SHOWN:]) or "nothing"
    told = f"sigrok-cli said: {quoted}"
    if _FIRMWARE_SAID.search(said):
        get = FIRMWARE.get(driver, ("", "see https://sigrok.org/wiki/Firmware"))[1]
        return FirmwareMissingError(f"{where}: its firmware is missing on this computer; {get}. {told}")
    if _BUSY_SAID.search(said):
        return DeviceBusyError(
            f"{where}: another program has it; end that (PulseView? another sigrok-cli? `pgrep -a sigrok`). {told}"
        )
    if _FORBIDDEN_SAID.search(said):
        return DeviceForbiddenError(
            f"{where}: this user may not open it; apt-get install libsigrok4 brings the udev rules, then "
            f"sudo usermod -aG plugdev $USER, log in anew and plug it in again. {told}"
        )
    if f"Driver {driver} not found" in said:
        return DriverMissingError(
            f"{where}: this libsigrok has no driver {driver!r}; sigrok-cli --list-supported names those that it has"
        )
    if "No devices found" in said or "No real devices found" in said:
        hint = f" Is its firmware there ({FIRMWARE[driver][1]})?" if driver in FIRMWARE else ""
        return DeviceMissingError(
            f"{where}: no such device found. Is it plugged in (lsusb), may this user open it (group plugdev), is no "
            f"other program using it?{hint} {told}"
        )
    if _RATE_SAID.search(said):
        return SamplerateError(
            f"{where} does not take {samplerate} samples a second; {supported_rates(device, look)}. {told}"
        )
    if "unknown channel" in said or "Invalid channel" in said:
        return LogicError(f"{where}: {quoted} See sigrok-cli --driver {device} --show for those it has")
    if "Unknown device option" in said or "Failed to set device option" in said:
        return LogicError(f"{where}: {quoted} See sigrok-cli --driver {device} --show for the 'options' that it takes")
    if _CANNOT_STREAM_SAID in said:
        return _cannot_stream(where, told)
    return LogicError(f"{where}: sigrok-cli ended with {code} before it took a sample; it said: {quoted}")


def stopped(
    where: str, driver: str, samplerate: int, code: int | None, said: str, look: Callable[[str], str]
) -> HilError:
    """The error of a sigrok-cli that stopped by itself while it was streaming; arguments as for :func:`not_begun`."""
    how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
    quoted = printable(said[-_SHOWN:]) or "nothing"
    told = f"sigrok-cli {how} and said: {quoted}"
    slower = "sample more slowly, take fewer channels, give it a USB port of its own, or use a less busy computer"
    if _OVERRUN_SAID.search(said):
        return OverrunError(f"{where} was overrun at {samplerate} Hz: {slower}. {told}")
    if _CANNOT_STREAM_SAID in said:
        return _cannot_stream(where, told)
    if _UNPLUGGED_SAID.search(said):
        return DeviceLostError(f"{where} stopped in the middle: {told}. Was it unplugged? See dmesg | tail")
    if code == 0:  # a driver that gives up says nothing: is the device still there?
        if re.search(rf"^{re.escape(driver)}\S* - ", look("--scan"), re.MULTILINE):
            return OverrunError(
                f"{where} gave up by itself, though it is still there: it was overrun at {samplerate} Hz; {slower}. "
                f"{told}"
            )
        return DeviceLostError(f"{where} stopped in the middle and is no longer there: was it unplugged? {told}")
    return DeviceLostError(
        f"{where} stopped in the middle: {told}. Was it unplugged, or is {samplerate} Hz more than its USB port can "
        "carry?"
    )


def _cannot_stream(where: str, told: str) -> LogicError:
    return LogicError(f"{where} cannot stream, and only a streaming analyzer can be used. {told}")


def supported_rates(device: str, look: Callable[[str], str]) -> str:
    """Which samplerates a device has, as sigrok-cli shows them."""
    shown = look("--show")
    span = re.search(r"samplerate \(([^)]+)\)", shown)
    if span is not None:
        return f"it takes {printable(span[1])}"
    listed = re.search(r"samplerate - supported samplerates:((?:\s+[\d.]+ ?[kMG]?Hz.*)+)", shown)
    if listed is not None:
        rates = [line.strip() for line in listed[1].splitlines() if line.strip()]
        return f"it takes {printable(', '.join(rates), 400)}"
    return f"see sigrok-cli --driver {device} --show for those it can"
