// Section 3: the backward pass as a walk. Every sublayer is recorded on the way, forward and back.
"use strict";

const ABOUT = {
  output_loss: "The loss compares the predicted probabilities with the caption’s tokens: every gradient begins as "
    + "softmax − onehot.",
  mlp: "Two linear layers with a GELU between, for every token by itself. Around them goes the residual path.",
  cross_attention: "Words look at the image. Its backward has two results: dx goes on through the decoder, dsource to "
    + "the encoder.",
  self_attention: "Tokens of one sequence look at each other. The softmax sends back only what differs from its "
    + "weighted mean.",
  token_embed: "The decoder’s way ends here: each row of the table collects the gradient of every place of its token.",
  patch_embed: "Through patches and convolutions to the pixels: the gradient at the bottom is an image.",
};

let visits = [], reached = 0;                                 // from the loss to the pixels; the current one of them

function recording(layers, names) {                           // -> layers that note values and gradients, and the notes
  const found = [], wrapped = {};
  for (const [name, f] of Object.entries(layers)) {
    const layer = name.replace(/_(forward|backward)$/, "");
    wrapped[name] = name.endsWith("_forward") ? (...args) => {
      const [out, cache] = f(...args);
      found.push({name: names[found.length], layer, out, cache});
      return [out, cache];
    } : (dout, cache, g) => {
      const gradient = f(dout, cache, g), visit = found.find(each => each.cache === cache);
      const [dx, dsource] = Array.isArray(gradient) ? gradient : [gradient];
      Object.assign(visit, {dout, dx, dsource, g});
      return gradient;
    };
  }
  return [wrapped, found];
}

function walk_loss() {                                        // -> targets and their number, by the page's choice
  const chosen = by_id("walk-loss").value, word = chosen === "" ? null : now.looks.words[Number(chosen)];
  const targets = targets_of(ids_now(), word);
  return {targets, total: targets.filter(id => id !== PADDING).length};
}

function record_walk() {
  const {config, p} = model, {targets, total} = walk_loss(), image = float_image(model, now.pixels);
  const [layers, found] = recording(model.layers, header.sublayers.map(([name]) => name));
  const [loss, cache] = loss_forward(layers, config, p, image, ids_now().slice(0, -1), targets, total);
  loss_backward(layers, 1, cache, gradients_like(model).g);
  const last = found[found.length - 1], {entropy} = last.cache;
  last.loss = loss;
  last.out = array_of(entropy.log_probs.shape, entropy.log_probs.data.map(Math.exp));
  last.dout = cross_entropy_backward(1, entropy);
  const decoder = found.filter(({name}) => /^(decoder|token_embed|output)/.test(name)).reverse();
  visits = [...decoder, ...found.filter(visit => !decoder.includes(visit)).reverse()];
}

function bar(kind, size, low, high) {
  const fill = element("i", {class: kind});
  fill.style.width = `${size > 0 ? Math.max(2, 100 * (Math.log10(size) - low) / (high - low)) : 0}%`;
  return element("span", {class: "track"}, fill);
}

function show_stops() {
  const sizes = visits.flatMap(({out, dout}) => [rms(out), rms(dout)]).filter(size => size > 0).map(Math.log10);
  const low = Math.floor(Math.min(...sizes)), high = Math.max(low + 1, Math.ceil(Math.max(...sizes)));
  by_id("stops").replaceChildren(...visits.map(({name, out, dout}, i) => {
    const value = rms(out), gradient = i <= reached ? rms(dout) : 0;
    return element("li", {}, element("button", {type: "button", class: i <= reached ? "reached" : "",
      "aria-current": i === reached && "step", onclick: () => go(i),
      title: `root mean square: value ${short(value)}, gradient ${gradient ? short(gradient) : "not yet known"}`},
    element("span", {}, name),
    element("span", {class: "bars"}, bar("value", value, low, high), bar("gradient", gradient, low, high))));
  }));
}

function picture(array, caption) {
  const canvas = element("canvas"), columns = columns_of(array);
  if (array.shape.length === 3) paint_signed(canvas, over_colours(array.data).sum, array.shape[0], array.shape[1]);
  else paint_signed(canvas, array.data, rows_of(array), columns);
  if (array.shape.length !== 3) canvas.style.height = `${Math.max(3, Math.min(16, rows_of(array) / 4))}rem`;
  return element("figure", {}, canvas, element("figcaption", {},
    `${caption}, ${array.shape.join(" × ")}, root mean square ${short(rms(array))}`));
}

// The softmax's part of an attention: each head's rows below each other.  -> pictures of att and dscores
function attention_pictures({dout, cache: {attend, merge, proj}}) {
  const {v, att} = attend, [H, T, S] = att.shape, dscores = zeros(H * T, S), D = columns_of(v);
  const dseen = merge_heads_backward(linear_backward(dout, proj)[0], merge);  // (H, T, D)
  for (let row = 0; row < H * T; row++) {
    const head = Math.floor(row / T);
    const [out, weights] = [dscores, att].map(x => x.data.subarray(row * S, (row + 1) * S));
    let mean = 0;
    for (let s = 0; s < S; s++) {
      for (let d = 0; d < D; d++) out[s] += dseen.data[row * D + d] * v.data[(head * S + s) * D + d];
      mean += out[s] * weights[s];
    }
    for (let s = 0; s < S; s++) out[s] = weights[s] * (out[s] - mean);
  }
  return [picture(reshaped(att, H * T, S), `att: the ${H} heads below each other, a column a source`),
    picture(dscores, "dscores = att (datt − mean)")];
}

