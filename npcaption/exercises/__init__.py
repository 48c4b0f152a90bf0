"""Exercises: write the model's gradients by hand, and get a diagnosis of every mistake."""
