"""What a kernel console says and what it means. Pure: no threads, no pytest, no I/O but reading rule and symbol files."""
