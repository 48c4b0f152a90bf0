"""Support for all packages: commands, settings, files, caches, cores, progress."""
