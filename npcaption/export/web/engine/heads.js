// From channels to attention heads and back: the channels are H groups of D, one group a head.
"use strict";

function split_heads_forward(x, heads) {
  // Head h takes the channels h*D to (h+1)*D.  x (T, H*D) -> (H, T, D)
  const [T, C] = x.shape, D = C / heads, out = zeros(heads, T, D);
  for (let h = 0; h < heads; h++) for (let t = 0; t < T; t++) {
    out.data.set(x.data.subarray(t * C + h * D, t * C + (h + 1) * D), (h * T + t) * D);
  }
  return [out, {}];
}

function split_heads_backward(dout, cache) {
  // Numbers only move, so their gradients move back: the merge.  dout (H, T, D) -> (T, H*D)
  return merge_heads_forward(dout)[0];
}

function merge_heads_forward(x) {
  // The heads' outputs side by side.  x (H, T, D) -> (T, H*D)
  const [heads, T, D] = x.shape, out = zeros(T, heads * D);
  for (let h = 0; h < heads; h++) for (let t = 0; t < T; t++) {
    out.data.set(x.data.subarray((h * T + t) * D, (h * T + t + 1) * D), t * heads * D + h * D);
  }
  return [out, {heads}];
}

function merge_heads_backward(dout, {heads}) {
  // The split.  dout (T, H*D) -> (H, T, D)
  return split_heads_forward(dout, heads)[0];
}
