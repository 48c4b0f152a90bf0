"""Sublayer: from token ids to one vector a token."""
from .embedding import embedding_backward, embedding_forward, position_backward, position_forward


def token_embed_forward(ids, p):
    """out = token[ids] + position.  ids (..., T) integers -> (..., T, C)"""
    tokens, lookup = embedding_forward(ids, p["weight"])     # (..., T, C)
    out, place = position_forward(tokens, p["position"])     # (..., T, C)
    return out, (lookup, place)


def token_embed_backward(dout, cache, g):
    """The two steps in reverse. Ids are integers and have no gradient."""
    lookup, place = cache
    dtokens, dposition = position_backward(dout, place)      # (..., T, C), (L, C)
    g["position"] += dposition
    g["weight"] += embedding_backward(dtokens, lookup)       # (V, C)
