"""Training: the loop, the run directory, the messages."""
