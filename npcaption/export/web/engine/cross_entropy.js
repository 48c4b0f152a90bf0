// Softmax and cross-entropy together, because the gradient of both is simply softmax - onehot.
"use strict";

const PADDING = 0;                                            // the target id that does not count

function log_softmax(logits) {                                // (T, V) -> (T, V)
  const V = columns_of(logits), out = zeros_like(logits);
  for (let t = 0; t < rows_of(logits); t++) {
    const row = logits.data.subarray(t * V, (t + 1) * V);
    let top = -Infinity, sum = 0;
    for (const value of row) top = Math.max(top, value);
    for (const value of row) sum += Math.exp(value - top);    // of at most 0: cannot overflow
    for (let v = 0; v < V; v++) out.data[t * V + v] = row[v] - top - Math.log(sum);
  }
  return out;
}

function cross_entropy_forward(logits, targets, total) {
  // loss = -sum(log softmax(logits)[target]) / total over the targets that are not padding, in nats
  // logits (T, V), targets (T) integers -> scalar
  const log_probs = log_softmax(logits), V = columns_of(logits);
  let loss = 0;
  targets.forEach((target, t) => { if (target !== PADDING) loss -= log_probs.data[t * V + target] / total; });
  return [loss, {log_probs, targets, total}];
}

function cross_entropy_backward(dloss, {log_probs, targets, total}) {
  // dlogits = dloss (softmax(logits) - onehot(target)) / total, and 0 where the target is padding
  const V = columns_of(log_probs), dlogits = zeros_like(log_probs);
  targets.forEach((target, t) => {
    if (target === PADDING) return;
    for (let v = 0; v < V; v++) {
      const onehot = v === target ? 1 : 0;
      dlogits.data[t * V + v] = dloss * (Math.exp(log_probs.data[t * V + v]) - onehot) / total;
    }
  });
  return dlogits;
}
