// The captioner: the model, its words, and what each word says of the image.
"use strict";

// header: what build.py wrote: {config, sublayers, tokenizer}.  weights: Float32Array of all parameters
function captioner_of({config, sublayers, tokenizer: described}, weights) {
  const flat = Float64Array.from(weights), tokenizer = tokenizer_of(described);
  const p = parameters_of(config, sublayers, flat);
  return {config, sublayers, flat, tokenizer, p, original: weights, layers: {...TEXTBOOK}};
}

function gradients_like(model) {                              // zeros -> {flat, g}
  const flat = new Float64Array(model.flat.length);
  return {flat, g: parameters_of(model.config, model.sublayers, flat)};
}

function float_image(model, pixels) {                         // (A, A, 3), 0 to 255
  return array_of([model.config.image_size, model.config.image_size, 3], Float64Array.from(pixels));
}

// -> hypotheses, the best first.  width 1: greedy
function captions_of(model, pixels, width) {
  const {config, p, layers} = model, [source] = encode_forward(layers, config, p, float_image(model, pixels));
  return width > 1 ? beam(config, p, source, width) : [greedy(config, p, source)];
}

// One forward of a caption that is known: each word with its probability, and where each block and head looked.
function looked_at(model, pixels, ids) {
  const {config, p, layers, tokenizer} = model, V = config.vocabulary;
  const [source] = encode_forward(layers, config, p, float_image(model, pixels));
  const [x, {blocks}] = decode_forward(layers, config, p, ids.slice(0, -1), source);
  const log_probs = log_softmax(output_forward(x, p.output)[0]);  // (T - 1, V)
  const maps = blocks.map(({cross}) => cross_attention_map(cross));  // (H, T - 1, P) each
  const log_probability = token => log_probs.data[(token - 1) * V + ids[token]];
  const words = words_of(tokenizer, ids).map(word => {
    let total = 0;
    for (let token = word.first; token <= word.last; token++) total += log_probability(token);
    return {...word, log_probability: total};
  });
  return {words, maps, end: log_probability(ids.length - 1)};
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

// The targets of a loss: all of a caption, or one word's tokens alone.
function targets_of(ids, word = null) {
  return ids.slice(1).map((id, t) => !word || t + 1 >= word.first && t + 1 <= word.last ? id : PADDING);
}

// d log p(word | image, words before) / d pixel.  -> Float64Array (A, A, 3), per unit of the 0 to 255 scale
function pixel_gradient(model, pixels, ids, word) {
  const {config, p, layers} = model, image = float_image(model, pixels), targets = targets_of(ids, word);
  const [, cache] = loss_forward(layers, config, p, image, ids.slice(0, -1), targets, 1);
  return loss_backward(layers, -1, cache, gradients_like(model).g).data;
}
