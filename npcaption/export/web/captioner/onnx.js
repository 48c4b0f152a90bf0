// The other runtime: the project's encoder.onnx, decoder.onnx and gradient.onnx in ONNX Runtime Web, in float32.
// docs/onnx.md describes their inputs and outputs. The three share one copy of the weights, as an outside file.
"use strict";

const OUTSIDE = "weights";                                    // as onnx_parts.py calls that file

// load() -> a promise of {encoder, decoder, gradient}, Uint8Array each
// weights() -> Float32Array of all parameters, as they are now
function onnx_runtime(config, load, weights) {
  const {image_size: side, decoder_blocks, channels, heads} = config;
  const blocks = Array.from({length: decoder_blocks}, (_, i) => i);
  const integers = ids => new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [ids.length]);
  const one_caption = ids => integers(ids).reshape([1, ids.length]);
  const keyed = (name, tensors) => Object.fromEntries(tensors.map((tensor, i) => [`${name}.${i}`, tensor]));
  let sessions = {}, last = null;                             // made when needed, of the weights as they are then

  async function session(name) {
    const graphs = await load();
    return ort.InferenceSession.create(graphs[name], {executionProviders: ["wasm"], logSeverityLevel: 3,
      externalData: [{path: OUTSIDE, data: new Uint8Array(weights().buffer)}]});
  }

  function run(name, inputs, outputs) {                       // one after another
    last = Promise.resolve(last).catch(() => null).then(async () => {
      sessions[name] ??= await session(name);
      return sessions[name].run(inputs, outputs);
    });
    return last;
  }

  function remember(R) {                                      // no token yet: a memory of length 0
    return {text: blocks.map(() => new ort.Tensor("float32", new Float32Array(0), [R, 0, 2 * channels]))};
  }

  async function encode(pixels) {
    const image = new ort.Tensor("uint8", Uint8Array.from(pixels), [1, side, side, 3]), mine = sessions;
    const image_kv = await run("encoder", {image}), P = image_kv["image_kv.0"].dims[1];

    async function step(ids, place, memory) {                 // place: how long the memory is
      if (mine !== sessions) throw new Error("the model was taught while it wrote this caption");
      const found = await run("decoder", {ids: integers(ids), ...keyed("text_kv", memory.text), ...image_kv});
      memory.text = blocks.map(i => found[`new_text_kv.${i}`]);
      memory.looked = blocks.map(i => found[`attention.${i}`].data);  // (R, H, P) each
      return array_of(found.logits.dims, Float64Array.from(found.logits.data));  // (R, V)
    }

    async function read(ids) {                                // token by token, as decoder.onnx takes no more
      const T = ids.length - 1, V = config.vocabulary, log_probs = zeros(T, V), memory = remember(1);
      const maps = blocks.map(() => zeros(heads, T, P));
      for (let t = 0; t < T; t++) {
        log_probs.data.set(log_softmax(await step([ids[t]], t, memory)).data, t * V);
        for (const i of blocks) for (let h = 0; h < heads; h++) {
          maps[i].data.set(memory.looked[i].subarray(h * P, (h + 1) * P), (h * T + t) * P);
        }
      }
      return {log_probs, maps};
    }
    return {remember, step, follow: follow_tensors, read};
  }

  async function pixel_gradient(pixels, ids, word) {          // the loss is -log p per token that counts
    const targets = targets_of(ids, word), count = targets.filter(id => id !== PADDING).length;
    const image = new ort.Tensor("float32", Float32Array.from(pixels), [1, side, side, 3]);
    const inputs = {image, ids: one_caption(ids.slice(0, -1)), targets: one_caption(targets)};
    const {"grad.image": dimage} = await run("gradient", inputs, ["grad.image"]);
    return Float64Array.from(dimage.data, value => -count * value);
  }

  function forget() {                                         // the weights are others now
    const old = sessions;
    sessions = {};
    last = Promise.resolve(last).catch(() => null).then(() => Object.values(old).forEach(made => made.release()));
  }

  return {name: "ONNX Runtime", encode, pixel_gradient, forget};
}

function follow_tensors(memory, parents) {
  // Caption r goes on from the tokens of caption parents[r]
  memory.text = memory.text.map(({dims: [R, T, wide], data}) => {
    const rows = new Float32Array(data.length);
    parents.forEach((parent, r) => rows.set(data.subarray(parent * T * wide, (parent + 1) * T * wide), r * T * wide));
    return new ort.Tensor("float32", rows, [R, T, wide]);
  });
}
