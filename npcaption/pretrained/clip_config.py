"""Facts about a CLIP model that its weights do not tell: activation and heads, from the JSON file beside them.

Two models with the same names and shapes may differ in the activation: OpenAI's have QuickGELU, most others the exact
GELU. With the wrong one all tokens are wrong, and nothing else shows it.
"""
import json
from pathlib import Path
from typing import NamedTuple

from ..errors import PretrainedError, printable, why
from .vision_transformer import ACTIVATIONS

HEAD = 64           # channels of an attention head, unless a file says otherwise
WIDEST = 1024       # channels; wider models have other heads
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
HUGGING_FACE, PROCESSOR, OPEN_CLIP = "config.json", "preprocessor_config.json", "open_clip_config.json"


class Facts(NamedTuple):
    activation: str                         # one of ACTIVATIONS
    heads: int


class Stated(NamedTuple):
    """Facts that one file states; None where it is silent."""
    file: str
    activation: str | None
    heads: int | None


def facts(path, tensors, width, activation=None):
    """-> Facts about the weights in the file `path`.  activation: the user's, or None

    PretrainedError if nothing states the activation, if two statements differ, or if a file beside the weights belongs
    to another model.
    """
    stated = [Stated("--activation", activation, None)] if activation else []
    if "input_resolution" in tensors:                        # only OpenAI's own files have it
        stated.append(Stated(f"{printable(path)}, a file of OpenAI's,", "quick_gelu", None))
    for name, read in ((HUGGING_FACE, hugging_face), (PROCESSOR, processor), (OPEN_CLIP, open_clip)):
        file = Path(path).parent / name
        if (settings := settings_in(file)) is not None:
            stated.append(read(settings, file, width))
    return Facts(activation_of(path, stated), heads_of(path, stated, width))


def activation_of(path, stated):
    said = [statement for statement in stated if statement.activation]
    for statement in said:
        if statement.activation not in ACTIVATIONS:
            raise PretrainedError(f"{statement.file} says activation '{printable(statement.activation)}'; npcaption "
                                  f"knows {' and '.join(ACTIVATIONS)}. Give one of these, or other weights.")
        if statement.activation != said[0].activation:
            raise PretrainedError(f"{said[0].file} says activation {said[0].activation}, but {statement.file} says "
                                  f"{statement.activation}. Remove the wrong one.")
    if not said:
        raise PretrainedError(f"{printable(path)} does not tell its activation, nor does a {HUGGING_FACE} or "
                              f"{OPEN_CLIP} beside it. Give --activation quick_gelu for OpenAI's weights, usually gelu "
                              "for others.")
    return said[0].activation


def heads_of(path, stated, width):
    heads = {statement.heads for statement in stated if statement.heads}
    if not heads and width > WIDEST:
        raise PretrainedError(f"{printable(path)} has {width} channels but does not tell its number of heads. Put its "
                              f"{HUGGING_FACE} beside it.")
    if len(heads) > 1:
        raise PretrainedError(f"{HUGGING_FACE} and {OPEN_CLIP} beside {printable(path)} state different numbers of "
                              "heads. Remove the wrong one.")
    [heads] = heads or {width // HEAD}
    if heads < 1 or width % heads:
        raise PretrainedError(f"{printable(path)} has {width} channels, which {heads} heads cannot share. Put its "
                              f"{HUGGING_FACE} beside it.")
    return heads


def hugging_face(settings, file, width):
    """config.json of transformers: that of a whole CLIP or of its vision model. Other libraries' say nothing here."""
    vision = settings.get("vision_config", settings)
    if settings.get("model_type") not in ("clip", "clip_vision_model") or not isinstance(vision, dict):
        return Stated(printable(file), None, None)
    check(file, vision, {"hidden_size": width, "layer_norm_eps": 1e-5})
    activation, heads = vision.get("hidden_act", "quick_gelu"), count(file, vision, "num_attention_heads")
    return Stated(printable(file), text(activation), heads)


def processor(settings, file, width):
    """preprocessor_config.json of transformers, which states no activation."""
    check(file, settings, {"image_mean": list(MEAN), "image_std": list(STD)})
    return Stated(printable(file), None, None)


def open_clip(settings, file, width):
    """open_clip_config.json. Without quick_gelu open_clip takes the exact GELU."""
    model = mapping(settings, "model_cfg")
    vision = mapping(model, "vision_cfg")
    check(file, vision, {"width": width})
    check(file, mapping(vision, "norm_kwargs"), {"eps": 1e-5})
    check(file, mapping(settings, "preprocess_cfg"), {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic",
                                                      "resize_mode": "shortest"})
    if vision.get("act_kwargs"):
        raise PretrainedError(f"{printable(file)} has act_kwargs, which npcaption does not know. Give other weights.")
    quick = model.get("quick_gelu", vision.get("quick_gelu", False))
    heads = width // (count(file, vision, "head_width") or HEAD)
    return Stated(printable(file), "quick_gelu" if quick is True else "gelu", heads)


def settings_in(file):
    """The mapping in a JSON file, or None if there is no such file.  PretrainedError if it holds none"""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PretrainedError(f"{printable(file)} cannot be read: {why(error)}. Make it readable.") from error
    except (ValueError, RecursionError) as error:
        raise PretrainedError(f"{printable(file)} is not JSON, or damaged. Download it again.") from error
    if not isinstance(found, dict):
        raise PretrainedError(f"{printable(file)} holds no settings of a model. Download it again.")
    return found


def mapping(settings, name):
    value = settings.get(name)
    return value if isinstance(value, dict) else {}


def text(value):
    return value if isinstance(value, str) else repr(value)


def count(file, settings, name):
    """A positive whole number, or None if it is not stated."""
    value = settings.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise PretrainedError(f"{printable(file)} has {name} {printable(value)}; it must be a positive whole number. "
                              "Download it again.")
    return value


def check(file, settings, expected):
    """Refuse values that this implementation, or these weights, do not have."""
    for name, value in expected.items():
        if settings.get(name, value) != value:
            raise PretrainedError(f"{printable(file)} has {name} {printable(settings[name])}, but {value} is needed "
                                  "here. It may belong to another file; put the right one there.")
