// A convolution: a linear layer on every 3 x 3 window, or on every second one.
"use strict";

const WINDOW = 3;                                             // pixels along a side

function each_window(A, C, size, stride, visit) {             // visit(place in the image, place among the windows)
  const N = Math.ceil(A / stride), margin = (size - 1) / 2;
  let there = 0;
  for (let row = 0; row < N; row++) for (let column = 0; column < N; column++) {
    for (let y = 0; y < size; y++) for (let x = 0; x < size; x++, there += C) {
      const down = row * stride + y - margin, across = column * stride + x - margin;
      if (down >= 0 && across >= 0 && down < A && across < A) visit((down * A + across) * C, there);
    }
  }
}

function windows_forward(image, size, stride) {
  // The window around every `stride`-th pixel, flattened as (y, x, c); beyond the edge there are zeros.
  // image (A, A, C), size odd -> (N, N, size*size*C), N = ceil(A / stride)
  const [A, , C] = image.shape, N = Math.ceil(A / stride), out = zeros(N, N, size * size * C);
  each_window(A, C, size, stride, (here, there) => {
    for (let c = 0; c < C; c++) out.data[there + c] = image.data[here + c];
  });
  return [out, {shape: image.shape, size, stride}];
}

function windows_backward(dout, {shape, size, stride}) {
  // A pixel is in several windows and gets the sum of what they send back.  -> dimage (A, A, C)
  const [A, , C] = shape, dimage = zeros(...shape);
  each_window(A, C, size, stride, (here, there) => {
    for (let c = 0; c < C; c++) dimage.data[here + c] += dout.data[there + c];
  });
  return dimage;
}

function convolution_forward(x, w, b, stride) {
  // out = windows(x) w + b.  x (A, A, C), w (9*C, O), its rows ordered (y, x, c), b (O,) -> (N, N, O)
  const [windows, cut] = windows_forward(x, WINDOW, stride);  // (N, N, 9*C)
  const [out, linear] = linear_forward(windows, w, b);        // (N, N, O)
  return [out, {cut, linear}];
}

function convolution_backward(dout, {cut, linear}) {
  // The steps in reverse: dx_pixel is the sum of what the windows around it send back
  const [dwindows, dw, db] = linear_backward(dout, linear);   // (N, N, 9*C), (9*C, O), (O,)
  const dx = windows_backward(dwindows, cut);                 // (A, A, C)
  return [dx, dw, db];
}
