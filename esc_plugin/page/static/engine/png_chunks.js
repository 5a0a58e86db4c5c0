// PNG's frame: a signature, and chunks with a checksum each.

export const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {{name: string, data: Bytes}} Chunk */

/** @type {Record<number, number>} Samples of a pixel by colour type; those of a palette are indices. */
export const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/**
 * Return the CRC-32 of bytes.
 * @param {Uint8Array} bytes
 */
export function crc32(bytes) {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}

/**
 * Return a chunk as it is in a file.
 * @param {Chunk} chunk
 */
export function encoded({ name, data }) {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(ascii(name), 4);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, crc32(bytes.subarray(4, data.length + 8)));
  return bytes;
}

/**
 * Yield the chunks of a file, as far as it goes.
 * @param {Bytes} file
 * @returns {Generator<Chunk>}
 */
export function* chunksOf(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = SIGNATURE.length; at + 12 <= file.length;) {
    const end = at + 8 + view.getUint32(at);
    if (end + 4 > file.length) return;
    yield { name: text(file.subarray(at + 4, at + 8)), data: file.subarray(at + 8, end) };
    at = end + 4;
  }
}

/** @param {Bytes} file */
export const isPng = (file) => SIGNATURE.every((byte, i) => file[i] === byte);

/** @param {string} words */
export const ascii = (words) => Uint8Array.from(words, (letter) => letter.charCodeAt(0));

/** @param {Uint8Array} bytes */
export const text = (bytes) => String.fromCharCode(...bytes);

/**
 * Return bytes one after the other.
 * @param {Bytes[]} parts
 */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
