"""The page as one HTML file: the model, its JavaScript engine, the built-in scenes, and what NumPy says of them."""
import base64
import html
import io
import json
import zlib
from hashlib import sha256
from pathlib import Path
from string import Template

from PIL import Image

from ...captioning import decoding
from ...captioning.captioner import Captioner
from ...captioning.pictures import COLOURS
from ...data.images import load_image
from ...errors import ConfigError
from ...model.checkpoint import to_caption
from ...model.parameters import sublayers
from ...support.progress import progress
from .scenes import scenes

HERE = Path(__file__).parent
BEAM = 4            # captions kept by the page's beam search, unless one asks for others
ENGINE = ["arrays", "linear", "layernorm", "gelu", "heads", "attention", "embedding", "cross_entropy", "convolution",
          "stem", "patch_embed", "token_embed", "self_attention", "cross_attention", "mlp", "output", "steps", "adamw",
          "wiring"]
CAPTIONER = ["decoding", "tokenizer", "resize", "images", "captioner"]
PAGE = ["drawing", "model", "look", "walk", "broken", "check", "teach", "pad", "start"]
SCRIPTS = [*(f"engine/{name}.js" for name in ENGINE), *(f"captioner/{name}.js" for name in CAPTIONER),
           *(f"page/{name}.js" for name in PAGE)]
NEEDED = ("image_size", "patch_size", "stem", "channels", "heads", "encoder_blocks", "decoder_blocks", "max_length",
          "vocabulary", "unknown", "tied")  # of the model's settings


def page(checkpoint, name):
    """The HTML document of a model -> str.  name: the model's, shown under the title

    ConfigError if the model reads a frozen encoder's features, which the page cannot compute.
    """
    if encoder := checkpoint.config.model.encoder_name:
        raise ConfigError(f"{name} reads features of the frozen encoder {encoder}, which the page does not contain. "
                          "Export a model that reads pixels.")
    checkpoint = to_caption(checkpoint)
    scripts = [source(script) for script in SCRIPTS]
    style = source("page.css")
    policy = "; ".join(["default-src 'none'", f"script-src {' '.join(map(hashed, scripts))}",
                        f"style-src {hashed(style)}", "img-src data: blob:", "base-uri 'none'", "form-action 'none'"])
    weights = checkpoint.parameters.flat.astype("<f4")
    return Template(source("page.html")).substitute(
        policy=html.escape(policy), style=style, name=html.escape(name), parameters=f"{weights.size:,}",
        header=embedded(header(checkpoint)), weights=base64.b64encode(weights.tobytes()).decode(),
        beam=BEAM, scripts="\n".join(f"<script>{script}</script>" for script in scripts))


def source(name):
    """A file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def hashed(text):
    """How a content security policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


def embedded(values):
    """JSON that may stand in HTML."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def header(checkpoint):
    """All that the page is told but the weights: the model, the colours of heat, the scenes with NumPy's captions."""
    return described(checkpoint) | {"beam": BEAM, "colours": base64.b64encode(COLOURS.tobytes()).decode(),
                                    "scenes": recorded(checkpoint)}


def described(checkpoint):
    """All of the model but its weights."""
    model = checkpoint.config.model
    return {"config": {name: getattr(model, name) for name in NEEDED}, "tokenizer": checkpoint.tokenizer.to_json(),
            "sublayers": [[name, list(shapes.items())] for name, shapes in sublayers(model).items()]}


def recorded(checkpoint):
    """Each built-in scene as a PNG, a checksum of the pixels that the model sees, and its captions by NumPy."""
    captioner, found = Captioner.of(checkpoint), []
    images = scenes()
    for name, image in progress(images.items(), len(images), "captioning the built-in images", "images"):
        pixels = load_image(image, checkpoint.config.model.image_size)
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG", optimize=True)
        greedy, = decoding.greedy(captioner.engine, pixels[None])
        beam, = decoding.beam(captioner.engine, pixels[None], BEAM)
        found.append({"name": name, "png": base64.b64encode(content.getvalue()).decode(),
                      "crc32": zlib.crc32(pixels.tobytes()), "greedy": greedy[0].ids.tolist(),
                      "beam": beam[0].ids.tolist()})
    return found
