"""The model: wiring, parameters, engines, objectives, checkpoints."""
