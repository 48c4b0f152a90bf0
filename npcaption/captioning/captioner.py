"""A trained model, ready to use: pictures in, sentences out."""
import os
import warnings
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..data.encoders import check_encoder, frozen_encoder
from ..data.images import load_image
from ..errors import ConfigError, DataError, printable
from ..model import checkpoint as checkpoints
from ..model.batch import target_tokens, whole
from ..model.engines import NumpyEngine, make_engine
from ..model.objectives import LIKELIHOOD
from ..model.parameters import Parameters
from ..tokenizers import caption_ids
from . import decoding

GROUP = 32  # images decoded together: enough to be fast; a caption of each takes some MB


class Sentence(NamedTuple):
    text: str
    hypothesis: decoding.Hypothesis


class Captioner:
    def __init__(self, config, tokenizer, parameters, engine=None, encoder=None):
        """config ModelConfig, parameters Parameters; the tokenizer is the one that the model was trained with.

        encoder: the frozen one whose features the model reads, if it reads features; see npcaption.pretrained.
        engine: one of npcaption.model.engines that runs these parameters; without it NumPy does.
        """
        self.config, self.tokenizer, self.parameters = config, tokenizer, parameters
        self.engine, self.encoder = engine or NumpyEngine(config, parameters), encoder

    @classmethod
    def load(cls, path=None, engine="numpy", threads=0, encoder=None):
        """The captioner of a checkpoint's file, or without one of the model that ships with the package.

        engine "numpy" is at hand at once; "numba" is several times faster once its kernels are compiled, which takes some
        seconds, once. threads: as for make_engine. encoder: for a model that reads a frozen encoder's features, that
        encoder, or the path of its weights. ConfigError if it is not the one that the model was trained with.
        """
        if isinstance(encoder, (str, os.PathLike)):
            encoder = frozen_encoder(os.fspath(encoder))
        return cls.of(checkpoints.load(checkpoints.SHIPPED if path is None else path), engine, threads, encoder)

    @classmethod
    def of(cls, checkpoint, engine="numpy", threads=0, encoder=None):
        """The captioner of a Checkpoint."""
        config, parameters = checkpoint.config.model, checkpoint.parameters
        check_encoder(config, encoder)
        return cls(config, checkpoint.tokenizer, parameters, make_engine(engine, config, parameters, threads), encoder)

    def inputs_of(self, images):
        """Images as the model reads them, a list -> (B, A, A, 3) uint8, or features (B, P, D)

        An image may be given by its features, (P, D) as the encoder makes them.  DataError if one cannot be read.
        """
        if not self.config.encoder_name:
            return np.stack([load_image(image, self.config.image_size) for image in images])
        shape = self.config.input_shape
        if all(isinstance(image, np.ndarray) and image.shape == shape and image.dtype.kind == "f" for image in images):
            return np.stack(images)
        check_encoder(self.config, self.encoder)
        return self.encoder.tokens(images)

    def caption(self, image):
        """The caption of one image: a path, an open binary file, a PIL image, or an (H, W, 3) uint8 array -> str"""
        if not is_one(image):
            raise DataError(f"caption() takes one image, such as a path, and was given {kind(image)}. "
                            "Give several images to captions().")
        return self.captions([image])[0]

    def captions(self, images, decode=decoding.greedy):
        """One caption for each of several images, the first that `decode` finds -> list of str"""
        return [sentences[0].text for sentences in self.sentences(images, decode)]

    def sentences(self, images, decode=decoding.greedy):
        """All captions that `decode` finds, in its order -> for each image a list of Sentences

        images: a list or anything else that gives images in an order, (B, H, W, 3) uint8 too.
        decode: greedy, sample or beam of npcaption.captioning.decoding, with settings: partial(beam, width=4).
        """
        if is_one(images) or not isinstance(images, Iterable) or isinstance(images, (Mapping, set, frozenset)):
            raise DataError(f"captions() and sentences() take a list of images, and were given {kind(images)}. "
                            "Give a list, such as ['dog.jpg'], or one image to caption().")
        if not callable(decode):
            raise ConfigError(f"decode is {kind(decode)}; it must be a function, such as npcaption.captioning.decoding.greedy.")
        return list(self.stream(images, decode))

    def stream(self, images, decode=decoding.greedy):
        """As `sentences`, but one image's after another, as they are found; images are read as they are needed."""
        self.engine.refresh()
        images = iter(images)
        groups = iter(lambda: list(islice(images, GROUP)), [])
        for found in self.engine.each(decode, map(self.inputs_of, groups)):
            yield from ([Sentence(self.tokenizer.decode(h.ids), h) for h in hypotheses] for hypotheses in found)

    def loss(self, images, captions):
        """How surprised the model is, in nats per token, padding not counted.

        images (B, A, A, 3), 0 to 255, captions B strings -> float.  DataError if they do not fit together or the model.
        """
        images, ids = self._batch(images, captions)
        return self.engine.decode_loss(self.engine.encode(images), np.arange(len(ids)), ids) / target_tokens(ids)

    def loss_and_gradients(self, images, captions):
        """The loss and its gradients -> (float, {parameter's name: array}), and under "image" that of the pixels.

        An image has a gradient if it is given in floats, not in uint8; DataError as for `loss`.
        """
        images, ids = self._batch(images, captions)
        gradients = Parameters(self.config, self.parameters.flat.dtype)
        losses, dimage = self.engine.loss_and_gradients(whole(images, ids[:, None]), gradients)
        return losses[LIKELIHOOD.name], gradients.named | ({} if dimage is None else {"image": dimage})

    def _batch(self, images, captions):
        """-> images and ids (B, L), once it is clear that they belong together"""
        size = self.config.image_size
        images = self.inputs_of(list(images)) if self.config.encoder_name else pixels(images)
        if images.shape[1:] != self.config.input_shape or not len(images):
            raise DataError(f"The images have shape {images.shape}; this model takes (B, {size}, {size}, 3), 0 to 255. "
                            f"npcaption.data.images.load_image makes such ones.")
        if isinstance(captions, (str, bytes)) or not isinstance(captions, Iterable):
            raise DataError(f"The captions are {kind(captions)}; give a list with one caption for each image.")
        captions = list(captions)
        if len(captions) != len(images):
            raise DataError(f"There are {len(images)} images and {len(captions)} captions; give one caption for each.")
        for number, text in enumerate(captions):
            if not isinstance(text, str):
                raise DataError(f"Caption {number} (counted from 0) is {kind(text)}; it must be a str.")
        self.engine.refresh()
        return images, np.stack([caption_ids(self.tokenizer, text, self.config.max_length) for text in captions])


