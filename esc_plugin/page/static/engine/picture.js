// Files become pixels, and what the result's file shall say of colours.

import { orientationOf, upright } from "./exif.js";
import { Failure, reasonOf } from "./failure.js";
import { factsOf } from "./jpeg.js";
import { ascii, chunksOf, isPng, joined, text } from "./png_chunks.js";
import { headOf, readPng } from "./png_read.js";
import { isTransparent } from "./values.js";

/** @typedef {import("./png_chunks.js").Bytes} Bytes */
/** @typedef {import("./png_chunks.js").Chunk} Chunk */
/** @typedef {import("./values.js").Picture} Picture */
/** @typedef {{code: string, message: string, values: object}} Notice */

/**
 * A file that has been read.
 * @typedef {object} Opened
 * @property {Picture} picture
 * @property {string} format
 * @property {Chunk[]} chunks For the result: text, and what says how to show the colours.
 * @property {Notice[]} notices What of the file isn't in the picture, or won't be in the result.
 */

/** A file that claims more pixels is damaged, or more than a browser holds. */
const MOST_PIXELS = 2 ** 27;
/** Rows of a picture that are drawn at once, so that no canvas is too large. */
const STRIP_PIXELS = 2 ** 22;
/** Chunks that stay true whatever the size; as in esc_plugin/files/png.py. */
const KEPT = ["gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI", "iCCP", "pHYs", "tEXt", "zTXt", "iTXt"];
/** Text that holds what was true of the original only, by the start of the chunk. */
const METADATA = ["XML:com.adobe.xmp\0", "Raw profile type exif\0", "Raw profile type APP1\0"];

/**
 * Read a file, whatever it is called.
 * @param {Blob} blob
 * @returns {Promise<Opened>}
 */
export async function openPicture(blob) {
  const file = new Uint8Array(await blob.arrayBuffer());
  if (isPng(file)) return openPng(file);
  if (file[0] === 0xff && file[1] === 0xd8) return openJpeg(blob, file);
  return openOther(blob, formatOf(file));
}

/**
 * @param {Bytes} file
 * @returns {Promise<Opened>}
 */
async function openPng(file) {
  const { width, height, depth } = headOf(file);
  checkSize(width, height);
  const all = [...chunksOf(file)];
  const names = all.map(({ name }) => name);
  const profiled = names.includes("iCCP");
  const kept = all.filter(({ name, data }) => KEPT.includes(name) && !isMetadata(data) && !(profiled && name === "sRGB"));
  const notices = lostNotices(lostOf(all));
  if (depth === 16) notices.push(notice("depth-lost", "Its 16 bits per sample are rounded to 8.", { bits: 16 }));
  if (names.includes("acTL")) notices.push(animation());
  const exif = all.find(({ name }) => name === "eXIf");
  const picture = upright(await readPng(file), exif ? orientationOf(exif.data) : 1);
  return { picture, format: "PNG", chunks: kept, notices };
}

/** @param {Chunk[]} chunks */
function lostOf(chunks) {
  const xmp = chunks.some(({ data }) => startsAs(data, METADATA[0]));
  const exif = chunks.some(({ name, data }) => name === "eXIf" || METADATA.slice(1).some((start) => startsAs(data, start)));
  return [...(exif ? ["EXIF"] : []), ...(xmp ? ["XMP"] : [])];
}

/** @param {Uint8Array} data */
const isMetadata = (data) => METADATA.some((start) => startsAs(data, start));

/**
 * @param {Uint8Array} data
 * @param {string} start
 */
const startsAs = (data, start) => text(data.subarray(0, start.length)) === start;

/**
 * @param {Blob} blob
 * @param {Bytes} file
 * @returns {Promise<Opened>}
 */
async function openJpeg(blob, file) {
  const { components, profile, others } = factsOf(file);
  const samples = components === 1 ? 1 : 3;
  // A profile of inks says nothing of the colours that the browser makes of them.
  const fits = profile !== null && text(profile.subarray(16, 20)) === (samples === 1 ? "GRAY" : "RGB ");
  const picture = await decoded(blob, samples, fits ? "none" : "default");
  const chunks = fits ? [await profileChunk(profile)] : [];
  return { picture, format: "JPEG", chunks, notices: lostNotices(others) };
}

