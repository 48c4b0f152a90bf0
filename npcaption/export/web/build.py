"""The page as one HTML file: the model, its JavaScript engine, the built-in scenes, and NumPy's captions of them."""
import base64
import gzip
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
from ...errors import ConfigError, printable
from ...model.checkpoint import to_caption
from ...model.parameters import sublayers
from ...support.progress import progress
from . import onnx_parts
from .runtime import SCRIPT, WASM, as_global, licences, runtime_files
from .scenes import scenes

HERE = Path(__file__).parent
BEAM = 4            # default width of the page's beam search
ENGINE = ["arrays", "linear", "layernorm", "gelu", "heads", "attention", "embedding", "cross_entropy", "convolution",
          "stem", "patch_embed", "token_embed", "self_attention", "cross_attention", "mlp", "output", "steps", "adamw",
          "wiring"]
CAPTIONER = ["decoding", "javascript", "onnx", "tokenizer", "resize", "images", "orientation", "captioner"]
PAGE = ["drawing", "model", "runtimes", "look", "walk", "broken", "check", "teach", "pad", "start"]
SCRIPTS = [*(f"engine/{name}.js" for name in ENGINE), *(f"captioner/{name}.js" for name in CAPTIONER),
           *(f"page/{name}.js" for name in PAGE)]
RUNTIMES = {                                                 # runtime: its description in the page
    "js": " in float64",
    "onnx": ": captions and their gradients in float32 by ONNX Runtime Web",
    "both": ", in float64 by our own JavaScript and in float32 by ONNX Runtime Web",
}
NEEDED = ("image_size", "patch_size", "stem", "channels", "heads", "encoder_blocks", "decoder_blocks", "max_length",
          "vocabulary", "unknown", "tied")  # settings of the model


def page(checkpoint, name, runtime="js", folder=None):
    """The HTML document of a model -> str.  name: the model's name, shown under the title

    runtime: one of RUNTIMES; folder: see runtime_files.
    ConfigError if the model reads a frozen encoder's features, which the page cannot compute, or if a package for ONNX
    is missing.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(f"There is no runtime {printable(runtime)}. Choose {', '.join(RUNTIMES)}.")
    if encoder := checkpoint.config.model.encoder_name:
        raise ConfigError(f"{name} reads features of the frozen encoder {encoder}, which the page does not contain. "
                          "Export a model that reads pixels.")
    checkpoint = to_caption(checkpoint)
    scripts = [source(script) for script in SCRIPTS]
    module, stored = ("", {}) if runtime == "js" else onnx_runtime(checkpoint, folder)
    allowed = [*map(hashed, scripts), *([hashed(module), "'wasm-unsafe-eval'"] if module else [])]
    style = source("page.css")
    policy = "; ".join(["default-src 'none'", f"script-src {' '.join(allowed)}",
                        f"style-src {hashed(style)}", "img-src data: blob:", "base-uri 'none'", "form-action 'none'"])
    weights = checkpoint.parameters.flat.astype("<f4")
    return Template(source("page.html")).substitute(
        policy=html.escape(policy), style=style, name=html.escape(name), parameters=f"{weights.size:,}",
        precision=RUNTIMES[runtime], header=embedded(header(checkpoint) | {"runtime": runtime}),
        runtime="\n".join([*(zipped(name, content) for name, content in stored.items()),
                           *([f'<script type="module">{module}</script>'] if module else [])]),
        weights=base64.b64encode(weights.tobytes()).decode(),
        beam=BEAM, scripts="\n".join(f"<script>{script}</script>" for script in scripts))


def onnx_runtime(checkpoint, folder):
    """-> the module that sets the global `ort`, and {name: bytes} of ONNX Runtime's other files, models and licences"""
    graphs, notices = onnx_parts.graphs(checkpoint), licences()
    files = runtime_files(folder)
    return as_global(files[SCRIPT].decode()), {"wasm": files[WASM], **graphs, "notices": notices.encode()}


def zipped(name, content):
    """An element with gzipped bytes, for page/runtimes.js to unzip."""
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    return f'<script type="text/plain" id="{name}">{packed}</script>'


def source(name):
    """A file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def hashed(text):
    """The name of an inline script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


def embedded(values):
    """JSON, safe inside HTML."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def header(checkpoint):
    """The page's data except the weights: the model, the heat map's colours, the scenes with NumPy's captions."""
    return described(checkpoint) | {"beam": BEAM, "colours": base64.b64encode(COLOURS.tobytes()).decode(),
                                    "scenes": recorded(checkpoint)}


def described(checkpoint):
    """The model without its weights."""
    model = checkpoint.config.model
    return {"config": {name: getattr(model, name) for name in NEEDED}, "tokenizer": checkpoint.tokenizer.to_json(),
            "sublayers": [[name, list(shapes.items())] for name, shapes in sublayers(model).items()]}


def recorded(checkpoint):
    """Each built-in scene as a PNG, with a checksum of the model's input pixels, and NumPy's captions."""
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
