"""The linear layer, with and without a bias.  I channels in, O channels out."""


def projection_forward(x, w):
    """out = x w over the last axis.  x (..., I), w (I, O) -> (..., O)"""
    rows = x.reshape(-1, w.shape[0])                         # (rows, I): one matrix product for the whole batch
    return (rows @ w).reshape(*x.shape[:-1], w.shape[1]), (x, w)


def projection_backward(dout, cache):
    """out_o = sum_i x_i w_io, so

    dx_i  = sum_o dout_o w_io                                   that is dout w^T
    dw_io = x_i dout_o, summed over all rows, as each used w    that is x^T dout
    """
    x, w = cache
    drows = dout.reshape(-1, w.shape[1])                     # (rows, O)
    dx = (drows @ w.T).reshape(x.shape)                      # (..., I)
    dw = x.reshape(-1, w.shape[0]).T @ drows                 # (I, O)
    return dx, dw


def linear_forward(x, w, b):
    """out = x w + b over the last axis.  x (..., I), w (I, O), b (O,) -> (..., O)"""
    out, cache = projection_forward(x, w)
    out += b
    return out, cache


def linear_backward(dout, cache):
    """The projection's backward; b was added to every row, so db is the sum of dout over the rows."""
    dx, dw = projection_backward(dout, cache)
    db = dout.reshape(-1, dout.shape[-1]).sum(0)             # (O,)
    return dx, dw, db
