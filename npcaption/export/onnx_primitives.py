"""ONNX primitives: replacements for the textbook's functions that ONNX has operators for, on values of a graph.

Each has the name, arguments and formula of its namesake in npcaption.layers; its cache fits the backward there or here.
All other functions of the textbook run on values unchanged.
"""
import numpy as np
from onnx import numpy_helper

from ..layers.convolution import WINDOW
from ..layers.cross_entropy import PADDING
from ..layers.layernorm import EPSILON
from .onnx_graph import op


def erf(x):
    return op("Erf", x)


def projection_forward(x, w):
    return x @ w, (x, w)


def projection_backward(dout, cache):
    """dx = dout w^T, dw = x^T dout over all rows"""
    x, w = cache
    return dout @ w.T, op("Gemm", x.reshape(-1, w.shape[0]), dout.reshape(-1, w.shape[1]), transA=1)


def layernorm_forward(x, w, b):
    """The operator's other outputs are the mean and one over the standard deviation, (..., 1) each."""
    out, mean, rstd = op("LayerNormalization", x, w, b, outputs=3, axis=-1, epsilon=EPSILON)
    return out, ((x - mean) * rstd, rstd, w)


def attention_forward(q, k, v, causal):
    """causal: -inf above the diagonal; every sequence is complete here, so T = S"""
    scale = q.shape[-1] ** -0.5
    scores = q @ k.T * scale                                 # (..., H, T, S)
    if causal:
        hidden = numpy_helper.from_array(np.array([-np.inf], scores.dtype))
        nowhere = op("ConstantOfShape", op("Shape", scores, start=-2), value=hidden).known_as(*scores.shape[-2:])
        scores = scores + op("Trilu", nowhere, np.array(1), upper=1)  # 0 on and below it
    att = op("Softmax", scores, axis=-1)                     # (..., H, T, S)
    return att @ v, (q, k, v, att, scale)


def embedding_backward(dout, cache):
    """dw = onehot(ids)^T dout: always the same order of the sum over a repeated token, unlike a scatter."""
    ids, w = cache
    rows = op("OneHot", op("Reshape", ids, [-1]), np.array(w.shape[0]), np.array([0, 1], w.dtype))  # (rows, V)
    return op("Gemm", rows, dout.reshape(-1, w.shape[1]), transA=1)


def position_forward(x, w):
    if x.shape[-2] == w.shape[0]:                             # an image: the whole table
        return x + w, (w,)
    length = op("Shape", x, start=-2, end=-1)                # [T]
    return x + op("Slice", w, [0], length, [0]).known_as(x.shape[-2], w.shape[1]), (w,)


def position_backward(dout, cache):
    """dw is 0 after the sequence's last position."""
    w, = cache
    dw = dout.sum(0)                                         # (T, C)
    if dw.shape != w.shape:
        missing = op("Shape", w, end=1) - op("Shape", dw, end=1)  # [L - T]
        zeros = op("ConstantOfShape", op("Concat", missing, [w.shape[1]], axis=0)).known_as("L - T", w.shape[1])
        dw = np.concatenate([dw, zeros], axis=0).known_as(*w.shape)
    return dout, dw


def convolution_forward(x, w, b, stride):
    """The operator has channels first, and a kernel (O, C, 3, 3)."""
    kernel = w.reshape(WINDOW, WINDOW, x.shape[-1], w.shape[1]).transpose(3, 2, 0, 1)
    out = op("Conv", x.transpose(0, 3, 1, 2), kernel, b, pads=[WINDOW // 2] * 4, strides=[stride] * 2)
    return out.transpose(0, 2, 3, 1), (x, kernel, w, stride)


def convolution_backward(dout, cache):
    """dx = dout spread out again, its windows added up; dw = sum over all windows of x times dout.

    dw is a convolution, too: x, with the images as channels, by dout, dilated by `stride`. rest: rows after the last
    window's centre, in place of the margin there.
    """
    x, kernel, w, stride = cache
    dfirst = dout.transpose(0, 3, 1, 2)                      # (B, O, N, N)
    margin, rest = WINDOW // 2, x.shape[-2] - (dout.shape[-2] - 1) * stride - 1
    dx = op("ConvTranspose", dfirst, kernel, pads=[margin] * 4, strides=[stride] * 2, output_padding=[rest] * 2)
    dkernel = op("Conv", x.transpose(3, 0, 1, 2), dfirst.transpose(1, 0, 2, 3), dilations=[stride] * 2,
                 pads=[margin, margin, margin - rest, margin - rest])  # (C, O, 3, 3)
    dw = dkernel.transpose(2, 3, 0, 1).reshape(*w.shape)     # (9*C, O)
    return dx.transpose(0, 2, 3, 1), dw, dout.reshape(-1, w.shape[1]).sum(0)


def cross_entropy_forward(logits, targets, total, weights=None):
    """For captions of equal weight; total is a Value, too."""
    assert weights is None
    log_probs = op("LogSoftmax", logits, axis=-1)            # (..., T, V)
    picked = op("Squeeze", op("GatherElements", log_probs, targets[..., None], axis=logits.ndim - 1), [-1])  # (..., T)
    shares = op("Not", op("Equal", targets, PADDING)).astype(logits.dtype)  # (..., T)
    return -(picked * shares).sum() / total, (log_probs, targets, shares, total)


def cross_entropy_backward(dloss, cache):
    log_probs, targets, shares, total = cache
    onehot = op("OneHot", targets, np.array(log_probs.shape[-1]), np.array([0, 1], log_probs.dtype))
    return (np.exp(log_probs) - onehot) * (shares / total * dloss)[..., None]  # dloss / total crashes ONNX Runtime 1.20
