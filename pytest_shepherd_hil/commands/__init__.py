"""What the ``shepherd-hil`` command does, a module for each of its sub-commands and what they share."""
