// Sublayer: from the decoder's last vectors to a score for every token of the vocabulary, and to the loss.
"use strict";

function output_forward(x, p) {
  // logits = layernorm(x) W + b.  x (T, C) -> (T, V)
  const [normed, norm] = layernorm_forward(x, p["norm.weight"], p["norm.bias"]);  // (T, C)
  const [logits, linear] = linear_forward(normed, p["linear.weight"], p["linear.bias"]);  // (T, V)
  return [logits, {norm, linear}];
}

function output_backward(dlogits, {norm, linear}, g) {
  // dx = layernorm_backward(dlogits W^T).  dlogits (T, V) -> dx (T, C)
  const [dnormed, dw_linear, db_linear] = linear_backward(dlogits, linear);  // (T, C), (C, V), (V,)
  const [dx, dw_norm, db_norm] = layernorm_backward(dnormed, norm);  // (T, C), (C,), (C,)
  add_into(g["linear.weight"], dw_linear);
  add_into(g["linear.bias"], db_linear);
  add_into(g["norm.weight"], dw_norm);
  add_into(g["norm.bias"], db_norm);
  return dx;
}

function output_loss_forward(x, p, targets, total) {
  // loss = cross_entropy(output(x), targets) in nats per token.  x (T, C), targets (T) -> scalar
  const [logits, output] = output_forward(x, p);              // (T, V)
  const [loss, entropy] = cross_entropy_forward(logits, targets, total);
  return [loss, {output, entropy}];
}

function output_loss_backward(dloss, {output, entropy}, g) {
  // dlogits = dloss (softmax(logits) - onehot(target)) / total,  dx = layernorm_backward(dlogits W^T)
  return output_backward(cross_entropy_backward(dloss, entropy), output, g);
}
