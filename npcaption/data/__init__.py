"""Data sets: caption formats, records, splits, images and their store, features, generated scenes, batches."""
