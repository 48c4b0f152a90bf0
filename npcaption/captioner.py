"""A trained model, ready to use: pictures in, sentences out."""
import numpy as np

from . import decoding, layers, model
from .data.images import load_image
from .parameters import Parameters
from .tokenizers import PADDING, sequence


class Captioner:
    def __init__(self, config, tokenizer, parameters, engine=layers):
        """config ModelConfig, parameters Parameters; the tokenizer is the one that the model was trained with."""
        self.config, self.tokenizer, self.parameters, self.engine = config, tokenizer, parameters, engine

    def caption(self, image):
        """The caption of one image: a path, a PIL image, or an (H, W, 3) uint8 array -> str"""
        return self.captions([image])[0]

    def captions(self, images):
        """One caption for each image, decoded together -> list of str"""
        pictures = np.stack([load_image(image, self.config.image_size) for image in images])
        return [self.tokenizer.decode(ids) for ids in
                decoding.greedy(self.engine, self.config, self.parameters.sublayer, pictures)]

    def loss(self, images, captions):
        """How surprised the model is, in nats per token, padding not counted.

        images (B, S, S, 3) uint8 or float (0 to 255), captions B strings -> float
        """
        return float(self._forward(images, captions)[0])

    def loss_and_gradients(self, images, captions):
        """The loss and its gradients -> (float, {parameter's name: array}), and under "image" that of the pixels."""
        loss, cache = self._forward(images, captions)
        gradients = Parameters(self.config, self.parameters.flat.dtype)
        dimage = model.loss_backward(self.engine, 1.0, cache, gradients.sublayer)
        return float(loss), gradients.named | {"image": dimage}

    def _forward(self, images, captions):
        ids = np.stack([sequence(self.tokenizer.encode(text), self.config.max_length) for text in captions])  # (B, T)
        targets = ids[:, 1:]
        total = int((targets != PADDING).sum())
        return model.loss_forward(self.engine, self.config, self.parameters.sublayer, np.asarray(images), ids[:, :-1],
                                  targets, total, 0.0, 0)
