// The page's model and its current image; sections subscribe to changes of either.
"use strict";

const header = JSON.parse(by_id("header").textContent), heat_colours = bytes_from(header.colours);
const model = captioner_of(header, new Float32Array(bytes_from(by_id("weights").textContent).buffer));
by_id("weights").remove();                                    // megabytes of text that nobody reads again

// image: of open_image; pixels: (A, A, 3), 0 to 255; chosen: which hypothesis; looks: of looked_at; word: which word
const now = {image: null, name: "", pixels: null, hypotheses: [], chosen: 0, looks: null, word: 0};
const events = new EventTarget();
const on = (name, listener) => events.addEventListener(name, listener);
const tell = name => events.dispatchEvent(new Event(name));

const ids_now = () => now.hypotheses[now.chosen].ids;
const word_now = () => now.looks.words[now.word];
const width_now = () => Number(document.querySelector("[name=decoding]:checked").value);
let taught = 0;                                               // steps of training since the model was as exported

let asked = 0;                                                // captions so far; only the last is shown

async function caption_again() {                              // after another image, decoding, runtime, or model
  const mine = ++asked, {pixels} = now;
  if (!pixels) return;
  try {
    await show_one(pixels, await captions_of(model, pixels, width_now()), 0, mine);
  } catch (error) {
    if (mine === asked) fail(error);
  }
}

async function choose(hypothesis) {
  if (now.looks) await show_one(now.pixels, now.hypotheses, hypothesis, ++asked).catch(fail);
}

async function show_one(pixels, hypotheses, chosen, mine) {
  const looks = await looked_at(model, pixels, hypotheses[chosen].ids);
  if (mine !== asked) return;
  Object.assign(now, {hypotheses, chosen, looks, word: Math.min(now.word, Math.max(0, looks.words.length - 1))});
  tell("caption");
  tell("word");
}

function choose_word(word) {
  if (word === now.word || !now.looks) return;
  now.word = word;
  tell("word");
}

let latest = 0, taking = null;                                // the promise that the last image's caption is shown

function take(blob, name) {                                   // from now on the current image
  taking = take_now(blob, name, ++latest);
  return taking;
}

async function take_now(blob, name, mine) {
  by_id("error").hidden = true;
  try {
    const image = await open_image(blob), pixels = model_pixels(image, model.config.image_size);
    if (mine !== latest) return;                              // another came meanwhile
    asked += 1;                                               // a caption of the image before comes too late
    Object.assign(now, {image, pixels, name, word: 0, looks: null});
    tell("image");
    await pause();
    await caption_again();
  } catch (error) {
    if (mine === latest) fail(error);
  }
}

function fail(error) {
  if (!(error instanceof ImageError)) console.error(error);
  by_id("error").textContent = error instanceof ImageError ? error.message
    : `The page failed: ${error.message}. Load it again.`;
  by_id("error").hidden = false;
}
