"""Captioning: decoding, the Captioner, attribution of words to the image."""
