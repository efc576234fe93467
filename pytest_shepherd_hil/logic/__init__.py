"""The logic analyzer: acquisition, captures, ``.sr`` files, and UART text out of samples. Knows nothing of pytest."""

from __future__ import annotations

from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer, Recording
from pytest_shepherd_hil.logic.capture import Capture, Uart
from pytest_shepherd_hil.logic.uart import UartDecoder, UartFrame

__all__ = ["Capture", "LogicAnalyzer", "Recording", "Uart", "UartDecoder", "UartFrame"]
