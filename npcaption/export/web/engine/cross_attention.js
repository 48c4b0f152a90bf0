// Sublayer: every token of the text attends to the image.
"use strict";

function cross_attention_forward(x, source, p, heads) {
  // out = x + merge(attention(q, k, v)) Wproj + b,  q = split(layernorm(x) Wq),  k, v = split(source Wkv)
  // x (T, C), source (S, C) the encoder's output as it is -> (T, C)
  const [normed, norm] = layernorm_forward(x, p["norm.weight"], p["norm.bias"]);  // (T, C)
  const [q, q_proj] = projection_forward(normed, p["q.weight"]);  // (T, C)
  const [kv, kv_proj] = projection_forward(source, p["kv.weight"]);  // (S, 2C)
  const [qs, ks, vs] = [q, ...split(kv, 2)].map(part => split_heads_forward(part, heads)[0]);  // (H, T or S, D)
  const [seen, attend] = attention_forward(qs, ks, vs, false);  // (H, T, D)
  const [merged, merge] = merge_heads_forward(seen);          // (T, C)
  const [branch, proj] = linear_forward(merged, p["proj.weight"], p["proj.bias"]);  // (T, C)
  return [add(x, branch), {norm, q_proj, kv_proj, attend, merge, proj}];
}

function cross_attention_backward(dout, {norm, q_proj, kv_proj, attend, merge, proj}, g) {
  // dx = dout + dinner, as x took two ways: around the branch and into q.  dsource = [dk dv] Wkv^T
  // This is how the loss of the text reaches the encoder
  const [dmerged, dw_proj, db_proj] = linear_backward(dout, proj);  // (T, C), (C, C), (C,)
  const dseen = merge_heads_backward(dmerged, merge);         // (H, T, D)
  const dheads = attention_backward(dseen, attend);           // (H, T, D), (H, S, D), (H, S, D)
  const [dq, dk, dv] = dheads.map(d => split_heads_backward(d, {}));  // (T, C), (S, C), (S, C)
  const [dsource, dw_kv] = projection_backward(concatenate([dk, dv]), kv_proj);  // (S, C), (C, 2C)
  const [dnormed, dw_q] = projection_backward(dq, q_proj);    // (T, C), (C, C)
  const [dinner, dw_norm, db_norm] = layernorm_backward(dnormed, norm);  // (T, C), (C,), (C,)
  add_into(g["proj.weight"], dw_proj);
  add_into(g["proj.bias"], db_proj);
  add_into(g["kv.weight"], dw_kv);
  add_into(g["q.weight"], dw_q);
  add_into(g["norm.weight"], dw_norm);
  add_into(g["norm.bias"], db_norm);
  return [add(dout, dinner), dsource];                        // x went both ways: the sum
}

function cross_attention_map({attend}) {                      // each token's weights, summing to 1.  -> (H, T, S)
  return attend.att;
}
