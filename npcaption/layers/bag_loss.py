"""Sublayer: which words an image's captions hold, told from the image alone. Only training has it.

The decoder learns to write long before the encoder learns to see, and what it writes without looking is good enough to
leave the encoder little to gain. This loss asks the encoder itself.
"""
from .binary_cross_entropy import binary_cross_entropy_backward, binary_cross_entropy_forward
from .output import output_backward, output_forward


def bag_loss_forward(source, p, words, total):
    """loss = binary_cross_entropy(output(mean of source), words) in nats, summed over all words, divided by `total`.

    source (..., P, C), words (..., W), 1 for those that the captions hold, else 0 -> scalar, an image's mean if total is B
    """
    logits, output = output_forward(source.mean(-2), p)      # (..., W), of the mean over the patches
    loss, entropy = binary_cross_entropy_forward(logits, words, total)
    return loss, (source.shape[-2], output, entropy)


def bag_loss_backward(dloss, cache, g):
    """dsource = dmean / P for every patch, as mean = sum(source) / P.  dloss scalar -> dsource (..., P, C)"""
    patches, output, entropy = cache
    dmean = output_backward(binary_cross_entropy_backward(dloss, entropy), output, g)  # (..., C)
    return (dmean / patches)[..., None, :].repeat(patches, -2)
