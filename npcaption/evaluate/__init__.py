"""How good a model is on captions that it has not seen, and what its scores are worth."""
