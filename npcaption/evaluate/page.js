// The page of an evaluation: where the model looked for a word, and the order and choice of captions.
"use strict";

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const colours = bytes(document.body.dataset.colours);    // red, green, blue, opacity of each of 256 heats
const canvas = document.createElement("canvas"), cells = document.createElement("canvas");
canvas.width = canvas.height = 256;

function draw(map) {
  cells.width = cells.height = Math.sqrt(map.length);
  const image = new ImageData(cells.width, cells.height);
  map.forEach((heat, i) => image.data.set(colours.subarray(4 * heat, 4 * heat + 4), 4 * i));
  cells.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, 256, 256);
  context.imageSmoothingQuality = "high";
  context.drawImage(cells, 0, 0, 256, 256);
}

function look(event) {                                  // at the word pointed at, or else at the one with the focus
  const word = [event.type != "focusout" && event.target, document.activeElement].find(e => e?.dataset?.map);
  if (!word) return canvas.remove();
  draw(bytes(word.dataset.map));
  word.closest("article").querySelector("figure").prepend(canvas);
}
for (const type of ["pointerover", "focusin", "focusout"]) document.addEventListener(type, look);
const words = document.querySelectorAll("[data-map]");   // none in a page without photographs
for (const word of words) word.tabIndex = 0;
for (const element of document.querySelectorAll("[hidden]")) {
  element.hidden = element.className === "how" && !words.length;
}

const main = document.querySelector("main"), form = document.querySelector("form");
const first = [...main.children], cards = first.filter(element => element.matches("article"));
const texts = new Map(cards.map(card => [card, card.textContent.toLowerCase()]));
const score = (card, missing) => Number(card.dataset.score ?? missing);
const orders = {
  best: (a, b) => score(b, -1) - score(a, -1),
  worst: (a, b) => score(a, 99) - score(b, 99),
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, {numeric: true}),
};

function filter() {
  const wanted = form.text.value.trim().toLowerCase();
  for (const card of cards) card.hidden = !texts.get(card).includes(wanted);
  for (const heading of main.querySelectorAll("h3")) heading.hidden = wanted || form.order.value != "ends";
  form.shown.value = `${cards.filter(card => !card.hidden).length} of ${cards.length}`;
}
function sort() {
  const order = orders[form.order.value];
  main.append(...order ? [...cards].sort(order) : first);
  filter();
}
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("input", event => {
  event.target == form.order ? sort() : filter();
  if (main.getBoundingClientRect().top < 0) main.scrollIntoView();
});
sort();                                                 // a page that is loaded again may keep what was chosen
