"""A trained model, ready to use: pictures in, sentences out."""
from typing import NamedTuple

import numpy as np

from . import decoding
from .data.images import load_image
from .engines import NumpyEngine
from .errors import DataError
from .parameters import Parameters
from .tokenizers import caption_ids

GROUP = 32  # images decoded together: enough to be fast; a caption of each takes some MB


class Sentence(NamedTuple):
    text: str
    hypothesis: decoding.Hypothesis


class Captioner:
    def __init__(self, config, tokenizer, parameters, engine=None):
        """config ModelConfig, parameters Parameters; the tokenizer is the one that the model was trained with.

        engine: one of npcaption.engines that runs these parameters; without it NumPy does.
        """
        self.config, self.tokenizer, self.parameters = config, tokenizer, parameters
        self.engine = engine or NumpyEngine(config, parameters)

    def caption(self, image):
        """The caption of one image: a path, a PIL image, or an (H, W, 3) uint8 array -> str"""
        return self.captions([image])[0]

    def captions(self, images, decode=decoding.greedy):
        """One caption for each image, the first that `decode` finds -> list of str"""
        return [sentences[0].text for sentences in self.sentences(images, decode)]

    def sentences(self, images, decode=decoding.greedy):
        """All captions that `decode` finds, in its order -> for each image a list of Sentences

        decode: greedy, sample or beam of npcaption.decoding, with settings: partial(beam, width=4).
        """
        found = []
        for start in range(0, len(images), GROUP):
            pictures = np.stack([load_image(image, self.config.image_size) for image in images[start:start + GROUP]])
            found += [[Sentence(self.tokenizer.decode(h.ids), h) for h in hypotheses]
                      for hypotheses in decode(self.engine, pictures)]
        return found

    def loss(self, images, captions):
        """How surprised the model is, in nats per token, padding not counted.

        images (B, S, S, 3), 0 to 255, captions B strings -> float.  DataError if they do not fit together or the model.
        """
        images, ids = self._batch(images, captions)
        targets = int((ids[:, 1:] != 0).sum())
        return self.engine.decode_loss(self.engine.encode(images), np.arange(len(ids)), ids) / targets

    def loss_and_gradients(self, images, captions):
        """The loss and its gradients -> (float, {parameter's name: array}), and under "image" that of the pixels.

        An image has a gradient if it is given in floats, not in uint8; DataError as for `loss`.
        """
        images, ids = self._batch(images, captions)
        gradients = Parameters(self.config, self.parameters.flat.dtype)
        keys = np.zeros(len(ids), np.uint32)
        (loss, _), dimage = self.engine.loss_and_gradients(images, ids, 0.0, keys, gradients)
        return loss, gradients.named | ({} if dimage is None else {"image": dimage})

    def _batch(self, images, captions):
        """-> images and ids (B, L), once it is clear that they belong together"""
        images, size = np.asarray(images), self.config.image_size
        if images.shape[1:] != (size, size, 3) or not len(images):
            raise DataError(f"The images have shape {images.shape}; this model takes (B, {size}, {size}, 3), 0 to 255. "
                            f"npcaption.data.images.load_image makes such ones.")
        if isinstance(captions, str) or len(captions) != len(images):
            raise DataError(f"There are {len(images)} images and {1 if isinstance(captions, str) else len(captions)} "
                            f"captions; give a list with one caption for each image.")
        return images, np.stack([caption_ids(self.tokenizer, text, self.config.max_length) for text in captions])
