// What a JPEG says beside its pixels. These are decoded by the browser.

import { joined, text } from "./png_chunks.js";

/** @typedef {import("./png_chunks.js").Bytes} Bytes */

/**
 * @typedef {object} JpegFacts
 * @property {number} components 1 gray, 3 colours, 4 inks; 0 if the file doesn't say.
 * @property {Bytes | null} profile
 * @property {string[]} others What else it carries.
 */

const PROFILE = "ICC_PROFILE\0";
/** Starts of segments. @type {[number, string, string][]} */
const OTHERS = [
  [0xe1, "Exif\0", "EXIF"],
  [0xe1, "http://ns.adobe.com/xap/", "XMP"],
  [0xed, "Photoshop 3.0", "IPTC"],
  [0xfe, "", "comment"],
];
const SCAN = 0xda;

/**
 * Yield the segments before the pixels.
 * @param {Bytes} file
 * @returns {Generator<{marker: number, data: Bytes}>}
 */
function* segmentsOf(file) {
  for (let at = 2; at + 4 <= file.length && file[at] === 0xff;) {
    const marker = file[at + 1];
    const length = (file[at + 2] << 8) | file[at + 3];
    if (marker === SCAN || length < 2) return;
    yield { marker, data: file.subarray(at + 4, at + 2 + length) };
    at += 2 + length;
  }
}

/** Whether a segment is the head of a frame, of whichever kind. @param {number} marker */
const isFrame = (marker) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

/**
 * @param {Bytes} file
 * @returns {JpegFacts}
 */
export function factsOf(file) {
  let components = 0;
  /** @type {Bytes[]} */
  const parts = [];
  const others = new Set();
  for (const { marker, data } of segmentsOf(file)) {
    if (isFrame(marker)) components = data[5];
    if (marker === 0xe2 && startsWith(data, PROFILE)) parts[data[PROFILE.length]] = data.subarray(PROFILE.length + 2);
    for (const [kind, start, name] of OTHERS) if (marker === kind && startsWith(data, start)) others.add(name);
  }
  return { components, profile: parts.length ? joined(parts.filter(Boolean)) : null, others: [...others] };
}

/**
 * @param {Uint8Array} data
 * @param {string} start
 */
const startsWith = (data, start) => text(data.subarray(0, start.length)) === start;
