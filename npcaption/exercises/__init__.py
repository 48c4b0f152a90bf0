"""Exercises: write the model's gradients by hand, and be told what is wrong with them."""
