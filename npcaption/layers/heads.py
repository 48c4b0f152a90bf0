"""Attention heads: split the channels into H groups of D, one group per head, and merge them again."""


def split_heads_forward(x, heads):
    """Head h takes the channels h*D to (h+1)*D.  x (..., T, H*D) -> (..., H, T, D)

    The cache is empty: the backward needs only the shape.
    """
    parted = x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)  # (..., T, H, D)
    return parted.swapaxes(-2, -3), ()


def split_heads_backward(dout, cache):
    """The inverse permutation, which is the merge.  dout (..., H, T, D) -> (..., T, H*D)"""
    parted = dout.swapaxes(-2, -3)                           # (..., T, H, D)
    return parted.reshape(*parted.shape[:-2], -1)            # (..., T, H*D)


def merge_heads_forward(x):
    """The heads' outputs side by side.  x (..., H, T, D) -> (..., T, H*D)"""
    parted = x.swapaxes(-2, -3)                              # (..., T, H, D)
    return parted.reshape(*parted.shape[:-2], -1), (x.shape[-3],)


def merge_heads_backward(dout, cache):
    """The inverse permutation, which is the split.  dout (..., T, H*D) -> (..., H, T, D)"""
    heads, = cache
    parted = dout.reshape(*dout.shape[:-1], heads, dout.shape[-1] // heads)  # (..., T, H, D)
    return parted.swapaxes(-2, -3)                           # (..., H, T, D)
