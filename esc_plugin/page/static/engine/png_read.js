// PNG files, decoded here and not by the browser: a canvas multiplies colours by alpha and rounds, converts colours where one
// doesn't want it, and doesn't say whether a picture is gray.

import { Failure } from "./failure.js";
import { chunksOf, SAMPLES } from "./png_chunks.js";
import { unfilter } from "./png_filters.js";

/** @typedef {import("./png_chunks.js").Bytes} Bytes */
/** @typedef {import("./values.js").Picture} Picture */

/**
 * @typedef {object} Head
 * @property {number} width
 * @property {number} height
 * @property {number} depth Bits of a sample.
 * @property {number} type Of colour.
 * @property {boolean} interlaced
 */

/** Starts and steps of the seven passes of an interlaced picture: column, row, column step, row step. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];
/** Depths that there are, by colour type. @type {Record<number, number[]>} */
const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const PALETTE = 3;

/** @param {string} reason */
const unreadable = (reason) => new Failure("picture-unreadable", `The PNG can't be read: ${reason}.`, { reason });

/**
 * Return what a file says of its pixels.
 * @param {Bytes} file
 * @returns {Head}
 */
export function headOf(file) {
  const first = chunksOf(file).next().value;
  if (!first || first.name !== "IHDR" || first.data.length < 13) throw unreadable("its head is missing");
  const view = new DataView(first.data.buffer, first.data.byteOffset, first.data.byteLength);
  const [depth, type, , , interlace] = first.data.subarray(8, 13);
  const head = { width: view.getUint32(0), height: view.getUint32(4), depth, type, interlaced: interlace === 1 };
  if (!head.width || !head.height) throw unreadable("it has no pixels");
  if (!DEPTHS[type]?.includes(depth)) throw unreadable(`colour type ${type} of ${depth} bits`);
  return head;
}

/**
 * Decode a file. Samples of 16 bits are rounded to 8, those of fewer are spread over 0..255.
 * @param {Bytes} file
 * @returns {Promise<Picture>}
 */
export async function readPng(file) {
  const head = headOf(file);
  const found = new Map([...chunksOf(file)].map(({ name, data }) => [name, data]));
  const colours = coloursOf(head, found.get("PLTE"), found.get("tRNS"));
  const { width, height } = head;
  const pixels = new Uint8Array(width * height * colours.samples);
  const rows = new Rows(inflated(file));
  try {
    for (const [left, top, across, down] of head.interlaced ? PASSES : [[0, 0, 1, 1]]) {
      await readPass(rows, head, colours, pixels, { left, top, across, down });
    }
  } finally {
    await rows.close();
  }
  return { width, height, samples: colours.samples, pixels };
}

/**
 * @param {Rows} rows
 * @param {Head} head
 * @param {Colours} colours
 * @param {Uint8Array} pixels
 * @param {{left: number, top: number, across: number, down: number}} pass
 */
async function readPass(rows, { width, height, depth, type }, { samples, write }, pixels, { left, top, across, down }) {
  const columns = Math.ceil((width - left) / across);
  if (columns < 1) return;
  const bits = SAMPLES[type] * depth;
  const length = Math.ceil((columns * bits) / 8);
  let previous = new Uint8Array(length);
  let values = new Uint16Array(columns * SAMPLES[type]);
  for (let y = top; y < height; y += down) {
    const row = await rows.next(length + 1);
    if (!row) throw unreadable("it ends too early");
    const bytes = row.subarray(1);
    if (!unfilter(row[0], bytes, previous, Math.max(bits >> 3, 1))) throw unreadable(`filter ${row[0]}`);
    unpack(bytes, depth, values);
    for (let x = 0; x < columns; x++) write(values, x, pixels, (y * width + left + x * across) * samples);
    previous = bytes;
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} depth
 * @param {Uint16Array} values
 */
function unpack(bytes, depth, values) {
  if (depth === 8) values.set(bytes);
  else if (depth === 16) for (let i = 0; i < values.length; i++) values[i] = (bytes[2 * i] << 8) | bytes[2 * i + 1];
  else {
    const mask = (1 << depth) - 1;
    for (let i = 0, bit = 8 - depth; i < values.length; i++, bit -= depth) {
      values[i] = (bytes[(i * depth) >> 3] >> (bit & 7)) & mask;
    }
  }
}

/**
 * How stored values become pixels.
 * @typedef {object} Colours
 * @property {1 | 2 | 3 | 4} samples
 * @property {(values: Uint16Array, x: number, pixels: Uint8Array, to: number) => void} write Of column `x`.
 */

/**
 * @param {Head} head
 * @param {Uint8Array | undefined} palette
 * @param {Uint8Array | undefined} transparency Of the palette's colours, or the one colour that isn't seen.
 * @returns {Colours}
 */
function coloursOf({ depth, type }, palette, transparency) {
  if (type === PALETTE) return ofPalette(palette, transparency);
  const stored = SAMPLES[type];
  const key = type < PALETTE && transparency ? keyOf(transparency, stored) : null;
  const factor = 255 / (2 ** depth - 1);
  return {
    samples: /** @type {1 | 2 | 3 | 4} */ (stored + (key ? 1 : 0)),
    write(values, x, pixels, to) {
      const from = x * stored;
      for (let i = 0; i < stored; i++) pixels[to + i] = Math.round(values[from + i] * factor);
      if (key) pixels[to + stored] = key.every((value, i) => values[from + i] === value) ? 0 : 255;
    },
  };
}

/**
 * @param {Uint8Array} transparency
 * @param {number} stored
 */
const keyOf = (transparency, stored) =>
  Array.from({ length: stored }, (_, i) => (transparency[2 * i] << 8) | transparency[2 * i + 1]);

/**
 * @param {Uint8Array | undefined} palette
 * @param {Uint8Array | undefined} transparency
 * @returns {Colours}
 */
function ofPalette(palette, transparency) {
  if (!palette) throw unreadable("its palette is missing");
  return {
    samples: transparency ? 4 : 3,
    write(values, x, pixels, to) {
      const entry = values[x] * 3;
      for (let i = 0; i < 3; i++) pixels[to + i] = palette[entry + i] ?? 0;
      if (transparency) pixels[to + 3] = transparency[values[x]] ?? 255;
    },
  };
}

/**
 * Return what the file's pixels are when they are unpacked.
 * @param {Bytes} file
 * @returns {ReadableStream<Bytes>}
 */
function inflated(file) {
  const packed = (function* () {
    for (const { name, data } of chunksOf(file)) if (name === "IDAT") yield data;
  })();
  const source = new ReadableStream({
    pull(controller) {
      const { done, value } = packed.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  return source.pipeThrough(new DecompressionStream("deflate"));
}

/** Bytes of a stream in runs of any length. */
class Rows {
  /** @param {ReadableStream<Bytes>} stream */
  constructor(stream) {
    this.reader = stream.getReader();
    this.held = new Uint8Array(0);
  }

  /**
   * Return the next `length` bytes, nobody else's; null if there aren't as many.
   * @param {number} length
   */
  async next(length) {
    const run = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      if (!this.held.length && !(await this.#more())) return null;
      const part = this.held.subarray(0, length - filled);
      run.set(part, filled);
      filled += part.length;
      this.held = this.held.subarray(part.length);
    }
    return run;
  }

  async #more() {
    try {
      const { done, value } = await this.reader.read();
      if (!done) this.held = value;
      return !done;
    } catch (error) {
      throw unreadable("its pixels are damaged");
    }
  }

  async close() {
    await this.reader.cancel().catch(() => {});
  }
}
