// Any image file -> the pixels that the model sees, as Python's load_image makes them, or an ImageError.
"use strict";

class ImageError extends Error {}

const MAX_PIXELS = 178956970;                                 // as Pillow allows
const WIDEST = 8192;                                          // pixels of a canvas, which every browser has

function letters(bytes, start, end) {                         // a character a byte
  let text = "";
  for (let at = start; at < end; at += 8192) {                // as many arguments as every browser takes
    text += String.fromCharCode(...bytes.subarray(at, Math.min(at + 8192, end)));
  }
  return text;
}

function kind_of(bytes) {                                     // by the first bytes, as names and types can be wrong
  const head = letters(bytes, 0, 16), brand = letters(bytes, 8, 12), text = letters(bytes, 0, 256).trimStart();
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("\x89PNG")) return "png";
  if (head.startsWith("GIF8")) return "gif";
  if (head.startsWith("RIFF") && brand === "WEBP") return "webp";
  if (head.startsWith("BM")) return "bmp";
  if (head.startsWith("II*\0") || head.startsWith("MM\0*")) return "tiff";
  if (head.slice(4, 8) === "ftyp" && brand.startsWith("avi")) return "avif";
  if (head.slice(4, 8) === "ftyp") return /^(hei|hev|mif|msf)/.test(brand) ? "heic" : "video";
  if (head.startsWith("%PDF")) return "pdf";
  if (/^(<\?xml|<svg|<!DOCTYPE svg)/i.test(text)) return "svg";
  if (/^<(!DOCTYPE )?html/i.test(text)) return "html";
  return "unknown";
}

const REFUSED = {
  tiff: "it is a TIFF, which browsers do not read. Export it as PNG or JPEG",
  heic: "it is a HEIC, which most browsers do not read. Export it as JPEG",
  video: "it is a video. Save one frame as an image",
  pdf: "it is a PDF. Export the page as PNG",
  svg: "it is an SVG drawing without pixels of its own. Export it as PNG",
  html: "it is a web page. Save the image itself",
};

const IN_XMP_ALONE = /tiff:Orientation(?:="|>)[2-8]/;
const TURNED_AVIF = "it is an AVIF whose turn is written as XMP, which is not read here. Turn it, or save it as JPEG";

function is_whole(bytes, kind) {                              // of half a file browsers show half; Pillow refuses it
  if (kind === "jpeg") {
    const {end} = segments_of(bytes);                         // of what may hold a thumbnail with an end of its own
    for (let i = bytes.length - 2; i > end; i--) if (bytes[i] === 0xff && bytes[i + 1] === 0xd9) return true;
    return false;
  }
  if (kind === "png") return chunks_of(bytes, kind).some(({name}) => name === "IEND");
  if (kind === "webp") return view_of(bytes).getUint32(4, true) + 8 <= bytes.length;
  return true;
}

function bytes_from(base64) {
  return Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
}

function decoded(blob) {                                      // upright, without colour management, as Pillow has it
  const settings = {imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none"};
  return createImageBitmap(blob, settings);
}

function canvas_of(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas.getContext("2d", {willReadFrequently: true});
}

// blob -> {width, height, draw(context, scale, left, top)}, which draws a part of it upright, on white
async function open_image(blob) {
  const refuse = reason => new ImageError(`${blob.name || "The image"} cannot be read: ${reason}.`);
  if (!blob.size) throw refuse("it is empty");
  const bytes = new Uint8Array(await blob.arrayBuffer()), kind = kind_of(bytes);
  if (REFUSED[kind]) throw refuse(REFUSED[kind]);
  if (kind === "avif" && IN_XMP_ALONE.test(letters(bytes, 0, bytes.length))) throw refuse(TURNED_AVIF);
  if (!is_whole(bytes, kind)) throw refuse("it ends too early. Copy or download it again");
  let bitmap;
  try {
    bitmap = await decoded(new Blob([bytes]));
  } catch (error) {
    throw refuse(kind === "unknown" ? "its format is not known. Give a JPEG or PNG"
      : `this ${kind.toUpperCase()} is damaged, or too large for this browser. Save it as a JPEG of fewer pixels`);
  }
  const pixels = bitmap.width * bitmap.height;
  if (pixels > MAX_PIXELS) {
    const [found, most] = [pixels, MAX_PIXELS].map(count => count.toLocaleString("en"));
    throw refuse(`it has ${found} pixels, and at most ${most} are read. Shrink it`);
  }
  const orientation = await orientation_of(bytes, kind);
  const turn = turn_of(orientation, bitmap.width, bitmap.height);
  const [width, height] = orientation < 5 ? [bitmap.width, bitmap.height] : [bitmap.height, bitmap.width];
  return {width, height, draw(context, scale = 1, left = 0, top = 0) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.setTransform(scale, 0, 0, scale, -left, -top);
    context.transform(...turn);
    context.drawImage(bitmap, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }};
}

function model_pixels(image, size) {                          // an open image -> (size, size, 3), 0 to 255
  let context = null;
  function tile(left, top, columns, rows) {
    if (context?.canvas.width !== columns || context.canvas.height !== rows) context = canvas_of(columns, rows);
    context.imageSmoothingEnabled = false;
    image.draw(context, 1, left, top);
    return context.getImageData(0, 0, columns, rows).data;
  }
  return squash(image.width, image.height, size, (top, rows) => {
    if (image.width <= WIDEST) return tile(0, top, image.width, rows);
    const whole = new Uint8Array(image.width * rows * 4);     // of tiles side by side, as no canvas is so wide
    for (let left = 0; left < image.width; left += WIDEST) {
      const columns = Math.min(WIDEST, image.width - left), part = tile(left, top, columns, rows);
      for (let y = 0; y < rows; y++) {
        whole.set(part.subarray(y * columns * 4, (y + 1) * columns * 4), (y * image.width + left) * 4);
      }
    }
    return whole;
  });
}

// Whether a canvas gives back what was put into it. Protection against fingerprints (Brave, Tor, resistFingerprinting)
// returns other pixels, and so other captions.
function canvas_is_faithful() {
  const context = canvas_of(32, 32), image = context.createImageData(32, 32);
  for (let i = 0; i < image.data.length; i++) image.data[i] = i % 4 === 3 ? 255 : i * 7919 % 251;
  context.putImageData(image, 0, 0);
  return context.getImageData(0, 0, 32, 32).data.every((value, i) => value === image.data[i]);
}
