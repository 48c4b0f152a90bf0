// Sections 1 and 2: the caption, where each word looked, and which pixels mattered for it.
"use strict";

const SHOWN = 480;                                            // pixels, the longest side of the image in the page

function show_image() {
  const {image, pixels} = now, scale = Math.min(1, SHOWN / Math.max(image.width, image.height));
  const context = canvas_of(...[image.width, image.height].map(side => Math.max(1, Math.round(side * scale))));
  context.imageSmoothingQuality = "high";
  image.draw(context, scale);
  const photo = by_id("photo");
  [photo.width, photo.height] = [context.canvas.width, context.canvas.height];
  photo.getContext("2d").drawImage(context.canvas, 0, 0);
  by_id("stage").classList.remove("hot");
  const side = model.config.image_size;
  paint_pixels(by_id("seen"), pixels, side);
  by_id("seen-caption").textContent = `the image as the model sees it, ${side} × ${side}`;
  for (const button of by_id("scenes").children) button.setAttribute("aria-pressed", button.dataset.name === now.name);
}

function word_button({text, log_probability}, i) {
  const point = () => choose_word(i);
  const of_mouse = event => event.pointerType === "mouse" && point();
  return element("button", {type: "button", class: "word", "aria-pressed": i === now.word, onclick: point,
    onfocus: point, onpointerenter: of_mouse}, text, element("small", {}, percent(log_probability)));
}

function show_caption() {
  const {looks, hypotheses, chosen} = now;
  for (const place of [by_id("words"), ...document.querySelectorAll("[data-words]")]) {
    place.replaceChildren(...looks.words.map(word_button));
    if (!looks.words.length) place.replaceChildren("(an empty caption)");
  }
  by_id("total").textContent = `log p of the caption ${short(hypotheses[chosen].log_probability)} nats, `
    + `its end included (${percent(looks.end)})`;
  const buttons = hypotheses.map(({ids, score}, i) => element("button", {type: "button", "aria-pressed": i === chosen,
    onclick: () => choose(i)}, element("small", {}, `${short(score)} a token`), model.tokenizer.decode(ids)));
  by_id("hypotheses").replaceChildren(...buttons.length > 1 ? buttons : []);
  const scene = header.scenes.find(({name}) => name === now.name), line = by_id("recorded");
  line.textContent = "";
  if (!scene || taught) return;
  const said = scene[width_now() > 1 ? "beam" : "greedy"], same = String(said) === String(hypotheses[0].ids);
  line.textContent = `NumPy at export: “${model.tokenizer.decode(said)}”, ${same ? "the same" : "other"} tokens.`;
  line.className = same ? "numbers" : "wrong";
}

function show_word() {
  document.querySelectorAll(".words").forEach(place => [...place.children].forEach((button, i) =>
    button.setAttribute("aria-pressed", i === now.word)));
  if (!now.looks?.words.length) return;
  const chosen = id => by_id(id).value === "" ? null : Number(by_id(id).value);
  const map = attention_of(model, now.looks.maps, word_now(), chosen("block"), chosen("head"));
  for (const canvas of [by_id("heat"), by_id("looked")]) {
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    if (canvas.id === "looked") draw_seen(canvas);
    paint_heat(canvas, map, Math.sqrt(map.length), heat_colours);
  }
  by_id("stage").classList.toggle("hot", by_id("overlay").checked);
}

function draw_seen(canvas) {                                  // in grey, so that its colours are not taken for heat
  const context = canvas_of(1, 1), side = model.config.image_size;
  paint_pixels(context.canvas, now.pixels, side, true);
  canvas.getContext("2d").drawImage(context.canvas, 0, 0, canvas.width, canvas.height);
}

const gradients = new Map();                                  // of the words of the current caption
let waiting = 0;

function show_gradient() {                                    // a moment after the last word was pointed at
  clearTimeout(waiting);
  waiting = setTimeout(() => paint_gradient().catch(fail), 60);
}

async function paint_gradient() {
  const {word, looks} = now, side = model.config.image_size;
  if (!looks?.words.length) return;
  const found = gradients.get(word) ?? await model.runtime.pixel_gradient(now.pixels, ids_now(), word_now());
  if (looks !== now.looks) return;                            // another caption by now
  gradients.set(word, found);
  if (word !== now.word) return;
  const {sum, size} = over_colours(found);
  draw_seen(by_id("mattered"));
  paint_heat(by_id("mattered"), size, side, heat_colours);
  paint_signed(by_id("signed"), sum, side, side);
  const largest = size.reduce((best, value, i) => value > size[best] ? i : best, 0);
  const {text, log_probability} = word_now();
  by_id("pixel-numbers").textContent = `“${text}”: p ${percent(log_probability)}. The strongest pixel is in row `
    + `${Math.floor(largest / side)}, column ${largest % side}: a change of its colours by 1 of 255 changes log p by up `
    + `to ${short(size[largest])}.`;
}

function set_up_look() {
  const numbered = (count, noun) => [element("option", {value: ""}, "all, their mean"),
    ...Array.from({length: count}, (_, i) => element("option", {value: i}, `${noun} ${i}`))];
  by_id("block").append(...numbered(model.config.decoder_blocks, "block"));
  by_id("head").append(...numbered(model.config.heads, "head"));
  for (const id of ["block", "head", "overlay"]) by_id(id).addEventListener("change", () => now.looks && show_word());
  for (const radio of document.querySelectorAll("[name=decoding]")) radio.addEventListener("change", caption_again);
  on("image", show_image);
  on("caption", () => { gradients.clear(); show_caption(); });
  on("word", show_word);
  const refresh = when_seen("pixels", show_gradient);
  on("word", refresh);
  on("backward", () => { gradients.clear(); refresh(); });
}
