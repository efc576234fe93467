"""Text of a journal, cut into chunks anywhere."""

from __future__ import annotations

import pytest

from pytest_shepherd_hil.commands.journal import WithoutHost

TEXT = (
    b"""\
[   60.000000] bbb kernel: usb 1-1: new device
[   60.000001] kernel: Internal error: Oops: 5 [#1]
[   60.000002] bbb systemd[1]: says kernel: no
[   60.000003] prose about a kernel: it is one
no time, bbb kernel: x
"""
    + b"x" * 300
    + b"[   60.000004] bbb kernel: in the middle of a line\n[   60.000005] bbb kernel: last"
)
PLAIN = (
    TEXT.replace(b"] bbb kernel: usb", b"] usb")
    .replace(b"] kernel: Int", b"] Int")
    .replace(b"] bbb kernel: last", b"] last")
)


@pytest.mark.parametrize("size", [1, 2, 7, 20, 64, 127, 128, 129, 1000])
def test_the_host_is_taken_out_whatever_the_chunks(size: int) -> None:
    names = WithoutHost()
    out = b"".join(names.feed(TEXT[i : i + size]) for i in range(0, len(TEXT), size))
    assert out + names.finish() == PLAIN
