// The captioner: the model, its words, and what each word says of the image.
"use strict";

// header: what build.py wrote: {config, sublayers, tokenizer}.  weights: Float32Array of all parameters
function captioner_of({config, sublayers, tokenizer: described}, weights) {
  const flat = Float64Array.from(weights), tokenizer = tokenizer_of(described);
  const p = parameters_of(config, sublayers, flat);
  const model = {config, sublayers, flat, tokenizer, p, original: weights, layers: {...TEXTBOOK}};
  return {...model, runtime: javascript_runtime(model)};
}

function gradients_like(model) {                              // zeros -> {flat, g}
  const flat = new Float64Array(model.flat.length);
  return {flat, g: parameters_of(model.config, model.sublayers, flat)};
}

// -> hypotheses, the best first.  width 1: greedy
async function captions_of({config, runtime}, pixels, width) {
  const image = await runtime.encode(pixels);
  return width > 1 ? beam(config, image, width) : [await greedy(config, image)];
}

// A caption that is known: each word with its probability, and where each block and head looked.
async function looked_at({config, tokenizer, runtime}, pixels, ids) {
  const V = config.vocabulary, {log_probs, maps} = await (await runtime.encode(pixels)).read(ids);
  const log_probability = token => log_probs.data[(token - 1) * V + ids[token]];
  const words = words_of(tokenizer, ids).map(word => {
    let total = 0;
    for (let token = word.first; token <= word.last; token++) total += log_probability(token);
    return {...word, log_probability: total};
  });
  return {words, maps, log_probs, end: log_probability(ids.length - 1)};
}

// Attention of a word: the mean over its tokens, over the blocks and heads, or of one of them.  -> (P,), summing to 1
function attention_of(model, maps, {first, last}, block = null, head = null) {
  const P = maps[0].shape[2], T = maps[0].shape[1], found = new Float64Array(P);
  const blocks = block === null ? maps : [maps[block]];
  const heads = head === null ? Array.from({length: model.config.heads}, (_, h) => h) : [head];
  const count = blocks.length * heads.length * (last - first + 1);
  for (const map of blocks) for (const h of heads) for (let token = first; token <= last; token++) {
    const row = (h * T + token - 1) * P;                      // what stands at place i was written after reading i - 1
    for (let i = 0; i < P; i++) found[i] += map.data[row + i] / count;
  }
  return found;
}
