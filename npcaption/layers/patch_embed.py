"""Sublayer: patch embedding, from pixels to one vector per patch, through convolutions if the model has any."""
from .embedding import position_backward, position_forward
from .linear import linear_backward, linear_forward
from .patches import patches_backward, patches_forward
from .stem import stem_backward, stem_forward


def patch_embed_forward(image, p, patch_size, stem):
    """out = patches(stem(image / 127.5 - 1)) W + b + position.  image (..., A, A, 3), 0 to 255 -> (..., P, C)

    patch_size: pixels along a side, in the stem's output.  stem: its convolutions, see stem_forward; () for none.
    """
    pixels = image.astype(p["proj.weight"].dtype) / 127.5    # (..., A, A, 3)
    pixels -= 1                                              # -1 to 1
    x, convolved = stem_forward(pixels, p, stem)             # (..., A / 2^n, A / 2^n, O)
    patches, unfold = patches_forward(x, patch_size)         # (..., P, O*patch_size*patch_size)
    projected, proj = linear_forward(patches, p["proj.weight"], p["proj.bias"])  # (..., P, C)
    out, place = position_forward(projected, p["position"])  # (..., P, C)
    return out, (convolved, unfold, proj, place, image.dtype)


def patch_embed_backward(dout, cache, g):
    """The steps in reverse; dimage is per unit of the 0 to 255 scale, so it has the forward's 1 / 127.5.

    An integer image, as in training, has no gradient, like token ids: dimage is None.
    """
    convolved, unfold, proj, place, dtype = cache
    dprojected, dposition = position_backward(dout, place)   # (..., P, C), (P, C)
    dpatches, dw, db = linear_backward(dprojected, proj)     # (..., P, I), (I, C), (C,)
    g["position"] += dposition
    g["proj.weight"] += dw
    g["proj.bias"] += db
    dx = patches_backward(dpatches, unfold)                  # (..., A / 2^n, A / 2^n, O)
    dpixels = stem_backward(dx, convolved, g)                # (..., A, A, 3)
    return dpixels / 127.5 if dtype.kind == "f" else None
