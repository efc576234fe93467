"""Decides which test an incident belongs to, whether it was expected, and when to stop the test."""
