"""Web export: one HTML page with a model, a JavaScript engine and every gradient."""
from pathlib import Path

from ...captioning.captioner import Captioner
from ...config import Config
from ...model import checkpoint as checkpoints
from ...support.files import check_writable, write_whole
from .build import page


def web(model=None, out="caption.html", runtime="js", folder=None):
    """Write the page of a model into a file -> its size in bytes

    model: a checkpoint's path, a Checkpoint or a Captioner; without one, the model that ships.
    runtime: "js", our own JavaScript; "onnx", ONNX Runtime Web; or "both". folder: the folder with onnxruntime-web's
    files; without one npm fetches them.
    ConfigError for a model on frozen features, DataError if the file cannot be written.
    """
    if isinstance(model, Captioner):
        model = checkpoints.Checkpoint(Config(model.config), model.tokenizer, model.parameters, {}, None)
    if isinstance(model, checkpoints.Checkpoint):
        name = "a trained model"
        check_writable(out)
    else:
        path = checkpoints.SHIPPED if model is None else model
        check_writable(out, [path])
        model, name = checkpoints.load(path), Path(path).name
    content = page(model, name, runtime, folder).encode()
    write_whole(out, content)
    return len(content)
