"""The only place that imports pysigrok and what plugs into it, which is all GPLv3+; imported when used, not before."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["decoders", "hardware", "load", "sigrokdecode"]


def sigrokdecode() -> Any:
    """The module itself.

    Raises:
        ImportError: pysigrok is not installed.
    """
    import sigrokdecode

    return sigrokdecode


def decoders() -> dict[str, EntryPoint]:
    """Its protocol decoders, by sigrok's ids of them; none where they are not installed."""
    return {entry.name: entry for entry in entry_points(group="pysigrok.decoders")}


def hardware() -> tuple[EntryPoint, ...]:
    """Its hardware plugins. An entry point's name need not be the driver's, which is its class's ``name``."""
    return tuple(entry_points(group="pysigrok.hardware"))


def load(entry: EntryPoint) -> Any:
    """The class behind an entry point.

    Raises:
        Exception: whatever goes wrong in it as it is imported.
    """
    return entry.load()
