// The start: images from files, clipboard and scenes; the badge; and window.npcaption, for scripts.
"use strict";

// The built-in scenes; pixels and said are there once the badge has looked at them.
const scenes = header.scenes.map(scene => ({...scene, bytes: bytes_from(scene.png),
  url: `data:image/png;base64,${scene.png}`}));

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

async function compare_scenes() {                             // with the pixels and captions that NumPy recorded
  by_id("badge").textContent = "Comparing with what NumPy recorded…";
  let pixels = 0, captions = 0, total = 0;
  for (const scene of scenes) {
    scene.pixels = model_pixels(await open_image(new Blob([scene.bytes])), model.config.image_size);
    pixels += crc32(scene.pixels) === scene.crc32;
    for (const runtime of compared_runtimes) {
      const by = {...model, runtime}, [greedily] = await captions_of(by, scene.pixels, 1);
      const [best] = await captions_of(by, scene.pixels, header.beam);
      scene.said ??= model.tokenizer.decode(greedily.ids);
      captions += String(greedily.ids) === String(scene.greedy);
      captions += String(best.ids) === String(scene.beam);
      total += 2;
      await pause();
      if (taught) return null;                                // it is another model by now
    }
  }
  return {scenes: scenes.length, pixels, captions, total};
}

function show_badge({scenes: count, pixels, captions, total}) {
  const right = pixels === count && captions === total, badge = by_id("badge");
  badge.className = `badge ${right ? "right" : "wrong"}`;
  badge.textContent = right ? `✓ ${total} of ${total} captions of the built-in images as NumPy recorded them`
    : `✗ ${captions} of ${total} captions as NumPy recorded them, ${pixels} of ${count} images with equal pixels`;
}

function first_image(transfer) {                              // of a drop or a clipboard -> File or null
  const files = [...transfer?.files || []];
  return files.find(file => file.type.startsWith("image/")) || files[0] || null;
}

function take_transfer(transfer) {
  const file = first_image(transfer);
  if (file) return take(file, file.name);
  fail(new ImageError("There was no image file in it. Save the image, and drop or choose the file: this page loads "
    + "nothing from the web."));
}

function set_up_images() {
  const drop = by_id("drop");
  let inside = 0;
  document.addEventListener("dragenter", event => {
    event.preventDefault();
    drop.classList.toggle("over", ++inside > 0);
  });
  document.addEventListener("dragleave", () => drop.classList.toggle("over", --inside > 0));
  document.addEventListener("dragover", event => event.preventDefault());
  document.addEventListener("drop", event => {
    event.preventDefault();                                   // else the browser would leave this page for the file
    inside = 0;
    drop.classList.remove("over");
    take_transfer(event.dataTransfer);
  });
  document.addEventListener("paste", event => {
    if (event.target.tagName === "INPUT" && !first_image(event.clipboardData)) return;  // text into a field
    event.preventDefault();
    take_transfer(event.clipboardData);
  });
  by_id("file").addEventListener("change", event => {
    if (event.target.files[0]) take(event.target.files[0], event.target.files[0].name);
    event.target.value = "";                                  // so that the same file can be chosen again
  });
  by_id("scenes").append(...scenes.map(({name, url, bytes}) => element("button", {type: "button", "data-name": name,
    "aria-pressed": "false", "aria-label": `built-in image: ${name}`, onclick: () => take(new Blob([bytes]), name)},
  element("img", {src: url, alt: "", width: 67, height: 67}))));
}

// ------------------------------------------------------------------------------------------------------ for scripts

const plain_word = ({text, log_probability}) => ({text, log_probability, probability: Math.exp(log_probability)});

async function api_caption(blob, {beam: width = 1, runtime} = {}) {
  if (!(Number.isInteger(width) && width > 0)) throw new RangeError(`beam is ${width}; give a positive whole number.`);
  const by = by_runtime(runtime), pixels = model_pixels(await open_image(blob), model.config.image_size);
  const hypotheses = await captions_of(by, pixels, width);
  for (const each of hypotheses) each.text = model.tokenizer.decode(each.ids);
  const {words, maps} = await looked_at(by, pixels, hypotheses[0].ids);
  return {...hypotheses[0], hypotheses,
    words: words.map(word => ({...plain_word(word), attention: Array.from(attention_of(model, maps, word))}))};
}

// words: a caption as text, as a list of words or of token ids; null for the model's own.  index: which word
async function api_gradient(blob, words, index, {runtime} = {}) {
  const side = model.config.image_size, by = by_runtime(runtime), pixels = model_pixels(await open_image(blob), side);
  const ids = words ? api_ids(words) : (await captions_of(by, pixels, 1))[0].ids;
  const word = (await looked_at(by, pixels, ids)).words[index];
  if (!word) throw new RangeError(`The caption has no word ${index}; they are numbered from 0.`);
  const gradient = Array.from(await by.runtime.pixel_gradient(pixels, ids, word));
  return {word: plain_word(word), ids, shape: [side, side, 3], gradient};
}

function api_ids(words) {
  const {max_length, vocabulary} = model.config;
  if (!Array.isArray(words) || !words.every(word => typeof word === "number")) {
    return caption_ids(model.tokenizer, [words].flat().join(" "), max_length);
  }
  const known = id => Number.isInteger(id) && id >= 0 && id < vocabulary;
  if (words.length > 1 && words.length <= max_length && words.every(known)) return words;
  throw new RangeError(`A caption is 2 to ${max_length} token ids from 0 to ${vocabulary - 1}, start and end among them.`);
}

async function start() {
  const sections = [set_up_look, set_up_walk, set_up_check, set_up_teach];
  for (const set_up of [set_up_images, set_up_pad, set_up_runtimes, ...sections]) set_up();
  if (!canvas_is_faithful()) {
    by_id("warning").textContent = "This browser changes the pixels that a page reads, as protection against tracking. "
      + "The captions here are of changed pixels. Allow canvas access for this page, or open it in another browser.";
    by_id("warning").hidden = false;
  }
  await take(new Blob([scenes[0].bytes]), scenes[0].name);
}

async function compare() {                                    // -> what compare_scenes found
  const found = await compare_scenes();
  if (found) show_badge(found);
  tell("scenes");
  return found;
}

on("weights", () => {
  if (!taught) return compare().catch(fail);
  by_id("badge").className = "badge";
  by_id("badge").textContent = `taught ${taught} steps: no longer the model that NumPy recorded. Reset brings it back`;
});
window.npcaption = {ready: start(), caption: api_caption, gradient: api_gradient};
window.npcaption.compared = window.npcaption.ready.then(compare);
window.npcaption.compared.catch(fail);
