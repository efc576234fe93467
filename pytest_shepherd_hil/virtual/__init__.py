"""The virtual board: a real ARM kernel in QEMU, with our own modules that really crash it.

:mod:`~pytest_shepherd_hil.virtual.build` makes what it boots.
"""
