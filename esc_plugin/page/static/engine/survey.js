// The means over a whole picture that a network's dynamic kernels are made from: all that couples distant pixels.
//
// Each mean depends on those before it, because it is taken of features that they have shaped. So what is wanted is a fixed
// point: means with which the network finds just these means. From wherever one starts, each pass over the picture makes at
// least one more of them exact, the first first; and as each depends but little on the others, a few passes do.

import { cropFor, heightOf, partition, pixelsOf, spans, wholeOf, widthOf, within } from "./grid.js";
import { reduced } from "./values.js";

/** @typedef {import("./grid.js").Crop} Crop */
/** @typedef {import("./grid.js").Region} Region */
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./values.js").Plane} Plane */

/**
 * @typedef {object} Survey
 * @property {"exact" | "sampled"} method Whether all of the picture was looked at.
 * @property {Float32Array} means (layers, channels)
 * @property {number} passes Over what was looked at.
 * @property {number} samples How many crops that is.
 * @property {number} change Of the means in the last pass, see `changeOf`.
 */

/**
 * Asked between two runs, and told how many pixels of crops have been worked on: throws to stop.
 * @typedef {(pixels: number) => Promise<void>} Step
 */

/** Where means change by less than this, pixels change by far less than a level of 255: by 1e-5 in the bundled models. */
const TOLERANCE = 1e-3;
/** The same where it is samples that are looked at: which ones these are makes a larger difference. */
const SAMPLED_TOLERANCE = 1e-2;
/** Of a reduced picture, from whose means a survey starts. */
const REDUCED_PIXELS = 128 ** 2;
/** Of samples: so many, spread over the picture, of so many pixels an edge, and a margin around that is only looked at. */
export const SAMPLES = 16;
const SAMPLE_EDGE = 192;
const SAMPLE_MARGIN = 16;

/** The weighted mean of what crops have found, in float64. */
export class Sums {
  /** @param {number} length */
  constructor(length) {
    this.total = new Float64Array(length);
    this.count = 0;
  }

  /**
   * @param {Float32Array} found
   * @param {number} count Of how many features they are the mean.
   */
  add(found, count) {
    for (let i = 0; i < found.length; i++) this.total[i] += found[i] * count;
    this.count += count;
  }

  /** @returns {Float32Array} */
  get means() {
    return Float32Array.from(this.total, (sum) => sum / this.count);
  }
}

/**
 * Return how many features lie over a region that starts on a window's corner.
 * @param {Region} region
 * @param {number} unshuffle Pixels along the edge of a feature.
 */
export const featuresOf = (region, unshuffle) =>
  Math.ceil(heightOf(region) / unshuffle) * Math.ceil(widthOf(region) / unshuffle);

/**
 * Return by how much means differ at most, as a part of how large those of the same layer are.
 * @param {Float32Array} before
 * @param {Float32Array} after
 * @param {number} channels
 */
export function changeOf(before, after, channels) {
  let largest = 0;
  for (let start = 0; start < after.length; start += channels) {
    let [size, change] = [0, 0];
    for (let i = start; i < start + channels; i++) {
      size = Math.max(size, Math.abs(after[i]));
      change = Math.max(change, Math.abs(after[i] - before[i]));
    }
    largest = Math.max(largest, change && change / Math.max(size, 1e-6));
  }
  return largest;
}

/**
 * Show the network a crop, of which some pixels count.
 * @param {Network} network
 * @param {Plane} plane
 * @param {Crop} crop
 * @param {Float32Array} means
 */
export function runCrop(network, plane, { region, area }, means) {
  const part = within(region, area);
  const [height, width] = [heightOf(area), widthOf(area)];
  const interior = new Float32Array(height * width);
  for (let y = part.top; y < part.bottom; y++) interior.fill(1, y * width + part.left, y * width + part.right);
  return network.runRegion(plane.read(area), height, width, means, interior);
}

