"""A run of several processes: pytest-xdist's controller and its workers, each with boards of its own."""
