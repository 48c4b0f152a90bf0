"""The model: its wiring, its parameters, the engines that run it, its checkpoints."""
