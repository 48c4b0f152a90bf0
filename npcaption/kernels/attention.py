"""Scaled dot-product attention of one image, head by head.

Heads are groups of columns: head h of q, k, v is D columns of its array, so self-attention's fused (T, 3C) and
cross-attention's (T, C) and (S, 2C) are read in place. Rows of queries go in blocks: a block's scores stay in the
nearest cache for the softmax and the product with v.
"""
import numpy as np

from .compilation import compiled, kernel
from .exponential import exp_of_negative
from .matmul import BYTES, pack_transposed, product
from .simd import F1, F2, F3, I, address, maximum
from .target import COLUMNS

BLOCK = 48  # rows of queries: 48 rows of 256 sources are 48 KiB


@compiled
def softmax_rows(att, first, last, causal, scale):
    """Turn rows first to last of att (T, S) from scores into probabilities, in place, after scaling them."""
    sources = att.shape[1]
    hidden = sources - att.shape[0]                          # the last row sees every source
    for i in range(first, last):
        row = att[i]
        seen = i + 1 + hidden if causal else sources
        peak = row[0]
        for j in range(seen):
            peak = maximum(peak, row[j])
        total = np.float32(0)
        for j in range(seen):
            e = exp_of_negative((row[j] - peak) * scale)
            row[j] = e
            total += e
        share = np.float32(1) / total
        for j in range(seen):
            row[j] *= share
        for j in range(seen, sources):
            row[j] = 0


@compiled
def attend(q, q_at, panels, kv, v_at, first, last, causal, scale, probabilities, out, out_at, size):
    """One head, rows first to last: probabilities (T, S) from the packed keys, and out = probabilities v."""
    sources = kv.shape[0]
    scores = address(probabilities, first * sources)
    product(address(q, first * q.shape[1] + q_at), BYTES * q.shape[1], BYTES,
            address(panels, 0), BYTES * COLUMNS, BYTES * COLUMNS * size, size,
            scores, BYTES * sources, last - first, sources, 0, 0)
    softmax_rows(probabilities, first, last, causal, scale)
    product(scores, BYTES * sources, BYTES, address(kv, v_at), BYTES * kv.shape[1], BYTES * COLUMNS, sources,
            address(out, first * out.shape[1] + out_at), BYTES * out.shape[1], last - first, size, 0, 0)


@kernel
def fused_attention_forward(
        q: F2, q_at: I, kv: F2, k_at: I, v_at: I, heads: I, causal: I,
        att: F3, out: F2, panels: F1):
    """out (T, H*D) and att (H, T, S).  q (T, .), k and v in kv (S, .), their first columns q_at, k_at, v_at.

    causal: as in the textbook, so S >= T.  panels: room for a head's keys, panels_size(D, S) numbers.
    """
    tokens, sources, size = q.shape[0], kv.shape[0], out.shape[1] // heads
    flat, scale = kv.reshape(-1), np.float32(1 / np.sqrt(size))
    for h in range(heads):
        h_at = h * size
        pack_transposed(flat, k_at + h_at, kv.shape[1], panels, size, sources)  # k^T
        for first in range(0, tokens, BLOCK):
            attend(q, q_at + h_at, panels, kv, v_at + h_at, first, min(first + BLOCK, tokens), causal, scale, att[h],
                   out, h_at, size)


@kernel
def fused_attention_backward(
        dout: F2, q: F2, q_at: I, kv: F2, k_at: I, v_at: I, heads: I,
        att: F3, dq: F2, dkv: F2, panels: F1, datt: F2):
    """Write dq and dkv, in the same columns as q, k and v; att (H, T, S) becomes dscores.

    dq has the shape of q, dkv the shape of kv; like q and kv, they may be one array.  datt: room for (BLOCK, S).
    """
    tokens, sources, size = q.shape[0], kv.shape[0], dout.shape[1] // heads
    q_row, kv_row, dout_row, att_row = BYTES * q.shape[1], BYTES * kv.shape[1], BYTES * dout.shape[1], BYTES * sources
    flat, scale = kv.reshape(-1), np.float32(1 / np.sqrt(size))
    for h in range(heads):
        probabilities = att[h]
        q_h, k_h, v_h = q_at + h * size, k_at + h * size, v_at + h * size
        pack_transposed(flat, v_h, kv.shape[1], panels, size, sources)  # v^T
        product(address(probabilities, 0), BYTES, att_row, address(dout, h * size), dout_row, BYTES * COLUMNS, tokens,
                address(dkv, v_h), kv_row, sources, size, 0, 0)  # dv = att^T dout
        for first in range(0, tokens, BLOCK):
            last = min(first + BLOCK, tokens)
            product(address(dout, first * dout.shape[1] + h * size), dout_row, BYTES,
                    address(panels, 0), BYTES * COLUMNS, BYTES * COLUMNS * size, size,
                    address(datt, 0), att_row, last - first, sources, 0, 0)  # datt = dout v^T
            for i in range(first, last):
                d, p = datt[i - first], probabilities[i]
                pull = np.float32(0)
                for j in range(sources):
                    pull += d[j] * p[j]
                for j in range(sources):
                    p[j] *= (d[j] - pull) * scale            # dscores
            product(address(probabilities, first * sources), att_row, BYTES, address(kv, k_h), kv_row, BYTES * COLUMNS,
                    sources, address(dq, first * q.shape[1] + q_h), q_row, last - first, size, 0, 0)  # dq = dscores k
        product(address(probabilities, 0), BYTES, att_row, address(q, q_h), q_row, BYTES * COLUMNS, tokens,
                address(dkv, k_h), kv_row, sources, size, 0, 0)  # dk = dscores^T q
