"""Diagnosis of a gradient with a wrong shape: find the operation that would make it right."""
from itertools import combinations, permutations

import numpy as np

from .diagnose import close, multiple, name_of


def shape_causes(got, known):
    """Sentences on a gradient with a wrong shape, naming the operation that would make it right."""
    true = known.true
    message = f"its shape is {got.shape}; it must be {true.shape}"
    if not got.size:
        return [f"{message}: it is empty"]
    if got.size == true.size and close(got.reshape(true.shape), true):
        return [f"{message}: reshaped, it is right"]
    for axes in (axes for k in range(1, got.ndim + 1) for axes in combinations(range(got.ndim), k)):
        for turned, note in ((got.sum(axes), ""), (got.sum(axes).T, " and transposed")):
            factor = multiple(turned, true) if turned.shape == true.shape else None
            if factor is not None:
                also = "" if abs(factor - 1) < 1e-6 else f", except that it {name_of(factor, known.sizes)[0]}"
                return [f"{message}: summed over axes {axes}{note}, it is right{also}"]
    if got.ndim == true.ndim and sorted(got.shape) == sorted(true.shape) and got.ndim <= 5:
        for order in permutations(range(got.ndim)):
            turned = got.transpose(order)
            factor = multiple(turned, true) if turned.shape == true.shape else None
            if factor is not None:
                also = "" if abs(factor - 1) < 1e-6 else f"; besides, it {name_of(factor, known.sizes)[0]}"
                return [f"{message}: it is transposed, with its axes in the order {order}{also}"]
    for axes in (axes for k in range(1, true.ndim) for axes in combinations(range(true.ndim), k)):
        factor = multiple(got, true.sum(axes)) if got.shape == true.sum(axes).shape else None
        if factor is not None:
            also = "" if abs(factor - 1) < 1e-6 else f", and this {name_of(factor, known.sizes)[0]}"
            return [f"{message}: this is the right gradient summed over axes {axes}{also}; keep these axes"]
    for name, other in known.others.items():
        for k in range(np.ndim(other)):
            for axes in combinations(range(np.ndim(other)), k):
                if close(got, np.sum(other, axes)):
                    how = f" summed over ax{'i' if k == 1 else 'e'}s {', '.join(map(str, axes))}" if axes else ""
                    return [f"{message}: this is {name}{how}"]
    return partial(got, true, message) or [message]


def partial(got, true, message):
    """Sentences on a gradient that is a part of the right one, or contains it."""
    if got.ndim != true.ndim:
        return []
    axis = [a for a in range(got.ndim) if got.shape[a] != true.shape[a]]
    short, long = (got, true) if got.size < true.size else (true, got)
    if any(short.shape[a] > long.shape[a] for a in axis):
        return []
    for start in ("first", "middle"):
        part = tuple(slice((n - m) // 2 if start == "middle" else 0, None) for n, m in zip(long.shape, short.shape))
        inside = long[part][tuple(slice(0, m) for m in short.shape)]
        if close(inside, short):
            if short is got:
                return [f"{message}: these are the {start} rows of the right gradient; the other rows are missing"]
            return [f"{message}: it has a margin or rows that must be cut off"]
    return []
