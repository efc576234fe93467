"""The logic probe clipped to the board: samples of its UART's TX line and of its sync line, in real time."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from pytest_shepherd_hil.rig.wire import read_line, serve_clients

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_shepherd_hil.rig.signals import Signals
    from pytest_shepherd_hil.rig.uart import Uart

__all__ = ["SAMPLERATES", "Probe", "TxLine"]

CHANNELS = tuple(f"D{number}" for number in range(8))
SAMPLERATES = (100_000, 24_000_000)
BLOCK_S = 0.01
LATENCY_S = 0.04
REQUEST_TIMEOUT_S = 5.0
STALLED_S = 5.0
UART_TX, SYNC = "D0", "D1"


def _runs(byte: int) -> tuple[tuple[bool, int], ...]:
    """A byte as 8n1: ``(level, bit times since its start at which this level ends)``, equal levels joined."""
    bits = [False, *(bool(byte >> bit & 1) for bit in range(8)), True]
    return tuple((level, end + 1) for end, level in enumerate(bits) if end == 9 or bits[end + 1] is not level)


_RUNS = tuple(_runs(byte) for byte in range(256))


class TxLine:
    """Turns bytes on the wire into samples, each edge at its exact place.

    Args:
        samplerate: in Hz.
        baudrate: in bits a second.
        started_s: monotonic time of sample 0.
        mark: sample value of a high line.
    """

    def __init__(self, samplerate: int, baudrate: int, started_s: float, mark: int) -> None:
        self._rate = samplerate
        self._bit = samplerate / baudrate
        self._started_s = started_s
        self._high = bytes((mark,))
        self._blocks: deque[tuple[float, bytes]] = deque()
        self._samples = bytearray()
        self._at = 0
        self._free = 0.0

    def see(self, start_s: float, data: bytes) -> None:
        """Bytes go over the wire from ``start_s`` (monotonic) on."""
        self._blocks.append((start_s, data))

    def take(self, end: int) -> bytes:
        """Samples up to number ``end``, from where the last call ended."""
        while self._blocks and self._at + len(self._samples) < end:
            start_s, data = self._blocks[0]
            begin = (start_s - self._started_s) * self._rate
            if begin >= end:
                break
            self._blocks.popleft()
            if begin + len(data) * 10 * self._bit < 0:
                continue  # before the first sample
            self._draw(max(begin, self._free, float(self._at + len(self._samples))), data)
        missing = end - self._at - len(self._samples)
        if missing > 0:
            self._samples += self._high * missing
        count = end - self._at
        taken = bytes(self._samples[:count])
        del self._samples[:count]
        self._at = end
        return taken

    def _draw(self, begin: float, data: bytes) -> None:
        samples, high, bit = self._samples, self._high, self._bit
        drawn = self._at + len(samples)
        idle = round(begin) - drawn
        samples += high * idle
        drawn += idle
        for byte in data:
            for level, bits in _RUNS[byte]:
                edge = round(begin + bits * bit)
                samples += high * (edge - drawn) if level else bytes(edge - drawn)
                drawn = edge
            begin += 10 * bit
        self._free = begin


class Probe:
    """Serves captures on a Unix socket, one client a capture.

    Args:
        path: of the socket.
        uart: whose TX line is D0.
        signals: power, and the sync line D1.
    """

    def __init__(self, path: Path, uart: Uart, signals: Signals) -> None:
        self._uart = uart
        self._signals = signals
        self._unplugged = False
        self._clients: set[socket.socket] = set()
        self._listener = serve_clients(path, self._serve, "probe")

    def close(self) -> None:
        """Take no more clients."""
        self._listener.close()

    def unplug(self) -> None:
        """Pull its USB plug: what runs ends in the middle, and nothing begins until :meth:`plug`."""
        self._unplugged = True
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def plug(self) -> None:
        """Plug it in again."""
        self._unplugged = False

    def _serve(self, client: socket.socket) -> None:
        self._clients.add(client)
        try:
            self._talk(client)
        finally:
            self._clients.discard(client)

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self._unplugged:
                client.sendall(json.dumps({"ok": False, "error": "it is unplugged"}).encode() + b"\n")
                return
            client.settimeout(REQUEST_TIMEOUT_S)
            line, _ = read_line(client, b"")
            try:
                samplerate, channels = _request(line)
            except ValueError as error:
                client.sendall(json.dumps({"ok": False, "error": str(error)}).encode() + b"\n")
                return
            client.settimeout(STALLED_S)
            self._capture(client, samplerate, channels)

    def _capture(self, client: socket.socket, samplerate: int, channels: list[str]) -> None:
        started_s = time.monotonic()
        masks = {name: 1 << bit for bit, name in enumerate(channels)}
        line = TxLine(samplerate, self._uart.baudrate, started_s, masks.get(UART_TX, 0))
        if UART_TX in masks:
            self._uart.tap(line.see)
        try:  # answered only now: whatever is sent after the answer is in the capture
            client.sendall(json.dumps({"ok": True, "samplerate": samplerate, "unitsize": 1}).encode() + b"\n")
            done, block = 0, max(1, int(samplerate * BLOCK_S))
            while True:
                due_s = started_s + (done + block) / samplerate + LATENCY_S
                if select.select([client], [], [], max(0.0, due_s - time.monotonic()))[0] and not client.recv(64):
                    return
                if time.monotonic() < due_s:
                    continue
                client.sendall(self._block(line, masks, started_s, samplerate, done, done + block))
                done += block
        finally:
            self._uart.untap(line.see)

    def _block(self, line: TxLine, masks: dict[str, int], started_s: float, rate: int, begin: int, end: int) -> bytes:
        samples = line.take(end) if UART_TX in masks else bytes(end - begin)
        start_s, end_s = started_s + begin / rate, started_s + end / rate
        if SYNC in masks:
            spans = self._signals.sync_spans(start_s, end_s)
            if any(level for _, level in spans):
                sync = _levels(spans, masks[SYNC], started_s, rate, begin, end)
                both = int.from_bytes(samples, "little") | int.from_bytes(sync, "little")
                samples = both.to_bytes(end - begin, "little")
        power = self._signals.power_spans(start_s, end_s)
        if all(on for _, on in power):
            return samples
        supply = _levels(power, 0xFF, started_s, rate, begin, end)
        both = int.from_bytes(samples, "little") & int.from_bytes(supply, "little")
        return both.to_bytes(end - begin, "little")


def _levels(spans: list[tuple[float, bool]], mark: int, started_s: float, rate: int, begin: int, end: int) -> bytes:
    samples = bytearray()
    for until_s, level in spans:
        edge = min(end, max(begin + len(samples), round((until_s - started_s) * rate)))
        samples += bytes((mark * level,)) * (edge - begin - len(samples))
    samples += samples[-1:] * (end - begin - len(samples))
    return bytes(samples)


def _request(line: bytes) -> tuple[int, list[str]]:
    """Samplerate and channels of a request.

    Raises:
        ValueError: it is not one.
    """
    try:
        request = json.loads(line)
    except ValueError:
        raise ValueError(f"not a line of JSON: {line[:80]!r}") from None
    if not isinstance(request, dict):
        raise ValueError("not a JSON object")
    rate, channels = request.get("samplerate"), request.get("channels")
    slowest, fastest = SAMPLERATES
    if not isinstance(rate, int) or isinstance(rate, bool) or not slowest <= rate <= fastest:
        raise ValueError(f"samplerate {rate!r}: give one from {slowest} to {fastest} Hz")
    if not isinstance(channels, list) or not channels or any(name not in CHANNELS for name in channels):
        raise ValueError(f"channels {channels!r}: give a list of {', '.join(CHANNELS)}")
    if len(set(channels)) != len(channels):
        raise ValueError(f"channels {channels!r}: one is there twice")
    return rate, channels
