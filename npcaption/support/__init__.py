"""What every part of the program needs from the machine: a place for caches, a number of cores."""
