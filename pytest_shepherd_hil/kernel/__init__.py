"""What a kernel console says and means. Pure: no threads, no pytest, no I/O but reading rule and symbol files."""