def is_one(image):
    """Whether something is one image (or a path of one, right or wrong) rather than several"""
    if isinstance(image, np.ndarray):
        return image.ndim in (0, 2, 3)
    return isinstance(image, (str, bytes, bytearray, os.PathLike, Image.Image)) or hasattr(image, "read")


def kind(value):
    """A value as it may stand in a sentence: strings and numbers as they are, of others the type"""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} {value.dtype}"
    text = repr(value)
    if value is None or isinstance(value, (str, bytes, int, float, os.PathLike)):
        return printable(text if len(text) < 100 else text[:100] + "...")
    return f"an object of type {type(value).__name__}"


def pixels(images):
    """A batch of images as the model takes them: uint8, or floats from 0 to 255.  DataError for another scale."""
    try:
        images = np.asarray(images)
    except Exception as error:                               # lists of unequal lengths, tensors on another device
        raise DataError(f"The images are no array (B, A, A, 3): {printable(error)}") from error
    if images.dtype.kind not in "uif":
        raise DataError(f"The images hold {images.dtype}; this model takes uint8, or floats from 0 to 255. "
                        f"npcaption.data.images.load_image makes such ones of files.")
    if images.dtype == np.uint8 or not images.size:
        return images
    low, high = images.min(), images.max()                   # nan if any is
    if not -0.5 <= low <= high <= 255.5:                     # steps of finite differences may lead out a little
        raise DataError(f"The pixels go from {low:g} to {high:g}; this model takes 0 to 255. Scale the images to that.")
    if images.dtype.kind != "f":
        return images.astype(np.uint8)
    if 0 < high <= 1:
        warnings.warn(f"The pixels go from {low:g} to {high:g}, which is nearly black: this model takes 0 to 255. "
                      "If white is 1 in your images, multiply them by 255.", stacklevel=4)
    return images


def newest(folder="runs"):
    """The best.npz that was written last, of all trainings under `folder`; without any, the model that ships."""
    return max(Path(folder).glob("*/best.npz"), key=lambda path: path.stat().st_mtime, default=checkpoints.SHIPPED)
