"""Mistakes in layers that only move numbers, windows and convolutions."""
import numpy as np

from npcaption import layers as L

from .common import mistake


def heads(cause, says, function):
    return mistake(function, cause, says, "heads")


@heads("reshaped without the swap of axes", r"(?i)swap|axes|transpos|reshape", "split_heads_backward")
def _(dout, cache):
    return dout.reshape(*dout.shape[:-3], dout.shape[-2], -1)


@heads("the heads' channels interleaved: head index last",
       r"(?i)order|interleav|axes|last|channel", "split_heads_backward")
def _(dout, cache):
    d = np.moveaxis(dout, -3, -1)
    return d.reshape(*d.shape[:-2], -1)


@heads("the heads summed", r"(?i)shape|sum", "split_heads_backward")
def _(dout, cache):
    return dout.sum(-3)


@heads("reshaped to heads without the swap", r"(?i)swap|axes|transpos|reshape", "merge_heads_backward")
def _(dout, cache):
    heads, = cache
    return dout.reshape(*dout.shape[:-2], heads, dout.shape[-2], -1)


@heads("the token and head axes left as they are", r"(?i)swap|axes|transpos|shape", "merge_heads_backward")
def _(dout, cache):
    heads, = cache
    return dout.reshape(*dout.shape[:-1], heads, -1)


@heads("channels split as (D, H)", r"(?i)order|interleav|axes|channel", "merge_heads_backward")
def _(dout, cache):
    heads, = cache
    d = dout.reshape(*dout.shape[:-1], -1, heads)
    return np.moveaxis(d, -1, -3)


@mistake("patches_backward", "reshaped in one go: patches never taken apart", r"(?i)order|moved|axes|swap|reshape")
def _(dout, cache):
    n, size, channels = cache
    return dout.reshape(*dout.shape[:-2], n * size, n * size, channels)


@mistake("patches_backward", "channels taken as last in a patch", r"(?i)order|channel|axes|\(c, y, x\)")
def _(dout, cache):
    n, size, channels = cache
    d = dout.reshape(*dout.shape[:-2], n, n, size, size, channels)
    return d.swapaxes(-4, -3).reshape(*dout.shape[:-2], n * size, n * size, channels)


@mistake("patches_backward", "rows and columns of the image exchanged", r"(?i)order|transpos|rows|columns|axes")
def _(dout, cache):
    dx = L.patches_backward(dout, cache)
    return dx.swapaxes(-2, -3)


@mistake("patches_backward", "rows and columns inside a patch exchanged", r"(?i)order|transpos|rows|columns|axes")
def _(dout, cache):
    n, size, channels = cache
    d = dout.reshape(*dout.shape[:-2], n, n, channels, size, size).swapaxes(-1, -2)
    return L.patches_backward(d.reshape(dout.shape), cache)


@mistake("windows_backward", "= in place of +=: the last window wins", r"(?i)overlap|last|sum|add")
def _(dout, cache):
    shape, side, size, stride = cache
    margin = size // 2
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    dp = np.zeros(shape)
    for y in range(size):
        for x in range(size):
            dp[..., y:y + side:stride, x:x + side:stride, :] = d[..., y, x, :]
    return dp[..., margin:margin + side, margin:margin + side, :]


@mistake("windows_backward", "the margin is not cut off", r"(?i)margin|shape|pad")
def _(dout, cache):
    shape, side, size, stride = cache
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    dp = np.zeros(shape)
    for y in range(size):
        for x in range(size):
            dp[..., y:y + side:stride, x:x + side:stride, :] += d[..., y, x, :]
    return dp


@mistake("windows_backward", "the corner cut in the margin's place", r"(?i)margin|shift|corner|pad")
def _(dout, cache):
    shape, side, size, stride = cache
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    dp = np.zeros(shape)
    for y in range(size):
        for x in range(size):
            dp[..., y:y + side:stride, x:x + side:stride, :] += d[..., y, x, :]
    return dp[..., :side, :side, :]


@mistake("windows_backward", "only the window's middle sends back", r"(?i)middle|centre|center|overlap|window")
def _(dout, cache):
    shape, side, size, stride = cache
    d = dout.reshape(*dout.shape[:-1], size, size, -1)
    dx = np.zeros((*shape[:-3], side, side, shape[-1]))
    dx[..., ::stride, ::stride, :] = d[..., size // 2, size // 2, :]
    return dx


@mistake("windows_backward", "averaged over how many windows hold a pixel", r"(?i)average|mean|overlap|count")
def _(dout, cache):
    counts = L.windows_backward(np.ones_like(dout), cache)
    return L.windows_backward(dout, cache) / np.maximum(counts, 1)


@mistake("convolution_backward", "db summed over the batch only", r"(?i)summed over ax")
def _(dout, cache):
    dx, dw, db = L.convolution_backward(dout, cache)
    return dx, dw, dout.sum(0)


@mistake("convolution_backward", "the windows' gradient returned for dx", r"(?i)window|shape")
def _(dout, cache):
    unfold, linear = cache
    return L.linear_backward(dout, linear)


@mistake("convolution_backward", "dw averaged over the windows", r"(?i)times too small")
def _(dout, cache):
    dx, dw, db = L.convolution_backward(dout, cache)
    return dx, dw / dout.shape[-2] ** 2, db
