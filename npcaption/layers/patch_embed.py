"""Sublayer: from pixels to one vector a patch, perhaps by way of convolutions."""
from .embedding import position_backward, position_forward
from .linear import linear_backward, linear_forward
from .patches import patches_backward, patches_forward
from .stem import stem_backward, stem_forward


def patch_embed_forward(image, p, patch_size):
    """out = patches(stem(image / 127.5 - 1)) W + b + position.  image (..., S, S, 3), 0 to 255 -> (..., P, C)

    The stem is the identity where p has no convolutions; patch_size is in pixels of what it makes.
    """
    pixels = image.astype(p["proj.weight"].dtype) / 127.5    # (..., S, S, 3)
    pixels -= 1                                              # -1 to 1
    x, stem = stem_forward(pixels, p)                        # (..., S/2^n, S/2^n, O)
    patches, cut = patches_forward(x, patch_size)            # (..., P, O*patch_size*patch_size)
    projected, proj = linear_forward(patches, p["proj.weight"], p["proj.bias"])  # (..., P, C)
    out, place = position_forward(projected, p["position"])
    return out, (stem, cut, proj, place, image.dtype)


def patch_embed_backward(dout, cache, g):
    """The steps in reverse; dimage is per unit of the 0 to 255 scale, so it has the forward's 1 / 127.5.

    An image of integers has no gradient, as token ids have none: training's images are such, and None comes back.
    """
    stem, cut, proj, place, dtype = cache
    dprojected, dposition = position_backward(dout, place)
    dpatches, dw, db = linear_backward(dprojected, proj)
    g["position"] += dposition
    g["proj.weight"] += dw
    g["proj.bias"] += db
    dpixels = stem_backward(patches_backward(dpatches, cut), stem, g)  # (..., S, S, 3)
    return dpixels / 127.5 if dtype.kind == "f" else None
