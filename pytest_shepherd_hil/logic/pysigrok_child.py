"""Runs a hardware plugin of pysigrok, in a process of its own: ``python -m pytest_shepherd_hil.logic.pysigrok_child``.

A plugin's call cannot be interrupted and may wait for its device for ever; a process can be ended.

The request is a line of JSON on the command line. What comes of it is on stdout: a line of JSON, ``{"samplerate": …,
"channels": […]}`` and then the samples, one unit each, or ``{"error": what, "says": why}``.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import redirect_stdout
from typing import Any, NoReturn

from pytest_shepherd_hil.logic.pysigrok import hardware, load, sigrokdecode
from pytest_shepherd_hil.logic.samples import unitsize_of

__all__ = ["main"]

_ERRNO = {
    errno.ENOENT: "missing",
    errno.ENODEV: "missing",
    errno.ENXIO: "missing",
    errno.EBUSY: "busy",
    errno.EAGAIN: "busy",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EIO: "lost",
}
_WRITE_BYTES = 1 << 20


def main() -> None:
    """Take so many samples and write them."""
    request = json.loads(sys.argv[1])
    out = os.dup(sys.stdout.fileno())
    with redirect_stdout(sys.stderr):  # plugins print
        try:
            cls = _plugin(request["plugin"], out)
            driver, samples = _take(cls, request, out)
        except Exception as error:  # noqa: BLE001  a plugin raises what it likes
            _fail(out, _kind(error), f"{type(error).__name__}: {error}")
    channels = [str(channel) for channel in driver.logic_channels]
    _say(out, {"samplerate": int(driver.samplerate), "channels": channels})
    for at in range(0, len(samples), _WRITE_BYTES):
        part = memoryview(samples)[at : at + _WRITE_BYTES]
        while part:
            part = part[os.write(out, part) :]


def _plugin(name: str, out: int) -> Any:
    """The plugin whose driver is called that: an entry point's own name may be another."""
    found = {}
    for entry in hardware():
        try:
            cls = load(entry)
        except Exception as error:  # noqa: BLE001  another plugin's fault is not ours, unless it is the one wanted
            found[entry.name] = error
            if entry.name.replace("_", "-") == name.replace("_", "-"):
                _fail(out, "driver", f"it cannot be imported: {type(error).__name__}: {error}")
            continue
        if cls.name == name:
            return cls
        found[cls.name] = cls
    raise _fail(out, "driver", f"there is none of that name; installed: {', '.join(sorted(found)) or 'none'}")


def _take(cls: Any, request: dict[str, Any], out: int) -> tuple[Any, bytes]:
    rates = [int(rate) for rate in getattr(cls, "samplerates", ())]
    if rates and request["samplerate"] not in rates:
        _fail(out, "samplerate", f"it takes {', '.join(map(str, rates))}")
    options = dict(request["options"])
    if request["conn"] is not None:
        options["conn"] = request["conn"]
    driver = cls(",".join(request["channels"]), samplerate=str(request["samplerate"]), **options)
    wanted: int = request["samples"]
    driver.acquire(wanted, {}, True)
    unitsize = unitsize_of(len(driver.logic_channels))
    parts: list[bytes] = []
    driver.add_callback(
        sigrokdecode().OUTPUT_PYTHON,
        None,
        lambda start, end, data: (
            parts.append(int(data[1]).to_bytes(unitsize, "little") * (end - start)) if data[0] == "logic" else None
        ),
    )
    try:
        while True:
            driver.wait([{"skip": 1000}])
    except EOFError:
        pass
    return driver, b"".join(parts)[: wanted * unitsize]


def _kind(error: Exception) -> str:
    number = getattr(error, "errno", None)
    text = str(error).lower()
    if isinstance(error, OSError) and number in _ERRNO:
        return _ERRNO[number]
    if "no such file" in text or "could not open port" in text:
        return "missing"
    if "missed some bytes" in text or "overrun" in text or "overflow" in text:
        return "overrun"
    if "abort" in text or "disconnected" in text or "device reports readiness" in text:
        return "lost"
    return "failed"


def _say(out: int, what: dict[str, object]) -> None:
    os.write(out, json.dumps(what).encode() + b"\n")


def _fail(out: int, kind: str, why: str) -> NoReturn:
    _say(out, {"error": kind, "says": why})
    os._exit(1)  # a plugin's threads, or its __del__, must not keep it alive


if __name__ == "__main__":
    main()
    os._exit(0)
