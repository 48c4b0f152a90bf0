// Decoding: the decoder's sublayers for one new token of each of R captions of an image, over a key-value memory.
// The results are those of the sublayers' forward for that token. Nothing has a backward here: decoding has no loss.
"use strict";

function token_embed_step(ids, p, place) {
  // As token_embed_forward, of one place, as all captions are equally long.  ids (R) integers -> (R, C)
  let [out] = embedding_forward(ids, p["weight"]);            // (R, C or E)
  if (p["proj.weight"]) [out] = linear_forward(out, p["proj.weight"], p["proj.bias"]);
  const C = columns_of(out);
  for (let i = 0; i < out.data.length; i++) out.data[i] += p["position"].data[place * C + i % C];
  return out;
}

function self_attention_step(x, p, heads, memory, place) {
  // Each new token attends to those before it and to itself.  x (R, C) -> (R, C)
  // memory (R, L, 2C): the keys and values of the tokens so far; those of this token are written at `place`
  const [R, C] = x.shape, seen = zeros(R, C), [, L] = memory.shape;
  const [normed] = layernorm_forward(x, p["norm.weight"], p["norm.bias"]);  // (R, C)
  const [qkv] = projection_forward(normed, p["qkv.weight"]);  // (R, 3C)
  for (let r = 0; r < R; r++) {
    const start = r * L * 2 * C, row = qkv.data.subarray(r * 3 * C, (r + 1) * 3 * C);
    memory.data.set(row.subarray(C), start + place * 2 * C);
    const kv = array_of([place + 1, 2 * C], memory.data.subarray(start, start + (place + 1) * 2 * C));
    seen.data.set(attend(array_of([1, C], row.subarray(0, C)), split(kv, 2), heads).data, r * C);
  }
  const [branch] = linear_forward(seen, p["proj.weight"], p["proj.bias"]);  // (R, C)
  return add(x, branch);
}

function cross_attention_memory(source, p) {
  // Keys and values of the image, computed once.  source (S, C) -> [k (S, C), v (S, C)]
  return split(projection_forward(source, p["kv.weight"])[0], 2);
}

function cross_attention_step(x, p, heads, memory) {
  // Each new token attends to the image.  x (R, C) -> (R, C)
  const [normed] = layernorm_forward(x, p["norm.weight"], p["norm.bias"]);  // (R, C)
  const [q] = projection_forward(normed, p["q.weight"]);      // (R, C)
  const [branch] = linear_forward(attend(q, memory, heads), p["proj.weight"], p["proj.bias"]);  // (R, C)
  return add(x, branch);
}

function attend(q, [k, v], heads) {                           // q (T, C), k and v (S, C) -> (T, C)
  const parts = [q, k, v].map(part => split_heads_forward(part, heads)[0]);  // (H, T or S, D)
  return merge_heads_forward(attention_forward(...parts, false)[0])[0];
}
