// Sublayer: every token attends to the tokens of its own sequence.
"use strict";

function self_attention_forward(x, p, heads, causal) {
  // out = x + merge(attention(q, k, v)) Wproj + b,  q, k, v = split(layernorm(x) Wqkv).  x (T, C) -> (T, C)
  // causal: each token sees itself and those before it
  const [normed, norm] = layernorm_forward(x, p["norm.weight"], p["norm.bias"]);  // (T, C)
  const [qkv, qkv_proj] = projection_forward(normed, p["qkv.weight"]);  // (T, 3C)
  const [q, k, v] = split(qkv, 3).map(part => split_heads_forward(part, heads)[0]);  // (H, T, D) each
  const [seen, attend] = attention_forward(q, k, v, causal);  // (H, T, D)
  const [merged, merge] = merge_heads_forward(seen);          // (T, C)
  const [branch, proj] = linear_forward(merged, p["proj.weight"], p["proj.bias"]);  // (T, C)
  return [add(x, branch), {norm, qkv_proj, attend, merge, proj}];
}

function self_attention_backward(dout, {norm, qkv_proj, attend, merge, proj}, g) {
  // dx = dout + dinner, as x took two ways: around the branch and into it. dinner: the branch in reverse
  const [dmerged, dw_proj, db_proj] = linear_backward(dout, proj);  // (T, C), (C, C), (C,)
  const dseen = merge_heads_backward(dmerged, merge);         // (H, T, D)
  const dheads = attention_backward(dseen, attend);           // dq, dk, dv, each (H, T, D)
  const dqkv = concatenate(dheads.map(d => split_heads_backward(d, {})));  // (T, 3C)
  const [dnormed, dw_qkv] = projection_backward(dqkv, qkv_proj);  // (T, C), (C, 3C)
  const [dinner, dw_norm, db_norm] = layernorm_backward(dnormed, norm);  // (T, C), (C,), (C,)
  add_into(g["proj.weight"], dw_proj);
  add_into(g["proj.bias"], db_proj);
  add_into(g["qkv.weight"], dw_qkv);
  add_into(g["norm.weight"], dw_norm);
  add_into(g["norm.bias"], db_norm);
  return add(dout, dinner);                                   // x went both ways: the sum
}
