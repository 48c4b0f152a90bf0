// A drawing of the visitor's own.
"use strict";

const PAINTS = ["#2f7d32", "#7fb069", "#3b82c4", "#bfe0f5", "#ffffff", "#d9b98a", "#5b3a1e", "#1b1b1b", "#c62828", "#f2c230"];

function set_up_pad() {
  const canvas = by_id("pad-canvas"), context = canvas.getContext("2d"), colours = by_id("pad-colours");
  let last = null, paint = PAINTS[6];
  const clear = () => {
    context.fillStyle = PAINTS[1];
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  clear();
  const choose_paint = chosen => {
    paint = chosen;
    for (const button of colours.children) button.setAttribute("aria-checked", button.dataset.paint === chosen);
  };
  colours.append(...PAINTS.map(each => {
    const button = element("button", {type: "button", class: "colour", role: "radio", "data-paint": each, "aria-label": each,
      onclick: () => choose_paint(each)});
    button.style.background = each;
    return button;
  }));
  choose_paint(paint);
  const stroke = event => {
    const box = canvas.getBoundingClientRect();
    const here = [(event.clientX - box.left) / box.width * canvas.width, (event.clientY - box.top) / box.height * canvas.height];
    context.strokeStyle = paint;
    context.lineWidth = Number(by_id("pad-size").value);
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...last ?? here);
    context.lineTo(here[0] + 0.01, here[1]);
    context.stroke();
    last = here;
  };
  canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); last = null; stroke(event); });
  canvas.addEventListener("pointermove", event => event.buttons && stroke(event));
  by_id("pad-clear").addEventListener("click", clear);
  by_id("pad-open").addEventListener("click", () => { by_id("pad").hidden = !by_id("pad").hidden; });
  by_id("pad-done").addEventListener("click", () => canvas.toBlob(blob => take(blob, "drawing")));
}
