// The runtimes in this page: our own JavaScript, ONNX Runtime Web, or both, with a switch and a comparison.
"use strict";

async function unzipped(id) {                                 // a script element's base64 of gzip -> Uint8Array
  const bytes = bytes_from(by_id(id).textContent);
  by_id(id).remove();                                         // megabytes of text that nobody reads again
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const parsed = new Promise(done => document.addEventListener("DOMContentLoaded", done));  // and modules have run

let loading = null;
function load_onnx() {                                        // once -> {encoder, decoder, gradient}, bytes each
  loading ??= parsed.then(async () => {
    Object.assign(ort.env, {logLevel: "error"});
    Object.assign(ort.env.wasm, {numThreads: 1, wasmBinary: (await unzipped("wasm")).buffer});
    const names = ["encoder", "decoder", "gradient"], graphs = await Promise.all(names.map(unzipped));
    return Object.fromEntries(names.map((name, i) => [name, graphs[i]]));
  });
  return loading;
}

const weights_now = () => taught ? Float32Array.from(model.flat) : model.original;
const runtimes = {js: model.runtime};
if (header.runtime !== "js") runtimes.onnx = onnx_runtime(model.config, load_onnx, weights_now);
if (header.runtime === "onnx") model.runtime = runtimes.onnx;
const compared_runtimes = header.runtime === "both" ? Object.values(runtimes) : [model.runtime];

function by_runtime(name) {                                   // -> the model, computed by a runtime of that name
  if (name === undefined) return model;
  if (Object.hasOwn(runtimes, name)) return {...model, runtime: runtimes[name]};
  throw new RangeError(`There is no runtime ${name} in this page; it has ${Object.keys(runtimes).join(" and ")}.`);
}

function farthest(a, b) {                                     // -> the largest difference
  return a.data.reduce((most, value, i) => Math.max(most, Math.abs(value - b.data[i])), 0);
}

// The current image's caption by both runtimes, and the log-probabilities of all tokens in each of its places.
async function compare_runtimes() {
  const {pixels, looks} = now, ids = ids_now(), width = width_now(), found = [];
  by_id("agreement").textContent = "";
  for (const runtime of compared_runtimes) {
    const by = {...model, runtime}, {log_probs} = await looked_at(by, pixels, ids);  // loads what is not yet there
    const start = performance.now(), [best] = await captions_of(by, pixels, width), ms = performance.now() - start;
    await pause();
    if (looks !== now.looks) return;                          // another caption by now
    found.push({name: runtime.name, said: String(best.ids), ms, log_probs});
  }
  const [ours, theirs] = found, same = ours.said === theirs.said, line = by_id("agreement");
  const times = found.map(({name, ms}) => `${name} ${ms.toFixed(0)} ms`).join(", ");
  line.textContent = `${same ? "The same" : "Other"} tokens by both runtimes: ${times}. Log-probabilities differ by at `
    + `most ${short(farthest(ours.log_probs, theirs.log_probs))} nats.`;
  line.className = same ? "numbers" : "wrong";
}

async function show_licences() {
  const text = by_id("licences").querySelector("pre");
  if (by_id("notices")) text.textContent = new TextDecoder().decode(await unzipped("notices"));
}

function set_up_runtimes() {
  on("weights", () => runtimes.onnx?.forget());
  for (const place of document.querySelectorAll("[data-runtimes]")) {
    place.hidden = !place.dataset.runtimes.split(" ").includes(header.runtime);
  }
  by_id("licences").addEventListener("toggle", () => show_licences().catch(fail));
  if (header.runtime !== "both") return;
  on("caption", () => compare_runtimes().catch(fail));
  for (const radio of document.querySelectorAll("[name=runtime]")) {
    radio.addEventListener("change", () => {
      model.runtime = runtimes[radio.value];
      caption_again();
    });
  }
}
