"""Sublayer: a teacher's features of an image, predicted from the encoder's mean patch. Only training has it.

An encoder that is pretrained on millions of images has features that captions alone do not teach. This loss asks the
model's own encoder for them, by a head that is thrown away afterwards.
"""
from .output import output_backward, output_forward
from .squared_error import squared_error_backward, squared_error_forward


def feature_regression_forward(source, p, pooled, total):
    """loss = mean over the Z channels of (output(mean of source) - pooled)^2, summed over images, divided by `total`.

    source (..., P, C), pooled (..., Z), the teacher's features, standardised -> scalar, an image's mean if total is B.
    Whoever always predicts 0, the mean, has 1.
    """
    predicted, output = output_forward(source.mean(-2), p)   # (..., Z), of the mean over the patches
    loss, error = squared_error_forward(predicted, pooled, total * pooled.shape[-1])
    return loss, (source.shape[-2], output, error)


def feature_regression_backward(dloss, cache, g):
    """dsource = dmean / P for every patch, as mean = sum(source) / P.  dloss scalar -> dsource (..., P, C)"""
    patches, output, error = cache
    dmean = output_backward(squared_error_backward(dloss, error), output, g)  # (..., C)
    return (dmean / patches)[..., None, :].repeat(patches, -2)
