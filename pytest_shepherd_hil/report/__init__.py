"""The evidence in pytest's own reports."""
