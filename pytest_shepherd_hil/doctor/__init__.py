"""What can be wrong on a bench, found without running a test: one function a check, no command line, no pytest."""
