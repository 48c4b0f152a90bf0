"""Diagnosis: find the mistake behind a wrong gradient. The right gradient's terms are fitted to it by least squares.

If they fit exactly, the coefficients are the diagnosis: 0 is a missing term, -1 a wrong sign, C a sum for a mean.
Otherwise the terms of every typical mistake are tried, one and two mistakes at a time. A finding must be exact to 1e-8;
without a finding, only the wrong places are reported.
"""
from collections.abc import Callable
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

EXACT = 1e-8
# Constants in the formulas.
NUMBERS = {"2": 2, "4": 4, "sqrt(2)": 2 ** 0.5, "sqrt(8)": 8 ** 0.5, "sqrt(2 pi)": (2 * np.pi) ** 0.5,
           "2 pi": 2 * np.pi, "sqrt(pi)": np.pi ** 0.5, "127.5": 127.5, "127.5^2": 127.5 ** 2}


class Knowledge(NamedTuple):
    """Facts about the right gradient of one argument."""
    true: np.ndarray
    terms: Callable             # () -> [{name: addend}], the coarse ones first
    variants: Callable          # () -> {sentences: terms of a wrong gradient}
    others: dict                # {name: array} that may replace it, be added to it, or multiply it
    sizes: dict                 # {name: number}, the names of factors
    reasons: dict               # {term: the reason for it}
    factors: dict               # {name: array}, wrong factors or divisors of a term


def close(a, b):
    """Whether a equals b up to rounding. A b that is not finite explains nothing."""
    fits = np.shape(a) == np.shape(b) and bool(np.isfinite(b).all())
    return fits and np.abs(a - b).max(initial=0) <= EXACT * max(np.abs(b).max(initial=0), 1e-12)


def causes(got, known):
    """Sentences on the cause of wrong numbers in a gradient of the right shape; [] if none is found."""
    if not np.any(got):
        return ["it is zero everywhere"]
    factor = multiple(got, known.true)
    if factor is not None and name_of(factor, known.sizes)[1]:
        return [f"it {name_of(factor, known.sizes)[0]}"]
    for terms in known.terms():
        fitted = fit(got, terms)
        if fitted is not None and all(c == 0 or name_of(c, known.sizes)[1] for c in fitted.values()):
            return sentences_on(fitted, known)
    for sentences, terms in known.variants().items():
        if close(got, sum(terms.values())):
            return list(sentences)
    for name, other in known.others.items():
        if close(got, other):
            return [f"this is {name}"]
    for sentences, terms in known.variants().items():        # a typical mistake, and a factor or a missing term with it
        wrong = multiple(got, sum(terms.values()))
        if wrong is not None and name_of(wrong, known.sizes)[1]:
            return [*sentences, f"besides, it {name_of(wrong, known.sizes)[0]}"]
        fitted = fit(got, terms)
        if fitted is not None and all(c == 0 or name_of(c, known.sizes)[1] for c in fitted.values()):
            return [*sentences, *sentences_on(fitted, known)]
    return multiplied(got, known) or added(got, known) or moved(got, known)


def where(got, known):
    """Findings without a cause: a factor without a name, or a few wrong places."""
    factor = multiple(got, known.true)
    if factor is not None:
        return [f"it {name_of(factor, known.sizes)[0]}"]
    found = next((sentences_on(fitted, known) for terms in known.terms() if (fitted := fit(got, terms))), [])
    return found or places(got, known)


def multiple(got, of):
    """c if got = c of, else None."""
    square = float((of * of).sum())
    if not square or not np.isfinite(square):
        return None
    c = float((got * of).sum()) / square
    return c if c and close(c * of, got) else None


def fit(got, terms):
    """{term: coefficient} if a unique combination of the terms gives the gradient, else None."""
    if len(terms) < 2 or not all(np.isfinite(a).all() for a in terms.values()):
        return None
    columns = np.stack([np.broadcast_to(a, got.shape).ravel() for a in terms.values()], 1)
    length = np.linalg.norm(columns, axis=0)
    if not length.all():
        return None
    c, _, rank, _ = np.linalg.lstsq(columns / length, got.ravel(), rcond=1e-9)
    exact = rank == len(length) and close((columns / length) @ c, got.ravel())
    c = np.where(np.abs(c) < 1e-6 * np.abs(c).max(), 0, c / length)
    return dict(zip(terms, c)) if exact else None


def sentences_on(fitted, known):
    """Sentences on the coefficients other than 1."""
    found = []
    for term, c in fitted.items():
        if c == 0:
            found.append(f"{term} is missing" + (f": {known.reasons[term]}" if term in known.reasons else ""))
        elif abs(c - 1) > 1e-6:
            found.append(f"{term} {name_of(c, known.sizes)[0]}")
    return found


