"""Export a model to ONNX: encoder.onnx, decoder.onnx and gradient.onnx in a folder.

    npcaption export onnx DIR                                the model that ships with the package
    npcaption export onnx DIR --checkpoint runs/x/best.npz   a model that npcaption train wrote

The command makes the folder if necessary, and replaces files of these names in it. If ONNX Runtime is installed, it
compares all three models with the NumPy textbook before writing. docs/onnx.md describes them, with an example program.
"""
import os
from pathlib import Path

from ..errors import ConfigError, DataError, NpcaptionError, printable, why
from ..model import checkpoint as checkpoints
from ..support.command import arguments
from ..support.files import check_writable, write_whole
from ..support.flags import add_option, filename
from .cli import format_parser

LARGEST = 2 ** 31 - 2 ** 24  # bytes of parameters: a file of protocol buffers ends at 2^31
AGREED = 1e-3                # relative error


def main(words=None):
    parser = format_parser("onnx", __doc__)
    parser.add_argument("folder", type=filename, metavar="DIR", help="folder to write the three files to")
    add_option(parser, "checkpoint", str, "trained model (default: the one that ships)", metavar="FILE")
    options = arguments(parser, words)
    onnx_models = required()
    folder = Path(options.folder)
    check_folder(folder, onnx_models.NAMES)
    checkpoint = checkpoints.load(checkpoints.SHIPPED if options.checkpoint is None else options.checkpoint)
    if checkpoint.parameters.flat.nbytes > LARGEST:
        raise ConfigError(f"The model has {checkpoint.parameters.flat.nbytes / 1e9:.1f} GB of parameters; an ONNX file "
                          "holds at most 2.1 GB. Export a smaller model.")

    models = onnx_models.models_of(checkpoint)
    compared = comparison(models, checkpoint)
    make(folder)
    for name, model in models.items():
        content = model.SerializeToString(deterministic=True)
        write_whole(folder / name, content)
        print(f"{folder / name}: {len(content):,} bytes, {len(model.graph.node)} nodes")
    print(compared)


def required():
    """The module onnx_models.  ConfigError without the package onnx"""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ConfigError("ONNX export needs the package onnx, which is not installed. Run pip install "
                          "'npcaption[onnx]'.") from error
    from . import onnx_models
    return onnx_models


def check_folder(folder, names):
    """DataError if the folder is unusable for the files, before the export begins."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file. Name a folder for the three ONNX models.")
    if folder.is_dir():
        for name in names:
            check_writable(folder / name)
    elif not folder.absolute().parent.is_dir():
        raise DataError(f"There is no folder {folder.parent} for {folder.name}. Make it, or name another.")
    elif not os.access(folder.absolute().parent, os.W_OK):
        raise DataError(f"{folder} cannot be made: no permission. Name another folder.")


def make(folder):
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be made ({why(error)}). Name another.") from error


def comparison(models, checkpoint):
    """Compare the models with the textbook -> sentence with the errors.  NpcaptionError if one is too large"""
    try:
        import onnxruntime
    except ImportError:
        return "Not compared with NumPy: onnxruntime is not installed (pip install 'npcaption[onnx]')."
    from .onnx_check import errors
    found = errors(models, checkpoint)
    runtime = f"ONNX Runtime {printable(onnxruntime.__version__)}"
    if wrong := [name for name, error in found.items() if not error.within(AGREED)]:
        raise NpcaptionError(f"{runtime} and the textbook disagree on {wrong[0]} by {found[wrong[0]].runtime:.1e}; "
                             "nothing is written. Try another onnxruntime, and report this.")
    gradients = max(error.runtime for name, error in found.items() if name.startswith("grad."))
    return (f"{runtime} agrees with the NumPy textbook in float64: logits to "
            f"{found['logits'].runtime:.0e}, gradients to {gradients:.0e} of the largest.")
