// A drawing of the visitor's own.
"use strict";

const PAINTS = {green: "#2f7d32", grass: "#7fb069", blue: "#3b82c4", sky: "#bfe0f5", white: "#ffffff", sand: "#d9b98a",
  brown: "#5b3a1e", black: "#1b1b1b", red: "#c62828", yellow: "#f2c230"};

function set_up_pad() {
  const canvas = by_id("pad-canvas"), context = canvas.getContext("2d"), colours = by_id("pad-colours");
  let last = null, paint = "brown";
  const clear = () => {
    context.fillStyle = PAINTS.grass;
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  clear();
  const choose_paint = chosen => {
    paint = chosen;
    for (const button of colours.children) button.setAttribute("aria-checked", button.dataset.paint === chosen);
  };
  colours.append(...Object.keys(PAINTS).map(name => {
    const button = element("button", {type: "button", class: "colour", role: "radio", "data-paint": name, title: name,
      "aria-label": name, onclick: () => choose_paint(name)});
    button.style.background = PAINTS[name];
    return button;
  }));
  choose_paint(paint);
  const stroke = event => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    const here = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    context.strokeStyle = PAINTS[paint];
    context.lineWidth = Number(by_id("pad-size").value);
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(...last ?? here);
    context.lineTo(here[0] + 0.01, here[1]);
    context.stroke();
    last = here;
  };
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    last = null;
    stroke(event);
  });
  canvas.addEventListener("pointermove", event => event.buttons && stroke(event));
  by_id("pad-clear").addEventListener("click", clear);
  by_id("pad-open").addEventListener("click", () => { by_id("pad").hidden = !by_id("pad").hidden; });
  by_id("pad-done").addEventListener("click", () => canvas.toBlob(blob => take(blob, "drawing")));
}
