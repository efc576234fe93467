"""The board suite: what a shepherd developer runs on a board. ``pytest --board NAME tests/hil``."""