/**
 * Read a format of which only the browser knows how it is coded. Its colours become sRGB.
 * @param {Blob} blob
 * @param {string} format
 * @returns {Promise<Opened>}
 */
async function openOther(blob, format) {
  const picture = await decoded(blob, 4, "default");
  const faint = picture.pixels.some((value, i) => i % 4 === 3 && value > 0 && value < 255);
  const message = `Transparency of ${format} goes through a canvas, which rounds the colours of faint pixels.`;
  const notices = faint ? [notice("alpha-rounded", message, { format })] : [];
  return { picture: isTransparent(picture) ? picture : withoutAlpha(picture), format, chunks: [], notices };
}

/** @param {Bytes} file */
function formatOf(file) {
  const start = text(file.subarray(0, 16));
  if (start.startsWith("RIFF") && start.slice(8, 12) === "WEBP") return "WebP";
  if (start.startsWith("GIF8")) return "GIF";
  if (start.startsWith("BM")) return "BMP";
  return start.slice(4, 8) === "ftyp" ? "AVIF" : "image";
}

/**
 * Let the browser decode a picture, upright.
 * @param {Blob} blob
 * @param {1 | 3 | 4} samples
 * @param {"none" | "default"} colorSpaceConversion
 * @returns {Promise<Picture>}
 */
async function decoded(blob, samples, colorSpaceConversion) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      colorSpaceConversion,
      premultiplyAlpha: "none",
      imageOrientation: "from-image",
    });
  } catch (error) {
    const reason = reasonOf(error);
    throw new Failure("picture-unreadable", `The browser can't read this as a picture: ${reason}`, { reason });
  }
  try {
    checkSize(bitmap.width, bitmap.height);
    return drawn(bitmap, samples);
  } finally {
    bitmap.close();
  }
}

/**
 * @param {ImageBitmap} bitmap
 * @param {1 | 3 | 4} samples
 * @returns {Picture}
 */
function drawn(bitmap, samples) {
  const { width, height } = bitmap;
  const rows = Math.min(Math.max(Math.floor(STRIP_PIXELS / width), 1), height);
  const canvas = new OffscreenCanvas(width, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Failure("memory", "There is no memory for a canvas.", { reason: "canvas" });
  context.globalCompositeOperation = "copy";
  const pixels = new Uint8Array(width * height * samples);
  for (let top = 0, to = 0; top < height; top += rows) {
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, Math.min(rows, height - top));
    for (let from = 0; from < data.length; from += 4) for (let i = 0; i < samples; i++) pixels[to++] = data[from + i];
  }
  return { width, height, samples, pixels };
}

/**
 * @param {Picture} picture
 * @returns {Picture}
 */
function withoutAlpha({ width, height, pixels }) {
  const colours = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < colours.length; from += 4, to += 3) colours.set(pixels.subarray(from, from + 3), to);
  return { width, height, samples: 3, pixels: colours };
}

/**
 * @param {Bytes} profile
 * @returns {Promise<Chunk>}
 */
async function profileChunk(profile) {
  const packed = new Blob([profile]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  return { name: "iCCP", data: joined([ascii("ICC Profile\0\0"), data]) };
}

/**
 * @param {number} width
 * @param {number} height
 */
function checkSize(width, height) {
  const pixels = width * height;
  if (pixels <= MOST_PIXELS) return;
  const message = `The picture has ${pixels} pixels; up to ${MOST_PIXELS} can be upscaled here.`;
  throw new Failure("picture-too-large", message, { pixels, limit: MOST_PIXELS });
}

/**
 * @param {string[]} what
 * @returns {Notice[]}
 */
const lostNotices = (what) =>
  what.length ? [notice("metadata-lost", `Its ${what.join(", ")} won't be in the result.`, { what })] : [];

const animation = () => notice("animation", "It is animated; only the first picture is upscaled.", {});

/**
 * @param {string} code
 * @param {string} message
 * @param {object} values
 * @returns {Notice}
 */
const notice = (code, message, values) => ({ code, message, values });
