// Lookup tables: one row for each token id, one row for each position.
"use strict";

function embedding_forward(ids, w) {
  // out_t = w[ids_t].  ids (T) integers, w (V, C) -> (T, C)
  const C = columns_of(w), out = zeros(ids.length, C);
  ids.forEach((id, t) => out.data.set(w.data.subarray(id * C, (id + 1) * C), t * C));
  return [out, {ids, w}];
}

function embedding_backward(dout, {ids, w}) {
  // dw_v is the sum of dout over the places that hold id v: a repeated token collects from each of them
  const C = columns_of(w), dw = zeros_like(w);
  ids.forEach((id, t) => {
    for (let c = 0; c < C; c++) dw.data[id * C + c] += dout.data[t * C + c];
  });
  return dw;
}

function position_forward(x, w) {
  // out_t = x_t + w_t, a learned vector for each place.  x (T, C), w (L, C), L >= T -> (T, C)
  const out = zeros_like(x);
  for (let i = 0; i < out.data.length; i++) out.data[i] = x.data[i] + w.data[i];
  return [out, {w}];
}

function position_backward(dout, {w}) {
  // dx = dout,  dw_t = dout_t, and 0 beyond T
  const dw = zeros_like(w);
  dw.data.set(dout.data);
  return [dout, dw];
}
