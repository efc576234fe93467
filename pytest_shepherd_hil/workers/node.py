"""What pytest-xdist's controller knows a worker as; written down here because xdist has no types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Gateway", "Node"]


class Gateway(Protocol):
    """execnet's connection to a worker."""

    id: str

    def newchannel(self) -> Any:
        """A channel of its own."""


class Node(Protocol):
    """xdist's ``WorkerController``.

    Attributes:
        gateway: the connection to it.
        workerinput: what it is told when it starts.
    """

    gateway: Gateway
    workerinput: dict[str, Any]

    @property
    def shutting_down(self) -> bool:
        """Whether it has been told that nothing follows."""

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Have it run these tests, after those that it has been sent before."""

    def shutdown(self) -> None:
        """Tell it that nothing follows."""
