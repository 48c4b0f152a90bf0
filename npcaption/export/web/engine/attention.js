// Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1), every head at once.
"use strict";

function attention_forward(q, k, v, causal) {
  // out = softmax(scores) v,  scores = q k^T / sqrt(D).  q (H, T, D), k and v (H, S, D) -> (H, T, D)
  // causal: token t sees sources 0 to S - T + t; if S = T, itself and the earlier ones.
  const [H, T, D] = q.shape, S = k.shape[1], out = zeros(H, T, D), att = zeros(H, T, S), scale = D ** -0.5;
  for (let h = 0; h < H; h++) for (let t = 0; t < T; t++) {
    const seen = causal ? S - T + t + 1 : S, here = (h * T + t) * D, row = (h * T + t) * S;
    let top = -Infinity, sum = 0;
    for (let s = 0; s < seen; s++) {
      let score = 0;
      for (let d = 0, there = (h * S + s) * D; d < D; d++) score += q.data[here + d] * k.data[there + d];
      att.data[row + s] = score * scale;
      top = Math.max(top, att.data[row + s]);
    }
    for (let s = 0; s < seen; s++) sum += att.data[row + s] = Math.exp(att.data[row + s] - top);  // cannot overflow
    for (let s = 0; s < seen; s++) {
      const weight = att.data[row + s] /= sum;
      for (let d = 0, there = (h * S + s) * D; d < D; d++) out.data[here + d] += weight * v.data[there + d];
    }
  }
  return [out, {q, k, v, att, scale}];
}

function attention_backward(dout, {q, k, v, att, scale}) {
  // dv = att^T dout,  dscores = att (datt - sum(datt att)),  dq = dscores k / sqrt(D),  dk = dscores^T q / sqrt(D)
  // A masked score needs no mask here: att is 0, so dscores is 0.
  const [H, T, D] = q.shape, S = k.shape[1], datt = zeros(S);
  const [dq, dk, dv] = [q, k, v].map(zeros_like);             // (H, T, D), (H, S, D), (H, S, D)
  for (let h = 0; h < H; h++) for (let t = 0; t < T; t++) {
    const here = (h * T + t) * D, row = (h * T + t) * S;
    let mean = 0;                                             // of datt, weighted by att
    for (let s = 0; s < S; s++) {
      const weight = att.data[row + s];
      let dot = 0;
      for (let d = 0, there = (h * S + s) * D; d < D; d++) {
        dot += dout.data[here + d] * v.data[there + d];
        dv.data[there + d] += weight * dout.data[here + d];
      }
      datt.data[s] = dot;
      mean += dot * weight;
    }
    for (let s = 0; s < S; s++) {
      const dscore = att.data[row + s] * (datt.data[s] - mean) * scale;
      for (let d = 0, there = (h * S + s) * D; d < D; d++) {
        dq.data[here + d] += dscore * k.data[there + d];
        dk.data[there + d] += dscore * q.data[here + d];
      }
    }
  }
  return [dq, dk, dv];
}
