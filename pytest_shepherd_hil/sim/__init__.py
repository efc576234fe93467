"""The embedded board: a board below the wire, in a process of its own.

Nothing here knows of tests. ``python -m pytest_shepherd_hil.sim`` brings a UART (a pty), an SSH server, a logic probe
and a control socket; :class:`~pytest_shepherd_hil.sim.process.SimProcess` starts it and
:class:`~pytest_shepherd_hil.sim.control.SimControl` does to it what hands do to hardware.
"""
