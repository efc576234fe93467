"""What the project's own boards are made of below the wire: pty, probe, control socket, process.

The embedded board (``sim/``) and the virtual board (``virtual/``) share it. A real board has none of this.
"""
