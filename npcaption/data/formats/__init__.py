"""Caption files of every format, read into entries."""
