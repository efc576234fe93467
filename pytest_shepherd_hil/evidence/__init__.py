"""What is kept of a failure: files that a person can read without the board in hand."""
