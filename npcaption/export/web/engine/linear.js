// The linear layer, with and without a bias.  I channels in, O channels out.
"use strict";

function projection_forward(x, w) {
  // out = x w over the last axis.  x (..., I), w (I, O) -> (..., O)
  const out = matmul(matrix(x), w);
  return [reshaped(out, ...x.shape.slice(0, -1), w.shape[1]), {x, w}];
}

function projection_backward(dout, {x, w}) {
  // dx = dout w^T,  dw = x^T dout, summed over all rows, as each used w
  const drows = matrix(dout);                                 // (rows, O)
  const dx = reshaped(matmul(drows, transposed(w)), ...x.shape);  // (..., I)
  const dw = matmul(transposed(matrix(x)), drows);            // (I, O)
  return [dx, dw];
}

function linear_forward(x, w, b) {
  // out = x w + b over the last axis.  x (..., I), w (I, O), b (O,) -> (..., O)
  const [out, cache] = projection_forward(x, w), O = w.shape[1];
  for (let i = 0, o = 0; i < out.data.length; i++, o = o + 1 === O ? 0 : o + 1) out.data[i] += b.data[o];
  return [out, cache];
}

function linear_backward(dout, cache) {
  // dx = dout w^T,  dw = x^T dout,  db = the sum of dout over the rows, as b was added to each
  const [dx, dw] = projection_backward(dout, cache);
  return [dx, dw, sum_of_rows(dout)];
}
