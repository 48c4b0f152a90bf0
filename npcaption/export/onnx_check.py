"""The check of exported models: ONNX Runtime against the textbook in float64, on random images and captions."""
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import layers
from ..model import checkpoint as checkpoints
from ..model import wiring
from ..model.batch import target_tokens
from ..model.parameters import Parameters
from ..support.progress import progress
from ..tokenizers import PADDING, START

IMAGES, CAPTIONS = 2, 2     # CAPTIONS of each image
FEW = 10                    # allowed multiple of the textbook's own rounding error
DTYPES = np.float32, np.float64


def runner(model):
    """Run function of a model: {input's name: array} -> {output's name: array}.  model ModelProto"""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3                           # else a line on stderr for each parameter of the gradient
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs)))


class Error(NamedTuple):
    """Largest differences from the textbook in float64, relative to the largest number of the array."""
    runtime: float              # ONNX Runtime's difference
    float32: float              # difference of the textbook in float32, large if the model is badly conditioned

    def within(self, tolerance):
        """Whether `runtime` is below the tolerance, or below FEW times the textbook's rounding error; False for NaN."""
        return self.runtime < tolerance or self.runtime < FEW * self.float32


def errors(models, checkpoint):
    """{output's name: Error}.  models: result of onnx_models.models_of for the checkpoint"""
    checkpoint = checkpoints.to_caption(checkpoint)
    config = checkpoint.config.model
    images, ids = example(config)

    def textbook_in(dtype):
        p = Parameters(config, dtype, checkpoint.parameters.flat.astype(dtype))
        return textbook(config, p, images, ids)
    ways = [partial(runtime, models, config, images, ids), *(partial(textbook_in, dtype) for dtype in DTYPES)]
    found, rounded, exact = [way() for way in progress(ways, len(ways), "comparing with NumPy", "ways")]
    assert found.keys() == exact.keys()
    return {name: Error(relative(found[name], exact[name]), relative(rounded[name], exact[name])) for name in exact}


def example(config):
    """Random images, or features, and random captions, one of them shorter -> inputs, ids (R, L)"""
    rng, shape = np.random.default_rng(0), (IMAGES, *config.input_shape)
    images = rng.standard_normal(shape, np.float32) if config.encoder_name else rng.integers(0, 256, shape, np.uint8)
    ids = rng.integers(0, config.vocabulary, (IMAGES * CAPTIONS, config.max_length))
    ids[:, 0], ids[0, config.max_length // 2 + 1:] = START, PADDING
    return images, ids


def name_of(config):
    return "features" if config.encoder_name else "image"


def runtime(models, config, images, ids):
    """The outputs of `textbook`, from ONNX Runtime."""
    first = ids[::CAPTIONS]
    inputs = {name_of(config): images.astype(np.float32), "ids": first[:, :-1], "targets": first[:, 1:]}
    return decoded(models, config, images, ids) | runner(models["gradient.onnx"])(inputs)


def decoded(models, config, images, ids):
    """Decode all captions token by token -> {output's name: logits (R, L - 1, V) or maps (R, L - 1, H, P)}"""
    images_kv, decoder = runner(models["encoder.onnx"])({name_of(config): images}), runner(models["decoder.onnx"])
    empty = np.zeros((len(ids), 0, 2 * config.channels), np.float32)
    text = {f"text_kv.{i}": empty for i in range(config.decoder_blocks)}
    steps = []
    for place in range(ids.shape[1] - 1):
        step = decoder({"ids": ids[:, place], **text, **images_kv})
        text = {name: step.pop(f"new_{name}") for name in text}
        steps.append(step)
    return {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]}


def textbook(config, p, images, ids):
    """The textbook's outputs for the three models, by name; gradients come from the first caption of each image."""
    g, dtype, first = Parameters(config, p.flat.dtype), p.flat.dtype, ids[::CAPTIONS]
    source, encoder = wiring.encode_forward(layers, config, p.sublayer, images.astype(dtype))
    x, (_, blocks) = wiring.decode_forward(layers, config, p.sublayer, ids[:, :-1], source.repeat(CAPTIONS, 0))
    found = {"logits": layers.output_forward(x, p.sublayer["output"])[0]}
    maps = [layers.cross_attention_map(cross).swapaxes(1, 2) for _, cross, _ in blocks]  # (R, T, H, P) each
    found |= {f"attention.{i}": of_block for i, of_block in enumerate(maps)}

    x, decoder = wiring.decode_forward(layers, config, p.sublayer, first[:, :-1], source)
    loss, output = layers.output_loss_forward(x, p.sublayer["output"], first[:, 1:], target_tokens(first))
    dx = layers.output_loss_backward(1.0, output, g.sublayer["output"])
    dsource = wiring.decode_backward(layers, dx, decoder, g.sublayer)
    dimage = wiring.encode_backward(layers, dsource, encoder, g.sublayer)
    gradients = {name_of(config): dimage} | g.named
    return found | {"loss": loss} | {f"grad.{name}": gradient for name, gradient in gradients.items()}


def relative(found, expected):
    """Largest difference, relative to the largest expected number (absolute if that is 0); NaN for a wrong shape."""
    if np.shape(found) != np.shape(expected):
        return np.nan
    apart, largest = np.abs(found - expected).max(), np.abs(expected).max()
    return float(apart / largest) if largest else float(apart)
