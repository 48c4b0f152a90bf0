"""Activation and number of heads of a CLIP, from the JSON files beside its weights.

Models with equal names and shapes can differ in the activation: OpenAI's use QuickGELU, most others the exact GELU.
The wrong one makes every token wrong, without any error.
"""
import json
from pathlib import Path
from typing import NamedTuple

from ..errors import PretrainedError, printable, why
from .vision_transformer import ACTIVATIONS

HEAD = 64           # channels of an attention head by default
WIDEST = 1024       # channels; heads of wider models have other sizes
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
HUGGING_FACE, PROCESSOR, OPEN_CLIP = "config.json", "preprocessor_config.json", "open_clip_config.json"


class Settings(NamedTuple):
    activation: str                         # one of ACTIVATIONS
    heads: int


class Statement(NamedTuple):
    """Settings stated by one source; None if missing."""
    source: str
    activation: str | None
    heads: int | None


def activation_and_heads(path, tensors, width, activation=None):
    """Settings of the weights in the file `path`.  activation: the user's, or None

    PretrainedError if no source states the activation, two sources differ, or a file beside the weights belongs to
    another model.
    """
    stated = [Statement("--activation", activation, None)] if activation else []
    if "input_resolution" in tensors:                        # only in OpenAI's own files
        stated.append(Statement(f"{printable(path)}, a file of OpenAI's,", "quick_gelu", None))
    for name, read in ((HUGGING_FACE, hugging_face), (PROCESSOR, processor), (OPEN_CLIP, open_clip)):
        file = Path(path).parent / name
        if (settings := settings_in(file)) is not None:
            stated.append(read(settings, file, width))
    return Settings(activation_of(path, stated), heads_of(path, stated, width))


def activation_of(path, stated):
    stated = [statement for statement in stated if statement.activation]
    for statement in stated:
        if statement.activation not in ACTIVATIONS:
            raise PretrainedError(f"{statement.source} has activation '{printable(statement.activation)}'; it must be "
                                  f"{' or '.join(ACTIVATIONS)}. Use other weights.")
        if statement.activation != stated[0].activation:
            raise PretrainedError(f"{stated[0].source} has activation {stated[0].activation}, but {statement.source} "
                                  f"has {statement.activation}. Remove the wrong one.")
    if not stated:
        raise PretrainedError(f"{printable(path)} does not state its activation, and no {HUGGING_FACE} or {OPEN_CLIP} "
                              "beside it does. Pass --activation quick_gelu for OpenAI's weights, usually gelu for "
                              "others.")
    return stated[0].activation


def heads_of(path, stated, width):
    heads = {statement.heads for statement in stated if statement.heads}
    if not heads and width > WIDEST:
        raise PretrainedError(f"{printable(path)} has {width} channels but does not state its number of heads. Put its "
                              f"{HUGGING_FACE} beside it.")
    if len(heads) > 1:
        raise PretrainedError(f"{HUGGING_FACE} and {OPEN_CLIP} beside {printable(path)} state different numbers of "
                              "heads. Remove the wrong one.")
    [heads] = heads or {width // HEAD}
    if heads < 1 or width % heads:
        raise PretrainedError(f"{printable(path)} has {width} channels, not a multiple of its {heads} heads. Put its "
                              f"{HUGGING_FACE} beside it.")
    return heads


def hugging_face(settings, file, width):
    """Statement of transformers' config.json, for a whole CLIP or its vision model; other models' files are ignored."""
    vision = settings.get("vision_config", settings)
    if settings.get("model_type") not in ("clip", "clip_vision_model") or not isinstance(vision, dict):
        return Statement(printable(file), None, None)
    check(file, vision, {"hidden_size": width, "layer_norm_eps": 1e-5})
    activation, heads = vision.get("hidden_act", "quick_gelu"), count(file, vision, "num_attention_heads")
    return Statement(printable(file), text(activation), heads)


def processor(settings, file, width):
    """Statement of transformers' preprocessor_config.json: it has mean and std, but no activation."""
    check(file, settings, {"image_mean": list(MEAN), "image_std": list(STD)})
    return Statement(printable(file), None, None)


def open_clip(settings, file, width):
    """Statement of open_clip_config.json; open_clip's default is the exact GELU."""
    model = mapping(settings, "model_cfg")
    vision = mapping(model, "vision_cfg")
    check(file, vision, {"width": width})
    check(file, mapping(vision, "norm_kwargs"), {"eps": 1e-5})
    check(file, mapping(settings, "preprocess_cfg"), {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic",
                                                      "resize_mode": "shortest"})
    if vision.get("act_kwargs"):
        raise PretrainedError(f"{printable(file)} has act_kwargs; npcaption supports none. Use other weights.")
    quick = model.get("quick_gelu", vision.get("quick_gelu", False))
    heads = width // (count(file, vision, "head_width") or HEAD)
    return Statement(printable(file), "quick_gelu" if quick is True else "gelu", heads)


def settings_in(file):
    """Mapping in a JSON file, or None without the file.  PretrainedError if it holds no mapping"""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PretrainedError(f"{printable(file)} cannot be read: {why(error)}. Make it readable.") from error
    except (ValueError, RecursionError) as error:
        raise PretrainedError(f"{printable(file)} is not valid JSON. Download it again.") from error
    if not isinstance(found, dict):
        raise PretrainedError(f"{printable(file)} holds no model settings. Download it again.")
    return found


def mapping(settings, name):
    value = settings.get(name)
    return value if isinstance(value, dict) else {}


def text(value):
    return value if isinstance(value, str) else repr(value)


def count(file, settings, name):
    """A positive whole number of the settings, or None if missing."""
    value = settings.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise PretrainedError(f"{printable(file)} has {name} {printable(value)}; it must be a positive whole number. "
                              "Download the file again.")
    return value


def check(file, settings, expected):
    """Check settings against this implementation and the weights.  PretrainedError"""
    for name, value in expected.items():
        if settings.get(name, value) != value:
            raise PretrainedError(f"{printable(file)} has {name} {printable(settings[name])}; these weights need "
                                  f"{value}. Put the right file beside them.")
