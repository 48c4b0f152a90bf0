"""The wiring: the order of the sublayers, forward and backward, without any mathematics.

`layers` is the engine, a module with the sublayers (npcaption.layers is the textbook); `p` and `g` are the parameters
and their gradients by sublayer (`Parameters.sublayer`). Arrays end in (tokens, channels); a batch axis in front is
optional.
"""
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

CAPTION = 2 ** 31  # offset of captions' numbers in dropout keys, above all sublayers' numbers
FEATURES = CAPTION - 1  # number of the features' dropout


class Dropout(NamedTuple):
    """Dropout's rate and key, the sublayers' last two arguments."""
    rate: float
    key: np.ndarray             # uint32 (...), one for each image


NO_DROPOUT = Dropout(0.0, 0)


def part_of(dropout, layers, number):
    """The Dropout of one sublayer, or of one caption.  dropout: the model's Dropout, or None"""
    return NO_DROPOUT if dropout is None else Dropout(dropout.rate, layers.fold_key(dropout.key, number))


def embed_forward(layers, config, p, image, dropout):
    """The first sublayer: patch_embed for pixels, or feature_embed, with its own dropout rate, for frozen features."""
    if not config.encoder_name:
        return layers.patch_embed_forward(image, p["patch_embed"], config.patch_size, config.stem)
    of_features = part_of(dropout and dropout._replace(rate=config.feature_dropout), layers, FEATURES)
    return layers.feature_embed_forward(image, p["feature_embed"], *of_features)


def embed_backward(layers, dx, cache, g):
    if "feature_embed" in g:
        return layers.feature_embed_backward(dx, cache, g["feature_embed"])
    return layers.patch_embed_backward(dx, cache, g["patch_embed"])


def encode_forward(layers, config, p, image, dropout=None):
    """image (..., A, A, 3), 0 to 255, or its features from a frozen encoder (..., P, I) -> source (..., P, C)"""
    x, embed = embed_forward(layers, config, p, image, dropout)
    blocks = []
    for i in range(config.encoder_blocks):
        block, drop = f"encoder.{i}", [part_of(dropout, layers, 2 * i + sublayer) for sublayer in range(2)]
        x, attention = layers.self_attention_forward(x, p[f"{block}.attention"], config.heads, False, *drop[0])
        x, mlp = layers.mlp_forward(x, p[f"{block}.mlp"], *drop[1])
        blocks.append((attention, mlp))
    return x, (embed, blocks)


def encode_backward(layers, dsource, cache, g):
    """dsource (..., P, C) -> dimage, in the image's shape, per unit of the 0 to 255 scale"""
    embed, blocks = cache
    dx = dsource
    for i, (attention, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"encoder.{i}.mlp"])
        dx = layers.self_attention_backward(dx, attention, g[f"encoder.{i}.attention"])
    return embed_backward(layers, dx, embed, g)


def decode_forward(layers, config, p, ids, source, dropout=None):
    """ids (..., T) integers, source (..., P, C) -> x (..., T, C), the input of `output`"""
    x, embed = layers.token_embed_forward(ids, p["token_embed"])
    blocks = []
    for i in range(config.decoder_blocks):
        before = 2 * config.encoder_blocks + 3 * i           # sublayers
        block, drop = f"decoder.{i}", [part_of(dropout, layers, before + sublayer) for sublayer in range(3)]
        x, itself = layers.self_attention_forward(x, p[f"{block}.self_attention"], config.heads, True, *drop[0])
        x, cross = layers.cross_attention_forward(x, source, p[f"{block}.cross_attention"], config.heads, *drop[1])
        x, mlp = layers.mlp_forward(x, p[f"{block}.mlp"], *drop[2])
        blocks.append((itself, cross, mlp))
    return x, (embed, blocks)


def decode_backward(layers, dx, cache, g):
    """dx (..., T, C) -> dsource (..., P, C): every block looked at the same source, so their gradients add up"""
    embed, blocks = cache
    dsource = 0
    for i, (itself, cross, mlp) in reversed(list(enumerate(blocks))):
        dx = layers.mlp_backward(dx, mlp, g[f"decoder.{i}.mlp"])
        dx, dsource_of_block = layers.cross_attention_backward(dx, cross, g[f"decoder.{i}.cross_attention"])
        dx = layers.self_attention_backward(dx, itself, g[f"decoder.{i}.self_attention"])
        dsource = dsource + dsource_of_block
    layers.token_embed_backward(dx, embed, g["token_embed"])
    return dsource


def loss_forward(layers, config, p, batch, objectives):
    """The objectives' losses of a Batch, or of one image's part -> {objective's name: scalar}, cache

    The image is encoded once for all of its captions; each of them is decoded with the same source.
    """
    drops = (config.dropout or config.feature_dropout) and batch.keys is not None
    dropout = Dropout(config.dropout, batch.keys) if drops else None
    source, encoder = encode_forward(layers, config, p, batch.inputs, dropout)
    xs, decoders = [], []
    for k in range(batch.ids.shape[-2]):
        of_caption = part_of(dropout, layers, CAPTION + k) if k and dropout else dropout
        x, decoder = decode_forward(layers, config, p, batch.read(k), source, of_caption)
        xs.append(x)
        decoders.append(decoder)
    losses, parts = zip(*(objective.forward(layers, p, source, xs, batch) for objective in objectives))
    return {objective.name: loss for objective, loss in zip(objectives, losses)}, (encoder, decoders, objectives, parts)


def loss_backward(layers, dloss, cache, g):
    """dloss scalar, of the weighted sum of the losses -> dimage (..., A, A, 3); parameters' gradients are added into g

    The source's gradients from the objectives and from the captions' decoders add up: all of them read the same source.
    """
    encoder, decoders, objectives, parts = cache
    dsource = []
    dxs = []
    for objective, part in zip(objectives, parts):
        found = objective.backward(layers, dloss * objective.weight, part, g)
        dsource.append(found[0])
        dxs.append(found[1])
    for decoder, dx in zip(decoders, zip_longest(*dxs)):
        dsource.append(decode_backward(layers, added(dx), decoder, g))
    return encode_backward(layers, added(dsource), encoder, g)


def added(gradients):
    """The sum of the gradients that are not None."""
    first, *others = (gradient for gradient in gradients if gradient is not None)
    return sum(others, first)
