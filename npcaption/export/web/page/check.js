// Section 4: one number, its gradient by the backward pass and by moving it.
"use strict";

const TOLERANCE = 1e-7, ROUNDING = 1e-14;                     // of the array's largest gradient, as in Python; of the loss
const STEP = 3e-3;                                            // of the spread of the array
const KEPT = 24;                                              // rows of the table

const checked = {image: null, gradient: null, g: null};       // the backward pass of the current caption and model

function loss_of(image) {                                     // of the caption, in nats a token -> [loss, cache]
  const ids = ids_now();
  return loss_forward(model.layers, model.config, model.p, image, ids.slice(0, -1), targets_of(ids), ids.length - 1);
}

function run_backward() {                                     // once for all numbers that are checked
  if (checked.gradient) return;
  const {g} = gradients_like(model), image = float_image(model, now.pixels), [, cache] = loss_of(image);
  Object.assign(checked, {image, g, gradient: loss_backward(model.layers, 1, cache, g)});
}

function spread(x) {                                          // its standard deviation; 1 for a constant array
  const mean = x.data.reduce((sum, v) => sum + v, 0) / x.data.length;
  return Math.sqrt(x.data.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.data.length) || 1;
}

// name "image" or "sublayer.parameter", index into its numbers -> {written, measured, digits, agrees}
function check_number(name, index) {
  run_backward();
  const [sublayer, parameter] = parts_of(name);
  const x = name === "image" ? checked.image : model.p[sublayer][parameter];
  const gradients = (name === "image" ? checked.gradient : checked.g[sublayer][parameter]).data, written = gradients[index];
  const scale = gradients.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const h = STEP * spread(x), kept = x.data[index];
  const at = steps => {
    x.data[index] = kept + steps * h;
    return loss_of(checked.image)[0];
  };
  const ahead = at(1), measured = (8 * (ahead - at(-1)) - (at(2) - at(-2))) / (12 * h);  // wrong by a multiple of h^4
  x.data[index] = kept;
  const apart = Math.abs(written - measured), largest = Math.max(Math.abs(written), Math.abs(measured));
  const rounding = ROUNDING * ahead / h;
  return {written, measured, digits: largest && apart ? Math.max(0, -Math.log10(apart / largest)) : 16,
    agrees: apart <= TOLERANCE * scale + rounding, zero: largest <= rounding};
}

function parts_of(name) {                                     // "output.norm.bias" -> ["output", "norm.bias"]
  const [sublayer] = header.sublayers.find(([each]) => name.startsWith(`${each}.`)) || [""];
  return [sublayer, name.slice(sublayer.length + 1)];
}

function shape_of(name) {
  const side = model.config.image_size, [sublayer, parameter] = parts_of(name);
  return name === "image" ? [side, side, 3] : model.p[sublayer][parameter].shape;
}

function index_in(shape, text) {                              // "3, 5" -> its place among the numbers, or null
  const places = (text.match(/-?\d+/g) || []).map(Number);
  if (places.length !== shape.length || places.some((place, i) => place < 0 || place >= shape[i])) return null;
  return places.reduce((index, place, i) => index * shape[i] + place, 0);
}

function places_in(shape, index) {
  const places = [];
  for (const side of [...shape].reverse()) {
    places.unshift(index % side);
    index = Math.floor(index / side);
  }
  return places.join(", ");
}

function random_number() {                                    // every other one a pixel
  const names = [...by_id("check-name").options].map(option => option.value);
  const name = Math.random() < 0.5 ? "image" : names[Math.floor(Math.random() * names.length)];
  const size = shape_of(name).reduce((product, side) => product * side, 1);
  return [name, Math.floor(Math.random() * size)];
}

function show_check(name, index, {written, measured, digits, agrees, zero}) {
  const rows = by_id("check-rows");
  const cells = [`${name}[${places_in(shape_of(name), index)}]`, ...[written, measured].map(value =>
    value.toExponential(9).replaceAll("-", "−")), zero ? "both 0" : digits.toFixed(1)];
  rows.prepend(element("tr", {class: agrees ? "right" : "wrong"}, ...cells.map(cell => element("td", {}, cell))));
  while (rows.children.length > KEPT) rows.lastChild.remove();
}

