"""The three ONNX models of a checkpoint, made by the model's own wiring: encoder, decoder, gradient.

docs/onnx.md describes their inputs, outputs and metadata.
"""
import json
from collections import defaultdict
from dataclasses import asdict

import numpy as np

from .. import __version__
from ..model import checkpoint as checkpoints
from ..model import wiring
from ..model.memory import Memory, decode_step, remember
from ..model.parameters import sublayers
from ..support.progress import progress
from ..tokenizers import END, PADDING, START
from ..tokenizers.word import NOT_WRITTEN
from .onnx_graph import Graph, op
from .onnx_layers import engine_on

NAMES = "encoder.onnx", "decoder.onnx", "gradient.onnx"


def models_of(checkpoint):
    """{file's name: ModelProto}, without the training heads."""
    checkpoint = checkpoints.to_caption(checkpoint)
    makers = progress((encoder_of, decoder_of, gradient_of), len(NAMES), "exporting", "models")
    return dict(zip(NAMES, (make(checkpoint) for make in makers)))


def metadata_of(checkpoint):
    """Metadata for programs that use the model, as JSON: ONNX stores only texts.

    It includes the special ids, and a regular expression for the spaces that are dropped when words are joined.
    """
    tokenizer = checkpoint.tokenizer.to_json()
    if "words" in tokenizer:
        tokenizer["not_written"] = NOT_WRITTEN(" ".join(tokenizer["words"])).pattern
    special = {"padding": PADDING, "start": START, "end": END}
    told = {"model": asdict(checkpoint.config.model), "tokenizer": tokenizer, "special_ids": special}
    return {"npcaption_version": __version__} | {name: json.dumps(value) for name, value in told.items()}


def parameters_on(graph, checkpoint):
    """{sublayer's name: {parameter's name in it: Value}}"""
    p = {layer: {name: graph.parameter(f"{layer}.{name}", checkpoint.parameters.named[f"{layer}.{name}"])
                 for name in names} for layer, names in sublayers(checkpoint.config.model).items()}
    if checkpoint.config.model.tied:
        p["output"]["linear.weight"] = p["token_embed"]["weight"].T
    return p


def input_of(graph, config, dtype):
    """The input: an image of uint8 or floats, or a frozen encoder's features, always floats"""
    if config.encoder_name:
        return graph.input("features", np.float32, ["B", *config.input_shape])
    return graph.input("image", dtype, ["B", *config.input_shape])


def encoder_of(checkpoint):
    """Model: image -> keys and values of the image, for each decoder block"""
    graph, config = Graph(), checkpoint.config.model
    layers, p = engine_on(graph), parameters_on(graph, checkpoint)
    source, _ = wiring.encode_forward(layers, config, p, input_of(graph, config, np.uint8))
    found = remember(layers, config, p, source)
    shape = ["B", config.patches, 2 * config.channels]
    return graph.model({f"image_kv.{i}": (kv, shape) for i, (kv,) in enumerate(found)}, metadata_of(checkpoint))


def decoder_of(checkpoint):
    """Model: ids, keys and values of the earlier text and of the images -> logits, keys and values of the text, maps"""
    graph, config = Graph(), checkpoint.config.model
    layers, p, blocks = engine_on(graph), parameters_on(graph, checkpoint), range(config.decoder_blocks)
    width = 2 * config.channels
    ids = graph.input("ids", np.int64, ["R"])
    text = [[graph.input(f"text_kv.{i}", np.float32, ["R", "T", width])] for i in blocks]
    images = [[graph.input(f"image_kv.{i}", np.float32, ["B", config.patches, width])] for i in blocks]
    place = op("Shape", text[0][0], start=1, end=2)          # [T]
    logits = decode_step(layers, config, p, ids, place, Memory(text, images))
    outputs = {"logits": (logits, ["R", config.vocabulary])}
    outputs |= {f"new_text_kv.{i}": (text[i][0], ["R", "T + 1", width]) for i in blocks}
    outputs |= {f"attention.{i}": (images[i][1], ["R", config.heads, config.patches]) for i in blocks}
    return graph.model(outputs, metadata_of(checkpoint))


def gradient_of(checkpoint):
    """Model: image, ids, targets -> loss, its gradients by the image and by every parameter"""
    graph, config = Graph(), checkpoint.config.model
    layers, p = engine_on(graph), parameters_on(graph, checkpoint)
    g = {layer: defaultdict(int) for layer in p}
    image = input_of(graph, config, np.float32)
    ids, targets = (graph.input(name, np.int64, ["B", "T"]) for name in ("ids", "targets"))
    count = op("Not", op("Equal", targets, PADDING)).astype(np.int64).sum()
    tokens = op("Max", count, 1).astype(np.float32)          # as npcaption.model.batch counts them

    source, encoder = wiring.encode_forward(layers, config, p, image)
    x, decoder = wiring.decode_forward(layers, config, p, ids, source)
    loss, output = layers.output_loss_forward(x, p["output"], targets, tokens)
    dx = layers.output_loss_backward(1.0, output, g["output"])
    dsource = wiring.decode_backward(layers, dx, decoder, g)
    dimage = wiring.encode_backward(layers, dsource, encoder, g)
    if config.tied:                                          # one array, used twice
        g["token_embed"]["weight"] += g["output"].pop("linear.weight").T

    outputs = {"loss": (loss, []), f"grad.{image.name}": (dimage, ["B", *config.input_shape])}
    outputs |= {f"grad.{value.name}": (g[layer][name], value.shape) for layer, names in sublayers(config).items()
                for name, value in ((name, p[layer][name]) for name in names)}
    return graph.model(outputs, metadata_of(checkpoint), overridable=True)