def name_of(c, sizes):
    """A factor in words, and whether it has a name."""
    sign = "has the wrong sign and " if c < 0 else ""
    c = abs(c)
    if abs(c - 1) < 1e-6:
        return sign.removesuffix(" and ") or "is right", True
    named = dict(sizes)
    named |= {f"{a} {b}": sizes[a] * sizes[b] for a, b in combinations(sizes, 2)}
    named |= {f"{a} {b} {d}": sizes[a] * sizes[b] * sizes[d] for a, b, d in combinations(sizes, 3)}
    named |= {f"sqrt({a})": sizes[a] ** 0.5 for a in sizes} | {f"{a}^2": sizes[a] ** 2 for a in sizes}
    named |= NUMBERS
    for name, n in named.items():
        value = f" = {n:.4g}" if not name[0].isdigit() else ""
        if abs(c - n) < 1e-6 * n:
            return f"{sign}is {name}{value} times too large", True
        if abs(c * n - 1) < 1e-6:
            return f"{sign}is {name}{value} times too small", True
    for a, b in permutations(sizes, 2):
        if abs(c - (sizes[a] / sizes[b]) ** 0.5) < 1e-6 * c:
            return f"{sign}has sqrt({a}) instead of sqrt({b}), or vice versa", True
        if abs(c - sizes[a] ** 0.5 / sizes[b]) < 1e-6 * c:
            return f"{sign}is sqrt({a}) / {b} = {c:.4g} times the correct value", True
    for name, n in named.items():
        if "total" in sizes and abs(c - sizes["total"] / n) < 1e-6 * c:
            return f"{sign}is divided by {name} = {n:.4g} instead of total = {sizes['total']}", True
    return f"{sign}is {c:.4g} times the correct value", False


def multiplied(got, known):
    """Terms multiplied or divided by each other, or some of them by a factor of the formula."""
    for terms in known.terms():
        if len(terms) == 2 and close(got, np.prod(list(terms.values()), 0)):
            return [f"{' and '.join(terms)} are multiplied; they must be added"]
    for terms in known.terms() or [{"": known.true}]:
        for name, by in known.factors.items():
            for some in (some for k in range(len(terms), 0, -1) for some in combinations(terms, k)):
                rest = sum(value for term, value in terms.items() if term not in some)
                for how, words in ((np.multiply, "is multiplied in once too often"),
                                   (np.divide, "is left out, or divided by once too often")):
                    try:
                        with np.errstate(all="ignore"):
                            wrong = rest + sum(how(terms[term], by) for term in some)
                    except ValueError:                       # shapes that do not broadcast
                        continue
                    if close(got, wrong):
                        which = f"in {' and '.join(some)} " if len(some) < len(terms) else ""
                        return [f"{which}{name} {words}"]
    return []


def added(got, known):
    """The right gradient plus another array."""
    rest = got - known.true
    for name, other in known.others.items():
        for kind, value in reduced(other, got.shape):
            c = multiple(rest, value)
            if c is not None and (abs(abs(c) - 1) < 1e-6 or np.ptp(value)):
                times = "" if abs(c - 1) < 1e-6 else f" {c:.4g} times"
                return [f"{name}{kind} is added to it{times}"]
    if np.ptp(rest) < EXACT * np.abs(got).max():
        return [f"{rest.flat[0]:.4g} is added to every entry"]
    for axis in range(got.ndim):
        for how in ("sum", "mean"):
            same = getattr(known.true, how)(axis, keepdims=True)
            if got.shape[axis] > 1 and close(got, same + 0 * got):
                return [f"along axis {axis} it is the same everywhere, the {how} over the axis; each place has its own "
                        f"gradient"]
    return []


def reduced(other, shape):
    """Reductions of an array to a shape."""
    other = np.asarray(other)
    fits = [("", other)] + [(f" summed over axis {axis}", other.sum(axis, keepdims=True)) for axis in range(other.ndim)]
    if other.ndim > 1 and len(shape) > 1 and other.shape[-2] > shape[-2]:
        fits.append((" truncated", other[..., :shape[-2], :]))
    for kind, value in fits:
        try:
            yield kind, np.broadcast_to(value, shape)
        except ValueError:
            continue


def moved(got, known):
    if got.size > 1 and np.ptp(known.true) and close(np.sort(got.ravel()), np.sort(known.true.ravel())):
        return ["all numbers are right, but at other places: check the order of the axes"]
    if got.size > 1 and close(np.abs(got), np.abs(known.true)):
        return ["only signs are wrong: an absolute value, or a wrong sign at some places"]
    return []


def places(got, known):
    """The wrong places, if they are few along one axis."""
    wrong = np.abs(got - known.true) > EXACT * np.abs(known.true).max()
    for axis in range(got.ndim):
        along = wrong.any(tuple(a for a in range(got.ndim) if a != axis))
        if along.sum() <= max(1, len(along) // 2):
            at = ", ".join(map(str, np.flatnonzero(along)[:5]))
            return [f"it is right except at {at} of its axis {axis}"]
    return []
