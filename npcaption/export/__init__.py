"""Models written for others."""