/**
 * Find the means of a picture by looking at all of it.
 * @param {Network} network
 * @param {Plane} plane
 * @param {Crop[]} crops All of the picture.
 * @param {number} limit Pixels that the network sees at once.
 * @param {Step} step
 * @returns {Promise<Survey>}
 */
export async function exactSurvey(network, plane, crops, limit, step) {
  const sampled = await sampledSurvey(network, plane, limit, step);
  return { ...(await settled(network, plane, crops, sampled.means, TOLERANCE, step)), method: "exact" };
}

/**
 * Estimate the means of a picture from some of it.
 * @param {Network} network
 * @param {Plane} plane
 * @param {number} limit Pixels that the network sees at once.
 * @param {Step} step
 * @returns {Promise<Survey>}
 */
export async function sampledSurvey(network, plane, limit, step) {
  const small = reduced(plane, Math.min(REDUCED_PIXELS, limit));
  const all = wholeOf(small.size);
  const start = new Float32Array(network.layers * network.channels);
  const first = await settled(network, small, [{ region: all, area: all }], start, SAMPLED_TOLERANCE, step);
  const samples = samplesOf(plane.size, network.multiple, limit);
  const found = await settled(network, plane, samples, first.means, SAMPLED_TOLERANCE, step);
  return { ...found, method: "sampled" };
}

/**
 * Return crops that are spread evenly over a picture. Their margins are narrower than what an exact pixel depends on: wider
 * ones were measured to change nothing, beside what depends on the choice of crops.
 * @param {readonly [number, number]} size
 * @param {number} multiple Pixels along the edge of a window.
 * @param {number} limit Pixels of a crop, margins and all.
 * @returns {Crop[]}
 */
export function samplesOf(size, multiple, limit) {
  const fits = Math.min(SAMPLE_EDGE, Math.sqrt(limit) - 2 * (SAMPLE_MARGIN + multiple));
  const edge = Math.max(Math.floor(fits / multiple), 1) * multiple;
  const most = size.map((length) => Math.max(Math.floor(length / edge), 1));
  if (most[0] * most[1] <= SAMPLES) return partition(size, SAMPLE_MARGIN, multiple, (edge + 2 * SAMPLE_MARGIN) ** 2).flat();
  const down = Math.min(Math.max(Math.round(Math.sqrt((SAMPLES * size[0]) / size[1])), 1), most[0]);
  const across = Math.min(Math.max(Math.round(SAMPLES / down), 1), most[1]);
  const columns = spans(size[1], across, multiple);
  return spans(size[0], down, multiple).flatMap(([top, bottom]) =>
    columns.map(([left, right]) => {
      const [y, x] = [middle(top, bottom, edge, multiple), middle(left, right, edge, multiple)];
      const region = { top: y, left: x, bottom: Math.min(y + edge, bottom), right: Math.min(x + edge, right) };
      return cropFor(region, SAMPLE_MARGIN, multiple, size);
    }),
  );
}

/**
 * @param {number} start
 * @param {number} stop
 * @param {number} edge
 * @param {number} multiple
 */
const middle = (start, stop, edge, multiple) =>
  start + Math.floor(Math.max(stop - start - edge, 0) / 2 / multiple) * multiple;

/**
 * Pass over crops until the means that are found are those that were given.
 * @param {Network} network
 * @param {Plane} plane
 * @param {Crop[]} crops
 * @param {Float32Array} means To start from.
 * @param {number} tolerance
 * @param {Step} step
 */
async function settled(network, plane, crops, means, tolerance, step) {
  let [passes, change] = [0, Infinity];
  while (passes < network.layers && change > tolerance) {
    const sums = new Sums(means.length);
    for (const crop of crops) {
      const { found } = await runCrop(network, plane, crop, means);
      sums.add(found, featuresOf(crop.region, network.unshuffle));
      await step(pixelsOf(crop.area));
    }
    change = changeOf(means, sums.means, network.channels);
    means = sums.means;
    passes += 1;
  }
  return { means, passes, samples: crops.length, change };
}
