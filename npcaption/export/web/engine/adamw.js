// AdamW (Loshchilov, Hutter 2017, arXiv:1711.05101) on flat buffers (N,): every parameter of the model at once.
"use strict";

function adamw(p, g, m, v, step, {learning_rate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0}) {
  // m = beta1 m + (1 - beta1) g             v = beta2 v + (1 - beta2) g^2
  // p = p (1 - learning_rate decay) - learning_rate mhat / (sqrt(vhat) + epsilon)
  // One step, in place; step counts from 1.  m and v start at 0: mhat and vhat make up for it
  const rate = learning_rate / (1 - beta1 ** step), scale = (1 - beta2 ** step) ** -0.5;
  for (let i = 0; i < p.length; i++) {
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    p[i] = p[i] * (1 - learning_rate * decay) - rate * m[i] / (Math.sqrt(v[i]) * scale + epsilon);
  }
}
