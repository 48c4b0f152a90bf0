"""The three ONNX models without their weights: a page holds those once, as a file outside that all three name."""
from ..onnx_cli import required

OUTSIDE = "weights"  # name of that file, as captioner/onnx.js hands it to the runtime


def graphs(checkpoint):
    """{"encoder": bytes, "decoder": ..., "gradient": ...}.  ConfigError without the package onnx

    checkpoint: as model.checkpoint.to_caption makes it. A parameter is a piece of its flat buffer, in float32.
    """
    models = required().models_of(checkpoint)
    places, start = {}, 0
    for name, parameter in checkpoint.parameters.named.items():
        places[name] = 4 * start, 4 * parameter.size         # bytes
        start += parameter.size
    for model in models.values():
        del model.metadata_props[:]                          # the page has its header
        for tensor in model.graph.initializer:
            if tensor.name in places:
                move_outside(tensor, *places[tensor.name])
    return {name.removesuffix(".onnx"): model.SerializeToString(deterministic=True) for name, model in models.items()}


def move_outside(tensor, offset, length):
    """Take the numbers out of a TensorProto, and name the place where they are."""
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in ("location", OUTSIDE), ("offset", offset), ("length", length):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
