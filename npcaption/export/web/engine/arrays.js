// Arrays: {shape, data} in float64, rows one after another, and the three matrix products that the layers need.
"use strict";

function array_of(shape, data) {
  return {shape, data};
}

function zeros(...shape) {
  return array_of(shape, new Float64Array(shape.reduce((product, side) => product * side, 1)));
}

function zeros_like(x) {
  return array_of(x.shape, new Float64Array(x.data.length));
}

function reshaped(x, ...shape) {                              // the same numbers
  return array_of(shape, x.data);
}

// A view of a matrix by its columns. Only matmul and add_into understand it.
function transposed(x) {
  const [rows, columns] = x.shape;
  return {shape: [columns, rows], data: x.data, flipped: !x.flipped};
}

function columns_of(x) {
  return x.shape[x.shape.length - 1];
}

function rows_of(x) {
  return x.data.length / columns_of(x);
}

function matrix(x) {                                          // (..., C) -> (rows, C)
  return x.shape.length === 2 ? x : reshaped(x, rows_of(x), columns_of(x));
}

// a b.  a (R, I), b (I, O) -> (R, O); one of them may be transposed.
// The inner loops run along memory, and over four numbers at once, which JavaScript engines turn into fast code.
function matmul(a, b) {
  const [R, I] = a.shape, O = b.shape[1], out = zeros(R, O);
  const product = a.flipped ? product_at_b : b.flipped ? product_a_bt : product_a_b;
  product(a.data, b.data, out.data, R, I, O);
  return out;
}

function product_a_b(a, b, out, R, I, O) {                    // each row of out is a sum of rows of b
  for (let r = 0; r < R; r++) {
    const at = r * O;
    let i = 0;
    for (; i + 4 <= I; i += 4) {
      const from = r * I + i, p = a[from], q = a[from + 1], s = a[from + 2], t = a[from + 3];
      const bp = i * O, bq = bp + O, bs = bq + O, bt = bs + O;
      for (let o = 0; o < O; o++) out[at + o] += p * b[bp + o] + q * b[bq + o] + s * b[bs + o] + t * b[bt + o];
    }
    for (; i < I; i++) {
      const p = a[r * I + i];
      for (let o = 0; o < O; o++) out[at + o] += p * b[i * O + o];
    }
  }
}

function product_a_bt(a, b, out, R, I, O) {                   // b is stored (O, I): dot products of two rows
  for (let r = 0; r < R; r++) {
    const from = r * I;
    for (let o = 0; o < O; o++) {
      const at = o * I;
      let s = 0, t = 0, u = 0, v = 0, i = 0;
      for (; i + 4 <= I; i += 4) {
        s += a[from + i] * b[at + i];
        t += a[from + i + 1] * b[at + i + 1];
        u += a[from + i + 2] * b[at + i + 2];
        v += a[from + i + 3] * b[at + i + 3];
      }
      for (; i < I; i++) s += a[from + i] * b[at + i];
      out[r * O + o] = s + t + u + v;
    }
  }
}

function product_at_b(a, b, out, R, I, O) {                   // a is stored (I, R): a sum over the rows of both
  for (let r = 0; r < R; r++) {
    const at = r * O;
    let i = 0;
    for (; i + 4 <= I; i += 4) {
      const p = a[i * R + r], q = a[(i + 1) * R + r], s = a[(i + 2) * R + r], t = a[(i + 3) * R + r];
      const bp = i * O, bq = bp + O, bs = bq + O, bt = bs + O;
      for (let o = 0; o < O; o++) out[at + o] += p * b[bp + o] + q * b[bq + o] + s * b[bs + o] + t * b[bt + o];
    }
    for (; i < I; i++) {
      const p = a[i * R + r];
      for (let o = 0; o < O; o++) out[at + o] += p * b[i * O + o];
    }
  }
}

function add(a, b) {
  const out = zeros_like(a);
  for (let i = 0; i < out.data.length; i++) out.data[i] = a.data[i] + b.data[i];
  return out;
}

function add_into(total, part) {                              // total += part; nothing else writes to its input
  const t = total.data, x = part.data;
  if (!total.flipped) {
    for (let i = 0; i < x.length; i++) t[i] += x[i];
    return;
  }
  const [R, C] = total.shape;
  for (let r = 0; r < R; r++) for (let c = 0; c < C; c++) t[c * R + r] += x[r * C + c];
}

function sum_of_rows(x) {                                     // (..., C) -> (C,)
  const C = columns_of(x), out = zeros(C);
  for (let i = 0, c = 0; i < x.data.length; i++, c = c + 1 === C ? 0 : c + 1) out.data[c] += x.data[i];
  return out;
}

function split(x, parts) {                                    // (T, parts*C) -> parts arrays (T, C), side by side
  const T = rows_of(x), wide = columns_of(x), C = wide / parts, found = [];
  for (let part = 0; part < parts; part++) {
    const out = zeros(T, C);
    for (let t = 0; t < T; t++) out.data.set(x.data.subarray(t * wide + part * C, t * wide + (part + 1) * C), t * C);
    found.push(out);
  }
  return found;
}

function concatenate(parts) {                                 // arrays (T, C) -> (T, parts*C), side by side
  const [T, C] = parts[0].shape, wide = parts.length * C, out = zeros(T, wide);
  parts.forEach((x, part) => {
    for (let t = 0; t < T; t++) out.data.set(x.data.subarray(t * C, (t + 1) * C), t * wide + part * C);
  });
  return out;
}
