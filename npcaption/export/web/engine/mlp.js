// Sublayer: the same two linear layers for every token, each by itself.
"use strict";

function mlp_forward(x, p) {
  // out = x + gelu(layernorm(x) Wup + b) Wdown + b.  x (T, C), F channels between -> (T, C)
  const [normed, norm] = layernorm_forward(x, p["norm.weight"], p["norm.bias"]);  // (T, C)
  const [wide, up] = linear_forward(normed, p["up.weight"], p["up.bias"]);  // (T, F)
  const [active, gelu] = gelu_forward(wide);                  // (T, F)
  const [branch, down] = linear_forward(active, p["down.weight"], p["down.bias"]);  // (T, C)
  return [add(x, branch), {norm, up, gelu, down}];
}

function mlp_backward(dout, {norm, up, gelu, down}, g) {
  // dx = dout + dinner, as x took two ways: around the branch and into it. dinner: the branch in reverse
  const [dactive, dw_down, db_down] = linear_backward(dout, down);  // (T, F), (F, C), (C,)
  const dwide = gelu_backward(dactive, gelu);                 // (T, F)
  const [dnormed, dw_up, db_up] = linear_backward(dwide, up);  // (T, C), (C, F), (F,)
  const [dinner, dw_norm, db_norm] = layernorm_backward(dnormed, norm);  // (T, C), (C,), (C,)
  add_into(g["down.weight"], dw_down);
  add_into(g["down.bias"], db_down);
  add_into(g["up.weight"], dw_up);
  add_into(g["up.bias"], db_up);
  add_into(g["norm.weight"], dw_norm);
  add_into(g["norm.bias"], db_norm);
  return add(dout, dinner);                                   // x went both ways: the sum
}
