"""The three ONNX models without weights: the page stores the weights once, as external data of all three."""
from ..onnx_cli import required

OUTSIDE = "weights"  # name of the external file in captioner/onnx.js


def graphs(checkpoint):
    """{"encoder": bytes, "decoder": ..., "gradient": ...}.  ConfigError without the package onnx

    checkpoint: result of model.checkpoint.to_caption. A parameter is a piece of its flat buffer, in float32.
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
    """Replace the numbers of a TensorProto by a reference to their place in the external file."""
    tensor.ClearField("raw_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in ("location", OUTSIDE), ("offset", offset), ("length", length):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
