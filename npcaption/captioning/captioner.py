"""Captioner: a trained model with its tokenizer and engine; images in, captions out."""
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

GROUP = 32  # images decoded together: fast enough, and the memory of one caption each takes some MB


class Sentence(NamedTuple):
    text: str
    hypothesis: decoding.Hypothesis


class Captioner:
    """A trained model with its tokenizer.

        >>> import npcaption
        >>> from npcaption.data.shapes import make_scenes
        >>> scenes, images = make_scenes(seed=0, split="test", count=2, size=128)
        >>> captioner = npcaption.load()
        >>> captioner.captions(images)                   # two generated scenes, to a model of photographs
        ['two people are standing on a yellow kayak .', 'two people are sitting on a snowy mountain .']
    """

    def __init__(self, config, tokenizer, parameters, engine=None, encoder=None):
        """config ModelConfig, tokenizer the model's own, parameters Parameters.

        engine: an engine of npcaption.model.engines over these parameters (default: NumpyEngine).
        encoder: the frozen encoder of a model that reads features; see npcaption.pretrained.
        """
        self.config, self.tokenizer, self.parameters = config, tokenizer, parameters
        self.engine, self.encoder = engine or NumpyEngine(config, parameters), encoder

    @classmethod
    def load(cls, path=None, engine="numpy", threads=0, encoder=None):
        """The captioner of a checkpoint file, by default of the model that ships with the package.

        path: a file, or the name of a model that ships: "flickr8k" (the default) or "flickr8k-scratch".
        engine: "numpy" starts at once; "numba" is several times faster, after its kernels have been compiled once, for
        some seconds. threads: as for make_engine. encoder: the frozen encoder, or the path of its weights, of a model
        that reads features. ConfigError if the model was trained with another encoder.

            >>> captioner = npcaption.load()
            >>> captioner.config.image_size, captioner.parameters.flat.size, captioner.tokenizer.kind
            (128, 861568, 'bpe')
            >>> npcaption.load("no.npz")
            Traceback (most recent call last):
            npcaption.errors.CheckpointError: ...
        """
        if isinstance(encoder, (str, os.PathLike)):
            encoder = frozen_encoder(os.fspath(encoder))
        return cls.of(checkpoints.load(checkpoints.SHIPPED if path is None else path), engine, threads, encoder)

    @classmethod
    def of(cls, checkpoint, engine="numpy", threads=0, encoder=None):
        """The captioner of a Checkpoint.

            >>> from npcaption.model.checkpoint import SHIPPED, load
            >>> Captioner.of(load(SHIPPED)).config.decoder_blocks
            2
        """
        config, parameters = checkpoint.config.model, checkpoint.parameters
        check_encoder(config, encoder)
        return cls(config, checkpoint.tokenizer, parameters, make_engine(engine, config, parameters, threads), encoder)

    def inputs_of(self, images):
        """A list of images -> the model's inputs, (B, A, A, 3) uint8 or features (B, P, D)

        An image may be given by its features (P, D), the encoder's output.  DataError if an image cannot be read.

            >>> captioner.inputs_of([images[0], images[1][:90]]).shape
            (2, 128, 128, 3)
        """
        if not self.config.encoder_name:
            return np.stack([load_image(image, self.config.image_size) for image in images])
        shape = self.config.input_shape
        if all(isinstance(image, np.ndarray) and image.shape == shape and image.dtype.kind == "f" for image in images):
            return np.stack(images)
        check_encoder(self.config, self.encoder)
        return self.encoder.tokens(images)

    def caption(self, image):
        """The caption of one image: a path, an open binary file, a PIL image, or an (H, W, 3) uint8 array -> str

            >>> captioner.caption(images[0])
            'two people are standing on a yellow kayak .'
        """
        if not is_one(image):
            raise DataError(f"caption() takes one image, such as a path, but got {kind(image)}. "
                            "Pass several images to captions().")
        return self.captions([image])[0]

    def captions(self, images, decode=decoding.greedy):
        """The first caption that `decode` finds for each of several images -> list of str

            >>> from functools import partial
            >>> from npcaption import decoding
            >>> captioner.captions(images, partial(decoding.beam, width=2))[0]
            'two people are standing on a yellow kayak .'
        """
        return [sentences[0].text for sentences in self.sentences(images, decode)]

    def sentences(self, images, decode=decoding.greedy):
        """All captions that `decode` finds, in its order -> for each image a list of Sentences

        images: a list or another ordered iterable of images, or an array (B, H, W, 3) uint8.
        decode: greedy, sample or beam of npcaption.captioning.decoding, with settings: partial(beam, width=4).

            >>> [found] = captioner.sentences(images[:1], partial(decoding.beam, width=4))
            >>> for sentence in found[1:3]:
            ...     print(sentence.text, round(sentence.hypothesis.score, 2))
            a group of people are standing on a yellow kayak . -0.16
            two people are sitting on a yellow kayak . -0.18
        """
        if is_one(images) or not isinstance(images, Iterable) or isinstance(images, (Mapping, set, frozenset)):
            raise DataError(f"captions() and sentences() take a list of images, but got {kind(images)}. "
                            "Pass a list, such as ['dog.jpg'], or one image to caption().")
        if not callable(decode):
            raise ConfigError(f"decode is {kind(decode)}; it must be a function, such as "
                              f"npcaption.captioning.decoding.greedy.")
        return list(self.stream(images, decode))

    def stream(self, images, decode=decoding.greedy):
        """Like `sentences`, but yields an image's at a time; images are read when they are needed.

            >>> [[found]] = captioner.stream(images[:1])
            >>> found.text
            'two people are standing on a yellow kayak .'
        """
        self.engine.refresh()
        images = iter(images)
        groups = iter(lambda: list(islice(images, GROUP)), [])
        for found in self.engine.each(decode, map(self.inputs_of, groups)):
            yield from ([Sentence(self.tokenizer.decode(h.ids), h) for h in hypotheses] for hypotheses in found)

    def loss(self, images, captions):
        """The loss in nats per token, without padding.

        images (B, A, A, 3), 0 to 255, captions B strings -> float.  DataError if they match neither each other nor the
        model.

            >>> round(captioner.loss(images[:1], ["two people on a mountain ."]), 1)
            2.2
        """
        images, ids = self._batch(images, captions)
        return self.engine.decode_loss(self.engine.encode(images), np.arange(len(ids)), ids) / target_tokens(ids)

    def loss_and_gradients(self, images, captions):
        """The loss and its gradients -> (float, {parameter's name: array}), with the pixels' gradient under "image".

        Float images have a gradient, uint8 images have none.  DataError as for `loss`.

            >>> loss, gradients = captioner.loss_and_gradients(images[:1].astype("float32"), ["two people ."])
            >>> gradients["image"].shape, gradients["encoder.0.mlp.up.weight"].shape
            ((1, 128, 128, 3), (128, 256))
        """
        images, ids = self._batch(images, captions)
        gradients = Parameters(self.config, self.parameters.flat.dtype)
        losses, dimage = self.engine.loss_and_gradients(whole(images, ids[:, None]), gradients)
        return losses[LIKELIHOOD.name], gradients.named | ({} if dimage is None else {"image": dimage})

    def _batch(self, images, captions):
        """-> images and ids (B, L), checked against each other and the model"""
        size = self.config.image_size
        images = self.inputs_of(list(images)) if self.config.encoder_name else pixels(images)
        if images.shape[1:] != self.config.input_shape or not len(images):
            raise DataError(f"The images have shape {images.shape}; this model takes (B, {size}, {size}, 3), 0 to 255. "
                            f"Use npcaption.data.images.load_image.")
        if isinstance(captions, (str, bytes)) or not isinstance(captions, Iterable):
            raise DataError(f"The captions are {kind(captions)}. Pass a list with one caption for each image.")
        captions = list(captions)
        if len(captions) != len(images):
            raise DataError(f"There are {len(images)} images and {len(captions)} captions. "
                            f"Pass one caption for each image.")
        for number, text in enumerate(captions):
            if not isinstance(text, str):
                raise DataError(f"Caption {number} (counted from 0) is {kind(text)}; it must be a str.")
        self.engine.refresh()
        return images, np.stack([caption_ids(self.tokenizer, text, self.config.max_length) for text in captions])


