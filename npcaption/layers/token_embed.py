"""Sublayer: token embedding, from token ids to one vector per token."""
from .embedding import embedding_backward, embedding_forward, position_backward, position_forward
from .linear import linear_backward, linear_forward


def token_embed_forward(ids, p):
    """out = token[ids] W + b + position; without W and b if p has none.  ids (..., T) integers -> (..., T, C)

    The table's rows have C channels or, with W, the width E of the word vectors.
    """
    tokens, lookup = embedding_forward(ids, p["weight"])     # (..., T, C or E)
    proj = None
    if "proj.weight" in p:
        tokens, proj = linear_forward(tokens, p["proj.weight"], p["proj.bias"])  # (..., T, C)
    out, place = position_forward(tokens, p["position"])     # (..., T, C)
    return out, (lookup, proj, place)


def token_embed_backward(dout, cache, g):
    """The steps in reverse. Ids are integers and have no gradient."""
    lookup, proj, place = cache
    dtokens, dposition = position_backward(dout, place)      # (..., T, C), (L, C)
    g["position"] += dposition
    if proj is not None:
        dtokens, dw, db = linear_backward(dtokens, proj)     # (..., T, E), (E, C), (C,)
        g["proj.weight"] += dw
        g["proj.bias"] += db
    g["weight"] += embedding_backward(dtokens, lookup)       # (V, C or E)
