// PNG files, written row by row: no canvas limits their size, and only what is compressed already is kept in memory.

import { ascii, encoded, SIGNATURE } from "./png_chunks.js";
import { Filter } from "./png_filters.js";

/** @typedef {import("./png_chunks.js").Bytes} Bytes */
/** @typedef {import("./png_chunks.js").Chunk} Chunk */
/** @typedef {import("./upscale.js").Band} Band */

/** @type {Record<number, number>} Colour type by samples of a pixel. */
const COLOUR_TYPES = { 1: 0, 2: 4, 3: 2, 4: 6 };
/** @type {Record<number, number[]>} Which of RGBA they are. */
const TAKEN = { 1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3] };
/** Compressed bytes are handed to the browser in blobs of about so many, which it may keep on disk. */
const BLOB_BYTES = 2 ** 24;
/** Bytes of rows that are filtered together. */
const PIECE_BYTES = 2 ** 20;

/** A PNG of 8 bits per sample that is being written. */
export class PngWriter {
  /**
   * @param {number} width
   * @param {number} height
   * @param {1 | 2 | 3 | 4} samples Of a pixel: gray, gray and alpha, RGB, RGBA.
   */
  constructor(width, height, samples) {
    this.taken = TAKEN[samples];
    this.width = width;
    const head = new Uint8Array(13);
    const view = new DataView(head.buffer);
    view.setUint32(0, width);
    view.setUint32(4, height);
    head.set([8, COLOUR_TYPES[samples]], 8);
    this.head = encoded({ name: "IHDR", data: head });
    this.filter = new Filter(width * samples, samples);
    const { readable, writable } = new CompressionStream("deflate");
    this.input = writable.getWriter();
    this.compressed = collected(readable);
    this.compressed.catch(() => {}); // who writes will hear of it
  }

  /**
   * Add rows.
   * @param {Band} band
   */
  async write({ pixels, height }) {
    const { width, taken, filter } = this;
    const length = width * taken.length;
    const row = new Uint8Array(length);
    const together = Math.max(Math.floor(PIECE_BYTES / (length + 1)), 1);
    for (let top = 0; top < height; top += together) {
      const rows = Math.min(together, height - top);
      const piece = new Uint8Array(rows * (length + 1));
      for (let y = 0; y < rows; y++) {
        take(pixels, (top + y) * width * 4, taken, row);
        filter.write(row, piece, y * (length + 1));
      }
      await this.input.ready; // as fast as they are compressed
      await this.input.write(piece);
    }
  }

  /**
   * Return the file, once all rows have been added.
   * @param {Chunk[]} chunks What it says beside the pixels.
   */
  async finish(chunks) {
    await this.input.close();
    const about = chunks.map(encoded);
    const end = encoded({ name: "IEND", data: new Uint8Array(0) });
    return new Blob([SIGNATURE, this.head, ...about, ...(await this.compressed), end], { type: "image/png" });
  }

  /** Give up. */
  async abort() {
    await this.input.abort().catch(() => {});
  }
}

/**
 * @param {Uint8ClampedArray} pixels RGBA
 * @param {number} from
 * @param {number[]} taken
 * @param {Uint8Array} row
 */
function take(pixels, from, taken, row) {
  for (let to = 0; to < row.length; from += 4) for (const sample of taken) row[to++] = pixels[from + sample];
}

/**
 * Put what is compressed into chunks, and those into blobs.
 * @param {ReadableStream<Bytes>} stream
 */
async function collected(stream) {
  /** @type {Blob[]} */
  const blobs = [];
  /** @type {Bytes[]} */
  let parts = [];
  let bytes = 0;
  const reader = stream.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    const part = encoded({ name: "IDAT", data: /** @type {Bytes} */ (value) });
    parts.push(part);
    bytes += part.length;
    if (bytes >= BLOB_BYTES) {
      blobs.push(new Blob(parts));
      [parts, bytes] = [[], 0];
    }
  }
  return [...blobs, new Blob(parts)];
}

/**
 * Return a chunk of text in UTF-8.
 * @param {string} key
 * @param {string} words
 * @returns {Chunk}
 */
export const textChunk = (key, words) => {
  const data = new TextEncoder().encode(words);
  const head = ascii(`${key}\0\0\0\0\0`);
  const whole = new Uint8Array(head.length + data.length);
  whole.set(head);
  whole.set(data, head.length);
  return { name: "iTXt", data: whole };
};
