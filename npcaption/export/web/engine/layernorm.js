// Layer normalisation over the channels (Ba, Kiros, Hinton 2016, arXiv:1607.06450).
"use strict";

const EPSILON = 1e-5;                                         // keeps the division finite where all channels are equal

function layernorm_forward(x, w, b) {
  // out = w xhat + b,  xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps).  x (..., C), w and b (C,) -> (..., C)
  const C = columns_of(x), R = rows_of(x), out = zeros_like(x), xhat = zeros_like(x), rstd = zeros(R);
  for (let r = 0; r < R; r++) {
    const at = r * C;
    let mean = 0, variance = 0;
    for (let c = 0; c < C; c++) mean += x.data[at + c] / C;
    for (let c = 0; c < C; c++) variance += (x.data[at + c] - mean) ** 2 / C;
    rstd.data[r] = 1 / Math.sqrt(variance + EPSILON);
    for (let c = 0; c < C; c++) {
      xhat.data[at + c] = (x.data[at + c] - mean) * rstd.data[r];
      out.data[at + c] = w.data[c] * xhat.data[at + c] + b.data[c];
    }
  }
  return [out, {xhat, rstd, w}];
}

function layernorm_backward(dout, {xhat, rstd, w}) {
  // dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat)),  dxhat = dout w
  const C = columns_of(dout), R = rows_of(dout), dx = zeros_like(dout), dw = zeros(C), db = zeros(C);
  for (let r = 0; r < R; r++) {
    const at = r * C;
    let mean = 0, along = 0;                                  // of dxhat, and of dxhat xhat
    for (let c = 0; c < C; c++) {
      const dxhat = dout.data[at + c] * w.data[c];
      mean += dxhat / C;
      along += dxhat * xhat.data[at + c] / C;
    }
    for (let c = 0; c < C; c++) {
      const dxhat = dout.data[at + c] * w.data[c];
      dx.data[at + c] = rstd.data[r] * (dxhat - mean - xhat.data[at + c] * along);
      dw.data[c] += dout.data[at + c] * xhat.data[at + c];
      db.data[c] += dout.data[at + c];
    }
  }
  return [dx, dw, db];
}
