// Values of pixels, 0..255, and those that a network sees, 0..1: in the arithmetic of esc_plugin/arrays, so that results are
// the same. Its numbers are float32; Math.fround rounds to them.

import { heightOf, pixelsOf, widthOf } from "./grid.js";

/** @typedef {import("./grid.js").Region} Region */

/**
 * A picture, upright.
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {1 | 2 | 3 | 4} samples Gray, gray and alpha, RGB, RGBA.
 * @property {Uint8Array | Uint8ClampedArray} pixels (height, width, samples); colours are not multiplied by alpha.
 */

/**
 * Whatever a network upscales: three channels, read where they are needed.
 * @typedef {object} Plane
 * @property {readonly [number, number]} size Height and width.
 * @property {(region: Region) => Float32Array} read (3, h, w) in 0..1.
 */

const { fround } = Math;
const UNIT = Float32Array.from({ length: 256 }, (_, value) => value / 255);

/**
 * Return whether alpha matters: all opaque is as good as none.
 * @param {Picture} picture
 */
export function isTransparent({ pixels, samples }) {
  if (samples % 2) return false;
  for (let i = samples - 1; i < pixels.length; i += samples) if (pixels[i] < 255) return true;
  return false;
}

/**
 * Return the colours of a picture as a network wants them.
 * @param {Picture} picture
 * @param {boolean} transparent Whether they are multiplied by alpha, so that what nobody sees can't bleed into what one sees.
 * @returns {Plane}
 */
export function coloursOf(picture, transparent) {
  const { samples } = picture;
  const offsets = samples < 3 ? [0, 0, 0] : [0, 1, 2];
  return planeOf(picture, offsets, transparent ? samples - 1 : -1);
}

/**
 * Return the transparency of a picture as a gray one.
 * @param {Picture} picture
 * @returns {Plane}
 */
export const alphaOf = (picture) => planeOf(picture, Array(3).fill(picture.samples - 1), -1);

/**
 * @param {Picture} picture
 * @param {number[]} offsets Which sample each channel is.
 * @param {number} share By which sample they are multiplied; none if it is negative.
 * @returns {Plane}
 */
function planeOf({ width, height, samples, pixels }, offsets, share) {
  return {
    size: [height, width],
    read(region) {
      const [rows, columns] = [heightOf(region), widthOf(region)];
      const values = new Float32Array(3 * rows * columns);
      let to = 0;
      for (const offset of offsets) {
        for (let y = region.top; y < region.bottom; y++) {
          let from = (y * width + region.left) * samples;
          for (let x = 0; x < columns; x++, from += samples, to++) {
            values[to] = UNIT[pixels[from + offset]] * (share < 0 ? 1 : UNIT[pixels[from + share]]);
          }
        }
      }
      return values;
    },
  };
}

/**
 * Reduce a plane by averages over blocks of pixels, so that about `pixels` are left.
 * @param {Plane} plane
 * @param {number} pixels
 * @returns {Plane}
 */
export function reduced(plane, pixels) {
  const [height, width] = plane.size;
  const factor = Math.max(Math.ceil(Math.sqrt((height * width) / pixels)), 1);
  const [rows, columns] = [Math.max(Math.floor(height / factor), 1), Math.max(Math.floor(width / factor), 1)];
  const [high, wide] = [Math.min(factor, height), Math.min(factor, width)];
  return {
    size: [rows, columns],
    read(region) {
      const values = new Float32Array(3 * pixelsOf(region));
      const right = region.right * wide;
      for (let y = region.top, to = 0; y < region.bottom; y++) {
        const line = { top: y * high, bottom: (y + 1) * high, left: region.left * wide, right };
        to = addMeans(plane.read(line), high, wide, values, to, pixelsOf(region));
      }
      return values;
    },
  };
}

/**
 * Write the means of blocks side by side, for each of three channels, and return where the next row of them begins.
 * @param {Float32Array} line (3, high, n wide)
 * @param {number} high
 * @param {number} wide
 * @param {Float32Array} values
 * @param {number} to
 * @param {number} plane Values of a channel.
 */
function addMeans(line, high, wide, values, to, plane) {
  const length = line.length / 3 / high;
  for (let i = 0; i < line.length; i++) {
    const [row, column] = [Math.floor(i / length), i % length];
    values[Math.floor(row / high) * plane + to + Math.floor(column / wide)] += line[i] / (high * wide);
  }
  return to + length / wide;
}

/**
 * What a network made of a crop, and which part of it counts.
 * @typedef {object} Made
 * @property {Float32Array} values (3, height, width), not clipped.
 * @property {number} height
 * @property {number} width
 * @property {Region} part Inside of it.
 */

/**
 * A place in pixels of four samples, RGBA, for some of them.
 * @typedef {object} Target
 * @property {Uint8ClampedArray} pixels It rounds as NumPy's rint does, half to even, and clips.
 * @property {number} width Of its rows, in pixels.
 * @property {number} top Where the part goes.
 * @property {number} left
 */

/**
 * Write alpha; it is the mean of what the network made of three equal channels.
 * @param {Made} made
 * @param {Target} target
 */
export function writeAlpha(made, target) {
  const plane = made.height * made.width;
  each(made, target, (from, to) => {
    target.pixels[to + 3] = mean(made.values, from, plane) * 255;
  });
}

/**
 * Write colours.
 * @param {Made} made
 * @param {Target} target
 * @param {{gray: boolean, transparent: boolean}} kind Whether one value is all of a pixel's colour; whether alpha is there
 *   already, by which the colours were multiplied. If it isn't, all becomes opaque.
 */
export function writeColours(made, target, { gray, transparent }) {
  const { values } = made;
  const { pixels } = target;
  const plane = made.height * made.width;
  each(made, target, (from, to) => {
    if (!transparent) pixels[to + 3] = 255;
    const share = UNIT[pixels[to + 3]];
    if (gray) {
      pixels[to] = pixels[to + 1] = pixels[to + 2] = level(mean(values, from, plane), share);
    } else {
      for (let c = 0; c < 3; c++) pixels[to + c] = level(values[from + c * plane], share);
    }
  });
}

/**
 * @param {Float32Array} values
 * @param {number} from
 * @param {number} plane
 */
const mean = (values, from, plane) =>
  fround(fround(fround(values[from] + values[from + plane]) + values[from + 2 * plane]) / 3);

/**
 * Take transparency out of a colour. Where a pixel is opaque nothing changes; where it is invisible, it is black.
 * @param {number} value
 * @param {number} share
 */
function level(value, share) {
  if (share === 1) return fround(value * 255);
  return share ? fround(fround(Math.min(Math.max(value / share, 0), 1)) * 255) : 0;
}

/**
 * @param {Made} made
 * @param {Target} target
 * @param {(from: number, to: number) => void} write
 */
function each({ width, part }, { width: wide, top, left }, write) {
  for (let y = 0; y < heightOf(part); y++) {
    let from = (part.top + y) * width + part.left;
    let to = ((top + y) * wide + left) * 4;
    for (let x = 0; x < widthOf(part); x++, from++, to += 4) write(from, to);
  }
}
