"""Sublayer: loss of predicting a teacher's image features from the encoder's mean patch, for training only.

An encoder pretrained on millions of images has features that captions alone do not teach. This loss trains the model's
own encoder to predict them, with a head that is discarded afterwards.
"""
from .output import output_backward, output_forward
from .squared_error import squared_error_backward, squared_error_forward


def feature_regression_forward(source, p, pooled, total):
    """loss = mean over the Z channels of (output(mean of source) - pooled)^2, summed over images, divided by `total`.

    source (..., P, C), pooled (..., Z), the teacher's features, standardised -> scalar, the mean over images if total
    is B. A constant prediction of 0, the mean, has loss 1.
    """
    predicted, output = output_forward(source.mean(-2), p)   # (..., Z), from the mean over the patches
    loss, error = squared_error_forward(predicted, pooled, total * pooled.shape[-1])
    return loss, (source.shape[-2], output, error)


def feature_regression_backward(dloss, cache, g):
    """dsource = dmean / P for every patch, as mean = sum(source) / P.  dloss scalar -> dsource (..., P, C)"""
    patches, output, error = cache
    dmean = output_backward(squared_error_backward(dloss, error), output, g)  # (..., C)
    return (dmean / patches)[..., None, :].repeat(patches, -2)
