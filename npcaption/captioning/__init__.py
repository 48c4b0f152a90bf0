"""Captions for images: from the model's probabilities to sentences, and what they come from."""
