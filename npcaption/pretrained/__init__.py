"""Pretrained weights and word vectors that others made: safe readers of their files, and frozen image encoders."""
