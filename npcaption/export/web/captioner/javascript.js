// A runtime computes captions and gradients of one model: this one with our own engine, onnx.js with ONNX Runtime Web.
// Both are {name, encode(pixels), pixel_gradient(pixels, ids, word)}, of promises, as only our own engine never waits.
"use strict";

function javascript_runtime(model) {                          // model: of captioner_of
  const {config, p, layers} = model;
  return {
    name: "JavaScript",

    // pixels (A, A, 3), 0 to 255 -> an encoded image, which decoding.js asks for the tokens of R captions
    async encode(pixels) {
      const [source] = encode_forward(layers, config, p, float_image(model, pixels));
      return {
        remember: R => remember(config, p, source, R),
        step: async (ids, place, memory) => decode_step(config, p, ids, place, memory),
        follow: (memory, parents, length) => follow(memory.text, parents, length),
        // One forward of a caption that is known.  -> log_probs (T - 1, V) and each block's maps (H, T - 1, P)
        async read(ids) {
          const [x, {blocks}] = decode_forward(layers, config, p, ids.slice(0, -1), source);
          return {log_probs: log_softmax(output_forward(x, p.output)[0]),
            maps: blocks.map(({cross}) => cross_attention_map(cross))};
        },
      };
    },

    // d log p(word | image, words before) / d pixel.  -> Float64Array (A, A, 3), per unit of the 0 to 255 scale
    async pixel_gradient(pixels, ids, word) {
      const image = float_image(model, pixels), targets = targets_of(ids, word), {g} = gradients_like(model);
      const [, cache] = loss_forward(layers, config, p, image, ids.slice(0, -1), targets, 1);
      return loss_backward(layers, -1, cache, g).data;
    },
  };
}

function float_image({config: {image_size: side}}, pixels) {  // -> (A, A, 3), 0 to 255
  return array_of([side, side, 3], Float64Array.from(pixels));
}

// The targets of a loss: all of a caption, or one word's tokens alone.
function targets_of(ids, word = null) {
  return ids.slice(1).map((id, t) => !word || t + 1 >= word.first && t + 1 <= word.last ? id : PADDING);
}

function follow(text, parents, length) {
  // Caption r goes on from the first `length` tokens of caption parents[r]
  for (const {shape: [, L, wide], data} of text) {
    const before = data.slice();
    parents.forEach((parent, r) =>
      data.set(before.subarray(parent * L * wide, (parent * L + length) * wide), r * L * wide));
  }
}
