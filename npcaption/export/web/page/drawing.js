// Elements, numbers and pictures: what the sections draw with.
"use strict";

const by_id = id => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const pause = () => new Promise(resolve => setTimeout(resolve, 0));  // lets the browser draw between long computations

function short(value) {                                       // a number as people write it, with a true minus
  const size = Math.abs(value), plain = size === 0 || size >= 0.01 && size < 10000;
  return (plain ? value.toPrecision(3) : value.toExponential(2)).replaceAll("-", "−");
}

function percent(log_probability) {
  const share = 100 * Math.exp(log_probability);
  return share >= 1 ? `${share.toFixed(0)} %` : share >= 0.01 ? `${share.toFixed(2)} %` : "< 0.01 %";
}

function rms(array) {
  return Math.sqrt(array.data.reduce((sum, x) => sum + x * x, 0) / array.data.length);
}

function averaged(values, side, most) {                       // a square map of at most `most` cells a side
  if (side <= most || side % most) return [values, side];
  const block = side / most, found = new Float64Array(most * most);
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    found[Math.floor(y / block) * most + Math.floor(x / block)] += values[y * side + x] / block ** 2;
  }
  return [found, most];
}

// Heat over a canvas: from the mean, which a model that looks nowhere in particular gives each cell, to the largest.
function paint_heat(canvas, values, side, colours) {
  const [cells, count] = averaged(values, side, 32);
  const mean = cells.reduce((sum, x) => sum + x, 0) / cells.length, largest = Math.max(...cells);
  const scale = Math.max(largest - mean, mean) || 1, image = new ImageData(count, count);
  cells.forEach((value, i) => {
    const heat = Math.round(255 * Math.min(1, Math.max(0, (value - mean) / scale)));
    image.data.set(colours.subarray(4 * heat, 4 * heat + 4), 4 * i);
  });
  const small = canvas_of(count, count), context = canvas.getContext("2d");
  small.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small.canvas, 0, 0, canvas.width, canvas.height);
}

const NEGATIVE = [37, 99, 235], POSITIVE = [234, 88, 12];     // told apart by the colour-blind, on white and on black

// A map of signs and sizes: blue below 0, orange above, no colour at 0. The largest 0.5 % share the full colour.
function paint_signed(canvas, values, rows, columns) {
  const sizes = Float64Array.from(values, Math.abs).sort();
  const scale = sizes[Math.floor(0.995 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
  [canvas.width, canvas.height] = [columns, rows];
  const image = new ImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    image.data.set(values[i] < 0 ? NEGATIVE : POSITIVE, 4 * i);
    image.data[4 * i + 3] = 255 * Math.min(1, Math.abs(values[i]) / scale);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function paint_pixels(canvas, pixels, side, grey = false) {   // (side, side, 3), as the model sees them
  [canvas.width, canvas.height] = [side, side];
  const image = new ImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    const rgb = pixels.subarray(3 * i, 3 * i + 3), mean = (rgb[0] + rgb[1] + rgb[2]) / 3;
    image.data.set(grey ? [mean, mean, mean, 255] : [...rgb, 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function over_colours(gradient) {                             // (A, A, 3) -> sums and sums of sizes (A, A)
  const sum = new Float64Array(gradient.length / 3), size = new Float64Array(gradient.length / 3);
  gradient.forEach((value, i) => {
    sum[Math.floor(i / 3)] += value;
    size[Math.floor(i / 3)] += Math.abs(value);
  });
  return {sum, size};
}

function code_of(text) {                                      // a function's source, its remarks faint
  const pre = element("pre", {tabindex: 0});
  for (const line of text.split("\n")) {
    const at = line.search(/\/\/ /);
    pre.append(...at < 0 ? [line] : [line.slice(0, at), element("span", {class: "remark"}, line.slice(at))], "\n");
  }
  return pre;
}

function formulas_of(text) {                                  // the remarks at the head of a function
  const found = [];
  for (const line of text.split("\n").slice(1)) {
    const remark = line.match(/^\s*\/\/ (.*)/);
    if (!remark) break;
    found.push(remark[1]);
  }
  return found.join("\n");
}

// Run `show` when a section is on the screen and what it shows has changed; what is not looked at costs nothing.
const stale = new Set();                                      // sections that do not show what they should, yet
function when_seen(id, show) {
  let seen = false;
  function refresh() {
    if (!seen || !stale.has(id)) return;
    show();
    stale.delete(id);
  }
  new IntersectionObserver(entries => {
    seen = entries[entries.length - 1].isIntersecting;
    refresh();
  }).observe(by_id(id));
  return () => {
    stale.add(id);
    refresh();
  };
}
