"""Decoding over a key-value memory: the forward pass for one more token."""
from typing import NamedTuple

import numpy as np

from .wiring import NO_DROPOUT


class Memory(NamedTuple):
    """Key-value memory of R partial captions of B images (R / B each).

    An image has R / B captions, one after another.
    """
    text: list                  # for each decoder block (R, L, 2C): keys and values of the tokens so far
    images: list                # for each decoder block a tuple of arrays (B, ...), in the engine's layout

    def of(self, images):
        """The part of some images.  images: a slice (-> views) or an array of indices (-> copies)"""
        count = len(self.images[0][0])
        text = [kv.reshape(count, -1, *kv.shape[1:])[images].reshape(-1, *kv.shape[1:]) for kv in self.text]
        return Memory(text, [tuple(array[images] for array in block) for block in self.images])

    def follow(self, parents, length):
        """Let caption r continue the first `length` tokens of caption parents[r], of the same image.  parents (R,)"""
        moved = np.flatnonzero(parents != np.arange(len(parents)))
        for kv in self.text:
            kv[moved, :length] = kv[parents[moved], :length]


def no_text(config, captions, dtype):
    """Empty memory for the text: an array (R, L, 2C) for each decoder block.  captions: their number R"""
    shape = captions, config.max_length - 1, 2 * config.channels
    return [np.empty(shape, dtype) for _ in range(config.decoder_blocks)]


def remember(layers, config, p, source):
    """The images' part of a Memory.  source: the output of `encode_forward`"""
    return [layers.cross_attention_memory(source, p[f"decoder.{i}.cross_attention"], config.heads)
            for i in range(config.decoder_blocks)]


def decode_step(layers, config, p, ids, place, memory):
    """The forward pass for one more token.  ids (R,), the captions' tokens at `place` -> logits (R, V) of the next

    All earlier tokens must have gone through here, in order. The keys and values of `ids` are added to `memory`.
    """
    x = layers.token_embed_step(ids, p["token_embed"], place)
    for i in range(config.decoder_blocks):
        block = f"decoder.{i}"
        x = layers.self_attention_step(x, p[f"{block}.self_attention"], config.heads, memory.text[i], place)
        x = layers.cross_attention_step(x, p[f"{block}.cross_attention"], config.heads, memory.images[i])
        x, _ = layers.mlp_forward(x, p[f"{block}.mlp"], *NO_DROPOUT)
    return layers.output_forward(x, p["output"])[0]
