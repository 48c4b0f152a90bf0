// Reading numbers: point at a chart, or reach it with the tab key and use the arrow keys. All charts follow.
// The numbers are those of the table below a chart; data-x and data-y say where they stand in the drawing.
const figures = [...document.querySelectorAll(".charts figure")].map(figure => {
  const plot = figure.querySelector(".plot"), drawing = plot.querySelector("svg");
  const rows = [...figure.querySelectorAll("tbody tr")];
  const marks = document.createElementNS(drawing.namespaceURI, "g");
  drawing.append(marks);
  return {
    plot, drawing, marks, slots: [...figure.querySelectorAll("b")], when: figure.querySelector("output"),
    texts: rows.map(row => [...row.cells].map(cell => cell.textContent)),
    epochs: rows.map(row => Number(row.cells[0].textContent)),
    x: plot.dataset.x.split(" ").map(Number),
    lines: plot.dataset.lines.split("|").map(line => line.split(" ")),    // its colour, and y at each epoch, or -
  };
});
for (const figure of figures) figure.last = [figure.when.textContent, ...figure.slots.map(slot => slot.textContent)];

function element(kind, attributes) {
  const made = document.createElementNS(figures[0].drawing.namespaceURI, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function show(epoch) {                                  // in every chart; null: the last epoch again, without marks
  for (const figure of figures) {
    const at = figure.epochs.indexOf(epoch), found = at >= 0;
    figure.marks.replaceChildren();
    const texts = found ? [`epoch ${epoch}`, ...figure.texts[at].slice(1)] : figure.last;
    figure.when.textContent = texts[0];
    figure.slots.forEach((slot, i) => slot.textContent = texts[i + 1]);
    if (!found) continue;
    figure.marks.append(element("path", {class: "cross", d: `M${figure.x[at]} 10V192`}));
    for (const [colour, ...y] of figure.lines) if (y[at] != "-") {
      figure.marks.append(element("circle", {class: `mark ${colour}`, cx: figure.x[at], cy: y[at], r: 4}));
    }
    figure.plot.setAttribute("aria-valuenow", epoch);
    figure.plot.setAttribute("aria-valuetext", `epoch ${epoch}: ` + figure.slots.map(
      slot => `${slot.dataset.label} ${slot.textContent}`).join(", "));
  }
}

const nearest = (figure, x) => figure.epochs[figure.x.reduce(
  (best, each, i) => Math.abs(each - x) < Math.abs(figure.x[best] - x) ? i : best, 0)];

for (const figure of figures) {
  const {plot, epochs} = figure;
  const about = figure.drawing.getAttribute("aria-label");
  figure.drawing.removeAttribute("role");
  figure.drawing.setAttribute("aria-hidden", "true");
  plot.tabIndex = 0;
  for (const [name, value] of Object.entries({role: "slider", "aria-label": about, "aria-valuemin": epochs[0],
    "aria-valuemax": epochs.at(-1), "aria-valuenow": epochs.at(-1), "aria-valuetext": figure.when.textContent})) plot.setAttribute(name, value);

  const point = event => {
    const box = figure.drawing.getBoundingClientRect();
    show(nearest(figure, (event.clientX - box.left) / box.width * figure.drawing.viewBox.baseVal.width));
  };
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", event => event.pointerType == "mouse" && show(null));
  plot.addEventListener("focus", () => plot.matches(":focus-visible") && show(Number(plot.getAttribute("aria-valuenow"))));
  plot.addEventListener("blur", () => show(null));
  plot.addEventListener("keydown", event => {
    const at = epochs.indexOf(Number(plot.getAttribute("aria-valuenow"))), page = Math.ceil(epochs.length / 10);
    const to = {ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageDown: at - page,
      PageUp: at + page, Home: 0, End: epochs.length - 1}[event.key];
    if (event.key == "Escape") show(null);
    if (to === undefined) return;
    event.preventDefault();
    show(epochs[Math.max(0, Math.min(epochs.length - 1, to))]);
  });
}
for (const hint of document.querySelectorAll("[hidden]")) hint.hidden = false;
