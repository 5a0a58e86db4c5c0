// A network that is a few lines of arithmetic, with all that couples pixels in a real one: neighbours, windows whose last ones
// look back, and means over the whole picture, of which the second depends on the first.

export const SCALE = 2;
const WINDOW = 4;
const LAYERS = 2;
const CHANNELS = 3;

/** What the engine needs of a network; counts what it is shown. */
export class Model {
  scale = SCALE;
  multiple = WINDOW;
  unshuffle = 1;
  reach = 8;
  layers = LAYERS;
  channels = CHANNELS;
  largest = 0;
  runs = 0;

  constructor({ whole = true } = {}) {
    this.hasWhole = whole;
  }

  async runWhole(image, height, width) {
    const interior = new Float32Array(height * width).fill(1);
    let means = new Float32Array(LAYERS * CHANNELS);
    for (let pass = 0; pass < LAYERS; pass++) means = compute(image, height, width, means, interior).found;
    return compute(image, height, width, means, interior).upscaled;
  }

  async runRegion(image, height, width, means, interior) {
    this.largest = Math.max(this.largest, height * width);
    this.runs += 1;
    return compute(image, height, width, means, interior);
  }
}

function compute(image, height, width, means, interior) {
  const found = new Float32Array(LAYERS * CHANNELS);
  const upscaled = new Float32Array(image.length * SCALE ** 2);
  const pixels = interior.reduce((sum, value) => sum + value, 0);
  for (let c = 0; c < CHANNELS; c++) {
    let plane = image.slice(c * height * width, (c + 1) * height * width);
    for (let layer = 0; layer < LAYERS; layer++) {
      const i = layer * CHANNELS + c;
      found[i] = weighted(plane, interior) / pixels;
      plane = neighbours(plane, height, width, means[i]);
      if (layer === 0) plane = windows(plane, height, width);
    }
    enlarge(plane, height, width, upscaled.subarray(c * plane.length * SCALE ** 2));
  }
  return { upscaled, found };
}

function weighted(plane, interior) {
  let sum = 0;
  for (let i = 0; i < plane.length; i++) sum += plane[i] * interior[i];
  return sum;
}

/** A cross whose arms weigh as much as the mean says; zeros beyond the border. */
function neighbours(plane, height, width, mean) {
  const arm = 0.1 * (1 + mean);
  const made = new Float32Array(plane.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const [up, down] = [y ? plane[i - width] : 0, y < height - 1 ? plane[i + width] : 0];
      const [left, right] = [x ? plane[i - 1] : 0, x < width - 1 ? plane[i + 1] : 0];
      made[i] = 0.6 * plane[i] + arm * (up + down + left + right);
    }
  }
  return made;
}

/** Each pixel with the largest of its window; the last windows, if they are thinner, look at the ones before too. */
function windows(plane, height, width) {
  const made = new Float32Array(plane.length);
  for (let top = 0; top < height; top += WINDOW) {
    for (let left = 0; left < width; left += WINDOW) {
      const [bottom, right] = [Math.min(top + WINDOW, height), Math.min(left + WINDOW, width)];
      const largest = largestOf(plane, width, from(top, height), from(left, width), bottom, right);
      for (let y = top; y < bottom; y++) {
        for (let i = y * width + left; i < y * width + right; i++) made[i] = 0.7 * plane[i] + 0.3 * largest;
      }
    }
  }
  return made;
}

const from = (start, length) => (start + WINDOW > length ? Math.max(start - WINDOW, 0) : start);

function largestOf(plane, width, top, left, bottom, right) {
  let largest = -Infinity;
  for (let y = top; y < bottom; y++) {
    for (let i = y * width + left; i < y * width + right; i++) largest = Math.max(largest, plane[i]);
  }
  return largest;
}

function enlarge(plane, height, width, to) {
  for (let y = 0; y < height * SCALE; y++) {
    for (let x = 0; x < width * SCALE; x++) {
      to[y * width * SCALE + x] = plane[(y >> 1) * width + (x >> 1)] + 0.01 * ((y & 1) - (x & 1));
    }
  }
}

/** Numbers in 0..1, the same each time. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A picture of smooth and rough parts, so that its samples differ. */
export function pictureOf(width, height, samples, seed = 1) {
  const next = random(seed);
  const pixels = new Uint8Array(width * height * samples);
  for (let i = 0; i < pixels.length; i++) {
    const y = Math.floor(i / samples / width);
    pixels[i] = (200 * y) / height + 55 * next();
  }
  return { width, height, samples, pixels };
}

/** Put bands together; they must come one after the other. */
export class Sheet {
  height = 0;
  bands = [];

  add = (band) => {
    if (band.top !== this.height) throw new Error(`a band at ${band.top} after ${this.height} rows`);
    this.height += band.height;
    this.bands.push(band);
  };

  get pixels() {
    return Buffer.concat(this.bands.map(({ pixels }) => new Uint8Array(pixels.buffer)));
  }
}
