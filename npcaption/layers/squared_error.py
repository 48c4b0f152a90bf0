"""Squared error of a regression."""


def squared_error_forward(x, target, total):
    """loss = sum((x - target)^2) / total.  x (...), target (...) -> scalar"""
    error = x - target.astype(x.dtype)                       # (...)
    return (error * error).sum() / total, (error, total)


def squared_error_backward(dloss, cache):
    """dx = dloss * 2 (x - target) / total: the derivative of the square. The target is data and needs no gradient."""
    error, total = cache
    return (error * (2 * dloss / total)).astype(error.dtype)  # (...)
