"""Readers of caption files, by format -> entries."""
