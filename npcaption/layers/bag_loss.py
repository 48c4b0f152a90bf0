"""Sublayer: the bag-of-words loss, an auxiliary loss that predicts the captions' words from the encoder alone.

Only training uses it. The decoder learns to write before the encoder learns to see, and its image-blind captions are
good enough to leave the encoder little gradient. This loss trains the encoder directly.
"""
from .binary_cross_entropy import binary_cross_entropy_backward, binary_cross_entropy_forward
from .output import output_backward, output_forward


def bag_loss_forward(source, p, words, total):
    """loss = binary_cross_entropy(output(mean of source), words) in nats, summed over all words, divided by `total`.

    source (..., P, C), words (..., W), 1 for words in the captions, else 0 -> scalar, the mean per image if total is B
    """
    logits, output = output_forward(source.mean(-2), p)      # (..., W), from the mean over the patches
    loss, entropy = binary_cross_entropy_forward(logits, words, total)
    return loss, (source.shape[-2], output, entropy)


def bag_loss_backward(dloss, cache, g):
    """dsource = dmean / P for every patch, as mean = sum(source) / P.  dloss scalar -> dsource (..., P, C)"""
    patches, output, entropy = cache
    dmean = output_backward(binary_cross_entropy_backward(dloss, entropy), output, g)  # (..., C)
    return (dmean / patches)[..., None, :].repeat(patches, -2)
