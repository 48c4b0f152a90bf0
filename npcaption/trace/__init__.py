"""The trace: one photograph followed from the pixels to the loss and back, with every gradient measured."""
