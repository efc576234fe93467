"""Hardware-in-the-loop tests for kernel modules: a pytest plugin that watches the board's kernel console."""

__version__ = "0.1.0"
