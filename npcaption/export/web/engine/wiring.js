// The wiring: which sublayer follows which, forward and backward. No mathematics happens here.
// `layers` offers the sublayers: TEXTBOOK, or a set that records them. p and g hold parameters and gradients.
"use strict";

const TEXTBOOK = {
  patch_embed_forward, patch_embed_backward, self_attention_forward, self_attention_backward,
  cross_attention_forward, cross_attention_backward, mlp_forward, mlp_backward,
  token_embed_forward, token_embed_backward, output_loss_forward, output_loss_backward,
};

// All parameters, or their gradients, as views of one buffer.  -> {sublayer: {name: array}}
// sublayers: [[sublayer, [[name, shape], ...]], ...] in the order of the buffer
function parameters_of(config, sublayers, flat) {
  const found = {};
  let start = 0;
  for (const [sublayer, names] of sublayers) {
    found[sublayer] = {};
    for (const [name, shape] of names) {
      const size = shape.reduce((product, side) => product * side, 1);
      found[sublayer][name] = array_of(shape, flat.subarray(start, start + size));
      start += size;
    }
  }
  // tied: a view, so both uses add to one gradient
  if (config.tied) found.output["linear.weight"] = transposed(found.token_embed.weight);
  return found;
}

function encode_forward(layers, config, p, image) {
  // image (A, A, 3), 0 to 255 -> source (P, C)
  let [x, embed] = layers.patch_embed_forward(image, p.patch_embed, config.patch_size, config.stem);
  const blocks = [];
  for (let i = 0; i < config.encoder_blocks; i++) {
    let attention, mlp;
    [x, attention] = layers.self_attention_forward(x, p[`encoder.${i}.attention`], config.heads, false);
    [x, mlp] = layers.mlp_forward(x, p[`encoder.${i}.mlp`]);
    blocks.push({attention, mlp});
  }
  return [x, {embed, blocks}];
}

function encode_backward(layers, dsource, {embed, blocks}, g) {
  // dsource (P, C) -> dimage (A, A, 3), per unit of the 0 to 255 scale
  let dx = dsource;
  for (let i = blocks.length - 1; i >= 0; i--) {
    dx = layers.mlp_backward(dx, blocks[i].mlp, g[`encoder.${i}.mlp`]);
    dx = layers.self_attention_backward(dx, blocks[i].attention, g[`encoder.${i}.attention`]);
  }
  return layers.patch_embed_backward(dx, embed, g.patch_embed);
}

function decode_forward(layers, config, p, ids, source) {
  // ids (T) integers, source (P, C) -> x (T, C), which `output` turns into logits
  let [x, embed] = layers.token_embed_forward(ids, p.token_embed);
  const blocks = [];
  for (let i = 0; i < config.decoder_blocks; i++) {
    let itself, cross, mlp;
    [x, itself] = layers.self_attention_forward(x, p[`decoder.${i}.self_attention`], config.heads, true);
    [x, cross] = layers.cross_attention_forward(x, source, p[`decoder.${i}.cross_attention`], config.heads);
    [x, mlp] = layers.mlp_forward(x, p[`decoder.${i}.mlp`]);
    blocks.push({itself, cross, mlp});
  }
  return [x, {embed, blocks}];
}

function decode_backward(layers, dx, {embed, blocks}, g) {
  // dx (T, C) -> dsource (P, C): every block looked at the same source, so their gradients add up
  let dsource = null, of_block;
  for (let i = blocks.length - 1; i >= 0; i--) {
    dx = layers.mlp_backward(dx, blocks[i].mlp, g[`decoder.${i}.mlp`]);
    [dx, of_block] = layers.cross_attention_backward(dx, blocks[i].cross, g[`decoder.${i}.cross_attention`]);
    dx = layers.self_attention_backward(dx, blocks[i].itself, g[`decoder.${i}.self_attention`]);
    dsource = dsource ? add(dsource, of_block) : of_block;
  }
  layers.token_embed_backward(dx, embed, g.token_embed);
  return dsource;
}

function loss_forward(layers, config, p, image, ids, targets, total) {
  // The loss of the targets (T), 0 where one does not count, after ids (T), divided by total.  -> [scalar, cache]
  const [source, encoder] = encode_forward(layers, config, p, image);
  const [x, decoder] = decode_forward(layers, config, p, ids, source);
  const [loss, output] = layers.output_loss_forward(x, p.output, targets, total);
  return [loss, {encoder, decoder, output}];
}

function loss_backward(layers, dloss, {encoder, decoder, output}, g) {
  // dloss scalar -> dimage (A, A, 3); the parameters' gradients are added into g
  const dx = layers.output_loss_backward(dloss, output, g.output);
  const dsource = decode_backward(layers, dx, decoder, g);
  return encode_backward(layers, dsource, encoder, g);
}

// Key-value memory of R partial captions of one image.
function remember(config, p, source, R) {
  const blocks = Array.from({length: config.decoder_blocks}, (_, i) => i);
  return {
    text: blocks.map(() => zeros(R, config.max_length, 2 * config.channels)),
    image: blocks.map(i => cross_attention_memory(source, p[`decoder.${i}.cross_attention`])),
  };
}

function decode_step(config, p, ids, place, memory) {
  // The forward for one token more.  ids (R), the captions' tokens at `place` -> logits (R, V) of those that follow
  let x = token_embed_step(ids, p.token_embed, place);
  for (let i = 0; i < config.decoder_blocks; i++) {
    x = self_attention_step(x, p[`decoder.${i}.self_attention`], config.heads, memory.text[i], place);
    x = cross_attention_step(x, p[`decoder.${i}.cross_attention`], config.heads, memory.image[i]);
    [x] = mlp_forward(x, p[`decoder.${i}.mlp`]);
  }
  return output_forward(x, p.output)[0];
}
