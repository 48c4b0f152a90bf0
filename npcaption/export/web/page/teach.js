// Section 5: a visitor's own caption, learnt by AdamW on all parameters; what is forgotten elsewhere; an exact reset.
"use strict";

const moments = {m: null, v: null, step: 0}, curve = [];      // of AdamW; losses so far

function lesson_ids() {
  return caption_ids(model.tokenizer, by_id("lesson").value, model.config.max_length);
}

function teach_step(pixels, ids, learning_rate) {             // -> the loss before it, in nats a token
  const {config, layers, p, flat} = model, {flat: g, g: views} = gradients_like(model);
  const image = float_image(model, pixels);
  const [loss, cache] = loss_forward(layers, config, p, image, ids.slice(0, -1), targets_of(ids), ids.length - 1);
  if (!Number.isFinite(loss)) return loss;                    // the weights stay as they are
  loss_backward(layers, 1, cache, views);
  moments.m ??= new Float64Array(flat.length);
  moments.v ??= new Float64Array(flat.length);
  adamw(flat, g, moments.m, moments.v, ++moments.step, {learning_rate});
  return loss;
}

function draw_curve() {
  const canvas = by_id("curve"), context = canvas.getContext("2d"), {width, height} = canvas;
  const style = getComputedStyle(document.body);
  context.clearRect(0, 0, width, height);
  if (!curve.length) return;
  const top = Math.max(...curve) * 1.05, y = loss => height - 24 - (height - 36) * loss / top;
  const x = i => 40 + (width - 52) * i / Math.max(1, curve.length - 1);
  context.strokeStyle = context.fillStyle = style.color;
  context.font = "13px system-ui, sans-serif";
  context.fillText(curve[0].toFixed(2), 2, y(curve[0]) + 4);
  context.fillText("0", 26, height - 20);
  const steps = curve.length === 1 ? "1 step" : `${curve.length} steps`, last = curve[curve.length - 1];
  context.fillText(`${steps}: loss ${last.toFixed(3)} nats a token`, 40, height - 4);
  context.globalAlpha = 0.3;
  context.strokeRect(40, 12, width - 52, height - 36);
  context.globalAlpha = 1;
  context.lineWidth = 2;
  context.strokeStyle = style.getPropertyValue("--gradient") || style.color;
  context.beginPath();
  curve.forEach((loss, i) => context[i ? "lineTo" : "moveTo"](x(i), y(loss)));
  context.stroke();
  context.lineWidth = 1;
  curve.forEach((loss, i) => context.strokeRect(x(i) - 1, y(loss) - 1, 2, 2));
}

async function said_of(pixels) {                              // by the engine that learns, whatever captions above
  const [{ids}] = await captions_of(by_runtime("js"), pixels, 1);
  return model.tokenizer.decode(ids);
}

async function show_elsewhere() {
  const others = scenes.filter(scene => scene.pixels && scene.name !== now.name);
  const captions = await Promise.all(others.map(scene => taught ? said_of(scene.pixels) : scene.said));
  by_id("elsewhere").replaceChildren(...others.map((scene, i) => {
    const caption = captions[i], changed = caption !== scene.said;
    return element("div", {class: "other"}, element("img", {src: scene.url, alt: scene.name}),
      element("span", {}, ...changed ? [element("s", {}, scene.said), " ", element("b", {}, caption)] : [caption]));
  }));
}

async function teach(steps) {
  const buttons = document.querySelectorAll("#teach button"), status = by_id("teach-status");
  if (!now.pixels || !by_id("lesson").value.trim()) {
    status.textContent = "Write a caption first.";
    return by_id("lesson").focus();
  }
  if (by_id("break").value !== "") {
    status.textContent = "A backward is broken: choose “nothing” under Check it first.";
    return;
  }
  buttons.forEach(button => { button.disabled = true; });
  const {pixels} = now, ids = lesson_ids();                   // another image or text in between is not this lesson's
  try {
    await window.npcaption.compared;                          // the scenes' captions by the model as it was exported
    for (let i = 0; i < steps; i++) {
      const loss = teach_step(pixels, ids, Number(by_id("rate").value));
      if (!Number.isFinite(loss)) {
        status.textContent = "The loss is no longer finite. Reset, and take a smaller learning rate.";
        break;
      }
      taught += 1;
      tell("weights");
      curve.push(loss);
      draw_curve();
      by_id("teach-now").textContent = await said_of(pixels);
      status.textContent = `step ${taught}, loss ${loss.toFixed(3)} nats a token before it`;
      await pause();
    }
    await caption_again();
  } finally {
    buttons.forEach(button => { button.disabled = false; });
  }
}

function reset() {                                            // the very weights of the file
  model.flat.set(model.original);
  Object.assign(moments, {m: null, v: null, step: 0});
  curve.length = taught = 0;
  by_id("teach-status").textContent = "as exported";
  draw_curve();
  tell("weights");
  caption_again();
}

function show_lesson() {                                      // how the tokenizer reads it: unknown words, cuts
  const text = by_id("lesson").value, read = text ? model.tokenizer.decode(lesson_ids()) : "";
  by_id("lesson-read").textContent = read && read !== text ? `Read by the model as: ${read}` : "";
}

async function show_teaching() {
  if (!now.looks) return;
  by_id("teach-now").textContent = await said_of(now.pixels);
  await show_elsewhere();
}

function set_up_teach() {
  const refresh = when_seen("teach", show_teaching);
  on("caption", refresh);
  on("image", () => { curve.length = 0; draw_curve(); });
  on("scenes", refresh);
  by_id("teach-one").addEventListener("click", () => teach(1));
  by_id("teach-ten").addEventListener("click", () => teach(10));
  by_id("teach-reset").addEventListener("click", reset);
  by_id("lesson").addEventListener("input", show_lesson);
  by_id("lesson").addEventListener("keydown", event => event.key === "Enter" && teach(1));
}
