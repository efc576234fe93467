"""A board's console: where its bytes come from, the record of them, and what a test uses."""