async function check_numbers(numbers) {                       // [[name, index], ...]
  const verdict = by_id("check-verdict"), buttons = document.querySelectorAll("#check button");
  if (!now.looks) return;
  buttons.forEach(button => { button.disabled = true; });
  let right = 0, done = 0;
  try {
    for (const [name, index] of numbers) {
      const found = check_number(name, index);
      show_check(name, index, found);
      right += found.agrees;
      done += 1;
      const wrong = done - right;
      verdict.textContent = wrong ? `${wrong} of ${done} gradients are wrong: this backward is broken.`
        : `${done} of ${done} gradients agree with the numerical ones.`;
      verdict.className = `verdict ${wrong ? "wrong" : "right"}`;
      await pause();
    }
  } finally {
    buttons.forEach(button => { button.disabled = false; });
  }
}

function show_place() {                                       // the pixel that is chosen, in the image
  const side = model.config.image_size, canvas = by_id("check-image");
  if (!now.pixels) return;
  paint_pixels(canvas, now.pixels, side);
  const place = by_id("check-index").value.match(/\d+/g);
  if (by_id("check-name").value !== "image" || !place) return;
  const context = canvas.getContext("2d");
  context.strokeStyle = "#f0f";
  context.strokeRect(Number(place[1]) - 2.5, Number(place[0]) - 2.5, 6, 6);
}

function forget_backward() {
  checked.gradient = null;
}

function show_break() {
  const value = by_id("break").value, chosen = value === "" ? null : Number(value);
  break_one(chosen);
  by_id("break-code").hidden = chosen === null;
  by_id("check-verdict").textContent = "";
  by_id("break-about").textContent = chosen === null ? "" : `${BREAKS[chosen].f} has a mistake now, in all of this `
    + "page’s JavaScript. Check some numbers: those whose gradient passes it are wrong, those before it still right.";
  if (chosen !== null) by_id("break-code").querySelector("pre").replaceWith(code_of(BREAKS[chosen].broken.toString()));
}

function set_up_check() {
  const names = header.sublayers.flatMap(([sublayer, parts]) => parts.map(([name]) => `${sublayer}.${name}`));
  by_id("check-name").append(element("option", {value: "image"}, "a pixel: image"),
    ...names.map(name => element("option", {value: name}, name)));
  by_id("break").append(element("option", {value: ""}, "nothing: all as written"),
    ...BREAKS.map(({about}, i) => element("option", {value: i}, about)));
  by_id("break").addEventListener("change", show_break);
  const middle = () => {
    const shape = shape_of(by_id("check-name").value);
    by_id("check-index").value = shape.map((side, i) => i === 2 ? 0 : Math.floor(side / 2)).join(", ");
    show_place();
  };
  middle();
  by_id("check-name").addEventListener("change", middle);
  by_id("check-index").addEventListener("input", show_place);
  by_id("check-one").addEventListener("click", () => {
    const name = by_id("check-name").value, shape = shape_of(name), index = index_in(shape, by_id("check-index").value);
    if (index !== null) return check_numbers([[name, index]]);
    by_id("check-verdict").textContent = `Give ${shape.length} whole numbers from 0, below ${shape.join(", ")}.`;
    by_id("check-verdict").className = "verdict wrong";
  });
  by_id("check-random").addEventListener("click", () => check_numbers([random_number()]));
  by_id("check-many").addEventListener("click", () => check_numbers(Array.from({length: 20}, random_number)));
  by_id("check-image").addEventListener("click", event => {
    const side = model.config.image_size, box = event.currentTarget.getBoundingClientRect();
    const place = (at, from, length) => Math.max(0, Math.min(side - 1, Math.floor((at - from) / length * side)));
    by_id("check-name").value = "image";
    const row = place(event.clientY, box.top, box.height), column = place(event.clientX, box.left, box.width);
    by_id("check-index").value = `${row}, ${column}, 0`;
    show_place();
    by_id("check-one").click();
  });
  on("image", show_place);
  for (const name of ["image", "caption", "backward", "weights"]) on(name, forget_backward);
}
