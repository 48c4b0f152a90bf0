"""The trace: follow one image from the pixels to the loss and back, and measure every gradient."""
