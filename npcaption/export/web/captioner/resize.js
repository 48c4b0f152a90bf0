// Pillow's antialiased bilinear resize of 8-bit images, bit for bit: width first, then height, each pass rounded.
// libImaging/Resample.c: 22 bits behind the point of a coefficient.
"use strict";

const PRECISION = 22;

function resize_weights(from, to) {
  // -> for each of `to` pixels its first source and integer weights
  const scale = from / to, stretch = Math.max(scale, 1);      // the triangle's half width: it widens to shrink an image
  return Array.from({length: to}, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - stretch + 0.5));
    const end = Math.min(from, Math.trunc(centre + stretch + 0.5));
    const weights = Array.from({length: end - first}, (_, j) => {
      const distance = Math.abs((j + first - centre + 0.5) * (1 / stretch));
      return distance < 1 ? 1 - distance : 0;
    });
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return {first, weights: Int32Array.from(weights, weight => Math.trunc(0.5 + weight / total * 2 ** PRECISION))};
  });
}

// Pixels along lines: `step` numbers apart, red, green and blue side by side. Each sum of products fits into 32 bits.
function resize_line(source, start, step, weights, out, at, out_step) {
  const half = 1 << PRECISION - 1, clip = value => value < 0 ? 0 : value > 255 ? 255 : value;
  for (let i = 0; i < weights.length; i++, at += out_step) {
    const {first, weights: line} = weights[i];
    let red = half, green = half, blue = half;
    for (let j = 0, from = start + first * step; j < line.length; j++, from += step) {
      red += line[j] * source[from];
      green += line[j] * source[from + 1];
      blue += line[j] * source[from + 2];
    }
    out[at] = clip(red >> PRECISION);
    out[at + 1] = clip(green >> PRECISION);
    out[at + 2] = clip(blue >> PRECISION);
  }
}

// The image as a square of `size`. read(top, rows) -> RGBA of some rows: a large image is never whole in memory.
function squash(width, height, size, read) {
  const across = resize_weights(width, size), down = resize_weights(height, size);
  const strip = Math.max(1, Math.floor(2 ** 20 / width));     // rows: a million pixels at a time
  const narrow = new Uint8Array(height * size * 3), out = new Uint8Array(size * size * 3);
  for (let top = 0; top < height; top += strip) {
    const rows = Math.min(strip, height - top), rgba = read(top, rows);
    for (let y = 0; y < rows; y++) resize_line(rgba, y * width * 4, 4, across, narrow, (top + y) * size * 3, 3);
  }
  for (let x = 0; x < size; x++) resize_line(narrow, x * 3, size * 3, down, out, x * 3, size * 3);
  return out;                                                 // (size, size, 3)
}