function first_formula(f) {
  return formulas_of(f.toString()).split("\n")[0];
}

function code_parts(layer, way) {                             // a sublayer's function, and those that it calls
  const seen = [], wanted = [`${layer}_${way}`];
  while (wanted.length) {
    const name = wanted.shift();
    if (seen.includes(name) || typeof globalThis[name] !== "function") continue;
    seen.push(name);
    const code = globalThis[name].toString().replace(/\/\/.*/g, "");  // without remarks
    const called = [...code.matchAll(/\b\w+_(forward|backward)\b/g)];
    wanted.push(...called.filter(match => match[1] === way).map(match => match[0]));
  }
  return seen.map((name, i) => element("details", {open: i === 0 && way === "backward"},
    element("summary", {}, element("code", {}, name), " ",
      element("span", {class: "faint small"}, first_formula(globalThis[name]))), code_of(globalThis[name].toString())));
}

function pictures_of(visit) {
  const {layer, out, dout, dx, dsource} = visit;
  if (layer === "output_loss") {
    return [picture(out, "values: probabilities, one row a token"), picture(dout, "dlogits = softmax − onehot"),
      picture(dx, "gradient handed on: dx")];
  }
  const onwards = layer === "patch_embed" ? "gradient at the pixels, of all colours" : "gradient handed on: dx";
  return [picture(out, "value: out"), picture(dout, "gradient arriving: dout"), ...dx ? [picture(dx, onwards)] : [],
    ...dsource ? [picture(dsource, "to the encoder: dsource")] : [],
    ...layer.endsWith("attention") ? attention_pictures(visit) : []];
}

function show_stop() {
  const visit = visits[reached], {name, layer, loss, g} = visit;
  const [forward, backward] = ["forward", "backward"].map(way => globalThis[`${layer}_${way}`].toString());
  const norms = Object.entries(g).map(([key, x]) => `d ${key} ${short(rms(x) * Math.sqrt(x.data.length))}`
    + (x.flipped ? " (tied to the token embedding: both uses together)" : ""));
  by_id("stop-name").textContent = `${reached + 1} of ${visits.length}: ${name}`;
  by_id("stop-body").replaceChildren(
    element("p", {}, ABOUT[layer], loss === undefined ? "" : ` The loss is ${loss.toFixed(6)} nats a token.`),
    element("div", {class: "formula"}, `forward   ${formulas_of(forward)}\nbackward  ${formulas_of(backward)}`),
    element("div", {class: "pictures"}, ...pictures_of(visit)),
    element("p", {class: "faint small"}, "In the pictures a row is a token or patch, a column a channel; ",
      element("span", {class: "negative"}, "blue"), " is negative, ", element("span", {class: "positive"}, "orange"),
      " positive, each picture with a scale of its own."),
    element("p", {class: "numbers"}, `Norms of the parameters’ gradients: ${norms.join(", ")}.`),
    ...code_parts(layer, "backward"), ...code_parts(layer, "forward"));
  by_id("walk-back").disabled = reached === visits.length - 1;
  by_id("walk-forward").disabled = reached === 0;
}

function go(stop) {
  reached = Math.max(0, Math.min(visits.length - 1, stop));
  show_stops();
  show_stop();
}

function show_walk() {
  if (!now.looks) return;
  record_walk();
  go(reached);
}

function set_up_walk() {
  const refresh = when_seen("walk", show_walk), choices = by_id("walk-loss");
  on("caption", () => {
    choices.replaceChildren(element("option", {value: ""}, "the whole caption"),
      ...now.looks.words.map(({text}, i) => element("option", {value: i}, `“${text}” alone`)));
    refresh();
  });
  on("backward", refresh);
  choices.addEventListener("change", () => { show_walk(); });
  by_id("walk-back").addEventListener("click", () => go(reached + 1));
  by_id("walk-forward").addEventListener("click", () => go(reached - 1));
  by_id("walk-end").addEventListener("click", () => go(visits.length - 1));
  by_id("walk-start").addEventListener("click", () => go(0));
  document.addEventListener("keydown", event => {
    const step = {ArrowLeft: 1, ArrowRight: -1}[event.key];   // back is to the left
    const {top, bottom} = by_id("walk").getBoundingClientRect(), middle = innerHeight / 2;
    if (!step || /^(SELECT|INPUT|PRE)$/.test(event.target.tagName) || top > middle || bottom < middle) return;
    event.preventDefault();
    const at = event.target.closest(".stops");
    go(reached + step);
    if (at) at.querySelector("[aria-current]").focus();
  });
}
