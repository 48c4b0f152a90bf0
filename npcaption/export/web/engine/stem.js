// The stem: convolutions between the pixels and the patches, if a model has any.
"use strict";

function stem_forward(x, p, stem) {
  // x = gelu(layernorm(convolution(x))), or x + that if the stride is 1, once for each of conv.0, conv.1, ...
  // stem: [inputs, outputs, stride] of each.  x (A, A, C) -> (A / 2^n, A / 2^n, O) after n of stride 2
  const blocks = [];
  stem.forEach(([, , stride], i) => {
    const conv = `conv.${i}`;
    const [mixed, convolution] = convolution_forward(x, p[`${conv}.weight`], p[`${conv}.bias`], stride);  // (N, N, O)
    const [normed, norm] = layernorm_forward(mixed, p[`${conv}.norm.weight`], p[`${conv}.norm.bias`]);  // (N, N, O)
    const [active, gelu] = gelu_forward(normed);              // (N, N, O)
    x = stride === 1 ? add(x, active) : active;               // (N, N, O)
    blocks.push({conv, stride, convolution, norm, gelu});
  });
  return [x, {blocks}];
}

function stem_backward(dout, {blocks}, g) {
  // dx = convolution_backward(layernorm_backward(gelu_backward(dx))), and + dx where there is a residual path
  let dx = dout;
  for (const {conv, stride, convolution, norm, gelu} of [...blocks].reverse()) {
    const dnormed = gelu_backward(dx, gelu);                  // (N, N, O)
    const [dmixed, dw_norm, db_norm] = layernorm_backward(dnormed, norm);  // (N, N, O), (O,), (O,)
    const [dinner, dw, db] = convolution_backward(dmixed, convolution);  // (A, A, C), (9*C, O), (O,)
    dx = stride === 1 ? add(dx, dinner) : dinner;             // (A, A, C)
    add_into(g[`${conv}.norm.weight`], dw_norm);
    add_into(g[`${conv}.norm.bias`], db_norm);
    add_into(g[`${conv}.weight`], dw);
    add_into(g[`${conv}.bias`], db);
  }
  return dx;
}
