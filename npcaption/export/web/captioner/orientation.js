// Which way up an image is: its orientation, 1 to 8, by its EXIF or else its XMP data, found where Pillow finds it.
"use strict";

// Two pixels, black and white, with the EXIF entry "turned by half": whether the browser turns such files.
const TURNED = {
  png: "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAGmVYSWZNTQAqAAAACAABARIAAwAAAAEAAwAAAAAAAIRfZM4AAAAPSURBVHic"
    + "Y2BgYPj//z8ABgEC/gKyOa4AAAAASUVORK5CYII=",
  webp: "UklGRlQAAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TBMAAAAvAQAAAA8w//M///MfeKhARP8DAEVYSUYaAAAATU0AKgAAAAgAAQESAAMA"
    + "AAABAAMAAAAAAAA=",
};
const ADOBE = "http://ns.adobe.com/xap/1.0/\0", IN_XMP = /tiff:Orientation(?:="|>)([1-9])/;

function view_of(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function chunks_of(bytes, kind) {                             // of a PNG or WebP -> [{name, body}]
  const view = view_of(bytes), little = kind === "webp", found = [];
  for (let at = little ? 12 : 8; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + (little ? 4 : 0), little), start = at + 8, end = start + size;
    if (end > bytes.length) break;
    const name = little ? letters(bytes, at, at + 4) : letters(bytes, at + 4, at + 8);
    found.push({name, body: bytes.subarray(start, end)});
    at = little ? end + size % 2 : end + 4;
  }
  return found;
}

function segments_of(bytes) {                                 // of a JPEG, up to the first scan -> {bodies, end}
  const view = view_of(bytes), bodies = [];
  let at = 2;
  while (at + 4 < bytes.length && !(bytes[at] === 0xff && bytes[at + 1] === 0xda)) {
    const next = at + (bytes[at + 1] === 0xff ? 1 : 2 + view.getUint16(at + 2));
    if (bytes[at + 1] >= 0xe0 && bytes[at + 1] <= 0xef) bodies.push(bytes.subarray(at + 4, next));  // applications'
    at = next;
  }
  return {bodies, end: at};
}

async function png_text({name, body}) {                       // -> [key, text] of a tEXt, zTXt or iTXt chunk
  const all = letters(body, 0, body.length), [key] = all.split("\0", 1);
  let start = key.length + 1, zipped = name === "zTXt";
  if (name === "zTXt") start += 1;                            // the method
  if (name === "iTXt") {                                      // whether zipped, the method, two texts more
    zipped = body[start] === 1;
    start = all.indexOf("\0", all.indexOf("\0", start + 2) + 1) + 1;
  }
  if (!zipped) return [key, all.slice(start)];
  const stream = new Blob([body.subarray(start)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = new Uint8Array(await new Response(stream).arrayBuffer());
  return [key, letters(whole, 0, whole.length)];
}

// -> {exif: bytes or null, browser: whether browsers know that place for it, xmp: texts}
async function metadata_of(bytes, kind) {
  if (kind === "jpeg") {
    const {bodies} = segments_of(bytes), texts = bodies.map(body => letters(body, 0, body.length));
    const adobe = texts.filter(text => text.startsWith(ADOBE)).slice(-1);
    const exif = bodies.find(body => letters(body, 0, 5) === "Exif\0") ?? null;
    return {exif, browser: true, xmp: [...adobe, ...texts]};  // also in other applications' data
  }
  const chunks = chunks_of(bytes, kind), exif = chunks.find(({name}) => /^exif$/i.test(name))?.body ?? null;
  if (kind === "webp") {
    const xmp = chunks.filter(({name}) => name === "XMP ").map(({body}) => letters(body, 0, body.length));
    return {exif, browser: await browser_turns(kind), xmp};
  }
  const texts = Object.fromEntries(await Promise.all(
    chunks.filter(({name}) => /^(tEXt|zTXt|iTXt)$/.test(name)).map(png_text)));
  const xmp = [texts["XML:com.adobe.xmp"] ?? ""], profile = texts["Raw profile type exif"];
  if (exif || !profile) return {exif, browser: await browser_turns(kind), xmp};
  const digits = profile.split("\n").slice(3).join("").match(/../g) ?? [];  // as ImageMagick writes it
  return {exif: Uint8Array.from(digits, pair => parseInt(pair, 16)), browser: false, xmp};
}

const after_name = bytes => bytes.subarray(letters(bytes, 0, 4) === "Exif" ? 6 : 0);
const is_exif = bytes => /^(II\*\0|MM\0\*)[^]{4}/.test(letters(after_name(bytes), 0, 8));

function exif_orientation(bytes) {                            // 0 if it has none; RangeError if it is no EXIF
  if (!is_exif(bytes)) throw new RangeError("no EXIF");
  const body = after_name(bytes), view = view_of(body), little = body[0] === 0x49;
  const directory = view.getUint32(4, little);
  for (let entry = directory + 2; entry + 12 <= body.length; entry += 12) {
    if ((entry - directory - 2) / 12 === view.getUint16(directory, little)) break;
    if (view.getUint16(entry, little) === 0x0112) return view.getUint16(entry + 8, little);
  }
  return 0;                                                   // also where it ends too early
}

// The turn that the browser leaves to be done.  RangeError for what is no EXIF: Pillow then turns nothing but a JPEG
async function orientation_left(bytes, kind) {
  const {exif, browser, xmp} = await metadata_of(bytes, kind), known = exif && (kind !== "jpeg" || is_exif(exif));
  const by_exif = known ? exif_orientation(exif) : 0;
  if (by_exif) return browser ? 1 : by_exif;
  for (const text of xmp) if (IN_XMP.test(text)) return Number(text.match(IN_XMP)[1]);
  return 1;
}

async function orientation_of(bytes, kind) {                  // 1 to 8
  if (kind !== "jpeg" && !(kind in TURNED)) return 1;         // of others the browser does all, or Pillow reads none
  try {
    const found = await orientation_left(bytes, kind);
    return found < 9 ? found : 1;
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return 1;  // also of what does not unzip
    throw error;
  }
}

function turn_of(orientation, width, height) {                // the canvas's transformation, for a file of that size
  return [null, [1, 0, 0, 1, 0, 0], [-1, 0, 0, 1, width, 0], [-1, 0, 0, -1, width, height], [1, 0, 0, -1, 0, height],
    [0, 1, 1, 0, 0, 0], [0, 1, -1, 0, height, 0], [0, -1, -1, 0, height, width], [0, -1, 1, 0, 0, width]][orientation];
}

const turns = {};                                             // by kind: whether the browser turns it, asked once
async function browser_turns(kind) {
  turns[kind] ??= decoded(new Blob([bytes_from(TURNED[kind])])).then(bitmap => {
    const context = canvas_of(2, 1);
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, 2, 1).data[0] > 127;
  });
  return turns[kind];
}