def is_one(image):
    """Whether a value is one image (or any path) rather than several images"""
    if isinstance(image, np.ndarray):
        return image.ndim in (0, 2, 3)
    return isinstance(image, (str, bytes, bytearray, os.PathLike, Image.Image)) or hasattr(image, "read")


def kind(value):
    """Short description of a value for an error: strings and numbers themselves, the type of other values"""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} {value.dtype}"
    text = repr(value)
    if value is None or isinstance(value, (str, bytes, int, float, os.PathLike)):
        return printable(text if len(text) < 100 else text[:100] + "...")
    return f"an object of type {type(value).__name__}"


def pixels(images):
    """A batch of images on the model's scale: uint8, or floats from 0 to 255.  DataError for another scale."""
    try:
        images = np.asarray(images)
    except Exception as error:                               # lists of unequal lengths, tensors on another device
        raise DataError(f"The images do not form an array (B, A, A, 3): {printable(error)}") from error
    if images.dtype.kind not in "uif":
        raise DataError(f"The images have type {images.dtype}; this model takes uint8, or floats from 0 to 255. "
                        f"For files use npcaption.data.images.load_image.")
    if images.dtype == np.uint8 or not images.size:
        return images
    low, high = images.min(), images.max()                   # nan if any pixel is
    if not -0.5 <= low <= high <= 255.5:                     # a margin for steps of finite differences
        raise DataError(f"The pixels range from {low:g} to {high:g}; this model takes 0 to 255. "
                        f"Scale the images to that range.")
    if images.dtype.kind != "f":
        return images.astype(np.uint8)
    if 0 < high <= 1:
        warnings.warn(f"The pixels range from {low:g} to {high:g}, which is nearly black: this model takes 0 to 255. "
                      "If white is 1 in your images, multiply them by 255.", stacklevel=4)
    return images


def newest(folder="runs"):
    """The newest best.npz of the run directories under `folder`, second stages too, or else the model that ships."""
    found = [path for depth in ("*", "*/self-critical") for path in Path(folder).glob(f"{depth}/best.npz")]
    return max(found, key=lambda path: path.stat().st_mtime, default=checkpoints.SHIPPED)
