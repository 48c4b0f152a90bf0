// Backwards with one mistake each, to be switched on: the check notices, though the model still runs.
"use strict";

function layernorm_backward_without_mean(dout, {xhat, rstd, w}) {
  // dx = rstd (dxhat - xhat mean(dxhat xhat)): mean(dxhat) is missing
  const C = columns_of(dout), R = rows_of(dout), dx = zeros_like(dout), dw = zeros(C), db = zeros(C);
  for (let r = 0; r < R; r++) {
    const at = r * C;
    let along = 0;
    for (let c = 0; c < C; c++) along += dout.data[at + c] * w.data[c] * xhat.data[at + c] / C;
    for (let c = 0; c < C; c++) {
      dx.data[at + c] = rstd.data[r] * (dout.data[at + c] * w.data[c] - xhat.data[at + c] * along);  // - mean(dxhat)
      dw.data[c] += dout.data[at + c] * xhat.data[at + c];
      db.data[c] += dout.data[at + c];
    }
  }
  return [dx, dw, db];
}

function attention_backward_without_mean(dout, {q, k, v, att, scale}) {
  // dscores = att datt: the softmax's sum(datt att) is missing
  const [H, T, D] = q.shape, S = k.shape[1], dq = zeros_like(q), dk = zeros_like(k), dv = zeros_like(v);
  for (let h = 0; h < H; h++) for (let t = 0; t < T; t++) for (let s = 0; s < S; s++) {
    const here = (h * T + t) * D, there = (h * S + s) * D, weight = att.data[(h * T + t) * S + s];
    let datt = 0;
    for (let d = 0; d < D; d++) datt += dout.data[here + d] * v.data[there + d];
    for (let d = 0; d < D; d++) {
      dv.data[there + d] += weight * dout.data[here + d];
      dq.data[here + d] += weight * datt * scale * k.data[there + d];  // - mean of datt
      dk.data[there + d] += weight * datt * scale * q.data[here + d];
    }
  }
  return [dq, dk, dv];
}

function gelu_backward_without_density(dout, {x, cdf}) {
  // dx = dout Phi(x): the product rule's second term, x phi(x), is missing
  const dx = zeros_like(x);
  for (let i = 0; i < x.data.length; i++) dx.data[i] = dout.data[i] * cdf.data[i];
  return dx;
}

function mlp_backward_without_residual(dout, {norm, up, gelu, down}, g) {
  // dx = dinner: the way around the branch is missing
  const inner = zeros_like(dout), whole = mlp_backward_as_written(dout, {norm, up, gelu, down}, g);
  for (let i = 0; i < inner.data.length; i++) inner.data[i] = whole.data[i] - dout.data[i];
  return inner;
}

function embedding_backward_without_sum(dout, {ids, w}) {
  // dw_v = dout of the last place that holds id v: a repeated token forgets the others
  const C = columns_of(w), dw = zeros_like(w);
  ids.forEach((id, t) => dw.data.set(dout.data.subarray(t * C, (t + 1) * C), id * C));
  return dw;
}

const mlp_backward_as_written = mlp_backward;
const BREAKS = [
  {f: "layernorm_backward", broken: layernorm_backward_without_mean, about: "layernorm: mean(dxhat) left out"},
  {f: "attention_backward", broken: attention_backward_without_mean, about: "attention: the softmax’s mean left out"},
  {f: "gelu_backward", broken: gelu_backward_without_density, about: "GELU: the term x φ(x) left out"},
  {f: "mlp_backward", broken: mlp_backward_without_residual, about: "MLP: the residual path left out"},
  {f: "embedding_backward", broken: embedding_backward_without_sum, about: "embedding: a repeated token’s sum"},
].map(each => ({...each, written: globalThis[each.f]}));

function break_one(chosen) {                                  // an index of BREAKS, or null: all as they are written
  BREAKS.forEach(({f, broken, written}, i) => {
    globalThis[f] = i === chosen ? broken : written;
    if (f in model.layers) model.layers[f] = globalThis[f];
  });
  tell("backward");
}
