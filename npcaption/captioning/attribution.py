"""Attribution of each word to the image: cross-attention maps and pixel gradients.

Both by the textbook, whatever engine decodes: it keeps the attention's probabilities, and its backward reaches the pixels.
An image is what load_image takes. Captions are ids with start and end, as npcaption.decoding gives them.
"""
import operator
import re
from typing import NamedTuple

import numpy as np

from .. import layers
from ..errors import ConfigError, DataError
from ..model import wiring
from ..model.batch import check_batch
from ..model.parameters import Parameters
from ..tokenizers import PADDING


class Word(NamedTuple):
    text: str
    tokens: slice               # its places among the caption's ids


class Look(NamedTuple):
    word: str
    map: np.ndarray             # (n, n) over the whole image, at least 0


def words(tokenizer, ids):
    """The words of a caption, in order; a token that carries the ends of two words belongs to both."""
    ends = np.array([len(tokenizer.decode(ids[:i + 1])) for i in range(len(ids))])  # characters up to token i
    return [Word(match.group(), slice(int((ends <= match.start()).sum()), int((ends < match.end()).sum()) + 1))
            for match in re.finditer(r"\S+", tokenizer.decode(ids))]


def fitting(captioner, image, ids):
    """-> image (A, A, 3) uint8 or features (P, D), ids (T,).  DataError if the model does not take them."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise DataError("A caption must be given by its ids, (T,) integers with start and end, as Sentence.hypothesis.ids "
                        f"has them; this is {ids.shape} {ids.dtype}.")
    check_batch(captioner.config, ids)
    return captioner.inputs_of([image])[0], ids


def attention(captioner, image, ids, layer=None, head=None):
    """Where the decoder looked while it wrote each word.  ids (T,) -> list of Looks

    A map (n, n) holds the share of each patch, summing to 1, a frozen encoder's class token left out: the mean over the
    word's tokens, the heads and the decoder's blocks, unless `layer` or `head` (counted from 0) chooses one.
    """
    config, p = captioner.config, captioner.parameters.sublayer
    for name, chosen, count in [("layer", layer, config.decoder_blocks), ("head", head, config.heads)]:
        if chosen is not None and not (hasattr(chosen, "__index__") and 0 <= operator.index(chosen) < count):
            raise ConfigError(f"There is no {name} {chosen}: this model's decoder has {count}, numbered from 0.")
    image, ids = fitting(captioner, image, ids)
    captioner.engine.refresh()
    source = captioner.engine.encode(image[None])            # (1, P, C)
    _, (_, blocks) = wiring.decode_forward(layers, config, p, ids[None, :-1], source)
    shares = np.stack([layers.cross_attention_map(cross)[0] for _, cross, _ in blocks])  # (blocks, H, T, P)
    shares = shares[slice(None) if layer is None else [layer]][:, slice(None) if head is None else [head]].mean((0, 1))
    n = config.patches_a_side
    if config.class_token:                                   # it has no place
        shares = shares[:, 1:] / shares[:, 1:].sum(1, keepdims=True)  # (T, n * n)
    if n * n != shares.shape[1]:
        raise ConfigError(f"The {shares.shape[1]} tokens of {config.encoder_name} are no square grid, so attention cannot be "
                          f"drawn.")
    # What stands at place i, the decoder wrote when it had read place i - 1.
    return [Look(word.text, shares[word.tokens.start - 1:word.tokens.stop - 1].mean(0).reshape(n, n))
            for word in words(captioner.tokenizer, ids)]


def saliency(captioner, image, ids):
    """How much each pixel matters for each word: |d log p(word | image, words before) / d pixel|, summed over the colours.

    ids (T,) -> list of Looks, maps (A, A).  Simonyan et al. 2013, arXiv:1312.6034
    """
    if captioner.config.encoder_name:
        raise ConfigError(f"The gradient of pixels needs a model that reads pixels, and this one reads features of "
                          f"{captioner.config.encoder_name}. Ask for attention.")
    image, ids = fitting(captioner, image, ids)
    config, p, dtype = captioner.config, captioner.parameters.sublayer, captioner.parameters.flat.dtype
    g = Parameters(config, dtype).sublayer                   # the parameters' gradients: not asked for
    source, encoder = wiring.encode_forward(layers, config, p, image.astype(dtype))  # (P, C)
    x, decoder = wiring.decode_forward(layers, config, p, ids[:-1], source)  # (T - 1, C)
    looks = []
    for word in words(captioner.tokenizer, ids):
        targets = np.full(len(ids) - 1, PADDING)             # (T - 1,): padding does not count
        targets[word.tokens.start - 1:word.tokens.stop - 1] = ids[word.tokens]
        _, output = layers.output_loss_forward(x, p["output"], targets, 1)
        dx = layers.output_loss_backward(1.0, output, g["output"])  # (T - 1, C)
        dimage = wiring.encode_backward(layers, wiring.decode_backward(layers, dx, decoder, g), encoder, g)  # (A, A, 3)
        looks.append(Look(word.text, np.abs(dimage).sum(-1)))
    return looks
