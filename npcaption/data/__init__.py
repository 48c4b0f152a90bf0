"""From files to batches: caption formats (records), decoding (images), the image store, generated scenes (shapes),
splits and batches (dataset)."""
