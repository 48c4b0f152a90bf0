"""The report of training runs: one HTML page with settings, curves and samples."""
