"""Attribution of each word to the image: cross-attention maps and pixel gradients.

Both use the textbook, not the engine: it keeps the attention weights, and its backward reaches the pixels. An
image is any source that load_image accepts. Captions are ids with start and end, as in decoding.Hypothesis.ids.
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
    tokens: slice               # positions of its tokens in the caption's ids


class Look(NamedTuple):
    word: str
    map: np.ndarray             # (n, n) over the whole image, non-negative


def words(tokenizer, ids):
    """The words of a caption, in order; a token that spans two words belongs to both."""
    ends = np.array([len(tokenizer.decode(ids[:i + 1])) for i in range(len(ids))])  # characters up to token i
    return [Word(match.group(), slice(int((ends <= match.start()).sum()), int((ends < match.end()).sum()) + 1))
            for match in re.finditer(r"\S+", tokenizer.decode(ids))]


def checked(captioner, image, ids):
    """-> image (A, A, 3) uint8 or features (P, D), ids (T,).  DataError if they do not match the model."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise DataError(f"The caption's ids have shape {ids.shape} and type {ids.dtype}; they must be (T,) integers "
                        f"with start and end. Pass Sentence.hypothesis.ids.")
    check_batch(captioner.config, ids)
    return captioner.inputs_of([image])[0], ids


def attention(captioner, image, ids, layer=None, head=None):
    """The decoder's cross-attention over the image for each word.  ids (T,) -> list of Looks

    A map (n, n) holds the attention weight of each patch and sums to 1, without a frozen encoder's class token. It is
    the mean over the word's tokens, the heads and the decoder blocks, unless `layer` or `head` (from 0) selects one.
    """
    config, p = captioner.config, captioner.parameters.sublayer
    for name, chosen, count in [("layer", layer, config.decoder_blocks), ("head", head, config.heads)]:
        if chosen is not None and not (hasattr(chosen, "__index__") and 0 <= operator.index(chosen) < count):
            raise ConfigError(f"There is no {name} {chosen}: the model's decoder has {count}. "
                              f"Choose from 0 to {count - 1}.")
    image, ids = checked(captioner, image, ids)
    captioner.engine.refresh()
    source = captioner.engine.encode(image[None])            # (1, P, C)
    _, (_, blocks) = wiring.decode_forward(layers, config, p, ids[None, :-1], source)
    shares = np.stack([layers.cross_attention_map(cross)[0] for _, cross, _ in blocks])  # (blocks, H, T, P)
    shares = shares[slice(None) if layer is None else [layer]][:, slice(None) if head is None else [head]].mean((0, 1))
    n = config.patches_a_side
    if config.class_token:                                   # it has no place in the image
        shares = shares[:, 1:] / shares[:, 1:].sum(1, keepdims=True)  # (T, n * n)
    if n * n != shares.shape[1]:
        raise ConfigError(f"The {shares.shape[1]} tokens of {config.encoder_name} do not form a square grid, so their "
                          f"attention has no map. Use a model whose encoder gives a square grid of tokens.")
    # The decoder writes the token at position i when it reads position i - 1.
    return [Look(word.text, shares[word.tokens.start - 1:word.tokens.stop - 1].mean(0).reshape(n, n))
            for word in words(captioner.tokenizer, ids)]


def saliency(captioner, image, ids):
    """Saliency of each pixel for each word: |d log p(word | image, previous words) / d pixel|, summed over the colours.

    ids (T,) -> list of Looks, maps (A, A).  Simonyan et al. 2013, arXiv:1312.6034
    """
    if captioner.config.encoder_name:
        raise ConfigError(f"This model reads features of {captioner.config.encoder_name}, so there is no gradient of "
                          f"the pixels. Use attention instead.")
    image, ids = checked(captioner, image, ids)
    config, p, dtype = captioner.config, captioner.parameters.sublayer, captioner.parameters.flat.dtype
    g = Parameters(config, dtype).sublayer                   # gradients of the parameters, unused
    source, encoder = wiring.encode_forward(layers, config, p, image.astype(dtype))  # (P, C)
    x, decoder = wiring.decode_forward(layers, config, p, ids[:-1], source)  # (T - 1, C)
    looks = []
    for word in words(captioner.tokenizer, ids):
        targets = np.full(len(ids) - 1, PADDING)             # (T - 1,): padding has no loss
        targets[word.tokens.start - 1:word.tokens.stop - 1] = ids[word.tokens]
        _, output = layers.output_loss_forward(x, p["output"], targets, 1)
        dx = layers.output_loss_backward(1.0, output, g["output"])  # (T - 1, C)
        dimage = wiring.encode_backward(layers, wiring.decode_backward(layers, dx, decoder, g), encoder, g)  # (A, A, 3)
        looks.append(Look(word.text, np.abs(dimage).sum(-1)))
    return looks
