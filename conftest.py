"""Loads pytest's own plugin-testing tools; everything else lives beside the tests that use it."""

pytest_plugins = ["pytester"]
