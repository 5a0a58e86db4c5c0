// A picture becomes a larger one: at once if it is small, else region by region, in memory that doesn't depend on its size.

import { Failure } from "./failure.js";
import { heightOf, partition, pixelsOf, wholeOf, widthOf, within } from "./grid.js";
import { usualLimit } from "./hardware.js";
import { changeOf, exactSurvey, featuresOf, runCrop, sampledSurvey, Sums } from "./survey.js";
import { alphaOf, coloursOf, isTransparent, writeAlpha, writeColours } from "./values.js";

/** @typedef {import("./grid.js").Crop} Crop */
/** @typedef {import("./grid.js").Region} Region */
/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./survey.js").Survey} Survey */
/** @typedef {import("./survey.js").Step} Step */
/** @typedef {import("./values.js").Picture} Picture */
/** @typedef {import("./values.js").Plane} Plane */
/** @typedef {import("./values.js").Made} Made */

/**
 * Rows of the result, RGBA, colours not multiplied by alpha. They come from the top to the bottom.
 * @typedef {{top: number, width: number, height: number, pixels: Uint8ClampedArray}} Band
 */

/**
 * @typedef {object} Wishes
 * @property {"auto" | "exact" | "sampled"} [survey] How the means over a picture are found that is too large to be upscaled
 *   at once. Samples do, unless somebody wants them exactly: with the bundled models, results differ by less than a level.
 * @property {number} [limit] Pixels that the network sees at once, at most.
 * @property {AbortSignal} [signal]
 * @property {(stage: "survey" | "render", done: number, total: number, seconds: number | null) => void} [progress]
 */

/**
 * How a picture was upscaled.
 * @typedef {object} Account
 * @property {"whole" | "exact" | "sampled"} method
 * @property {number} [passes] Of the survey, over
 * @property {number} [samples] so many parts of the picture.
 * @property {number} [change] Of the means in its last pass.
 * @property {number} [drift] Difference of the means that were used to those that were found while rendering, all of the
 *   picture's: as a part of how large they are.
 */

/** Passes that a survey usually takes, to tell the time. */
const USUAL_PASSES = 3;

/**
 * Upscale a picture.
 * @param {Network} network
 * @param {Picture} picture
 * @param {(band: Band) => Promise<void> | void} sink Takes the result.
 * @param {Wishes} [wishes]
 * @returns {Promise<Account>}
 */
export async function upscale(network, picture, sink, wishes = {}) {
  const { limit = usualLimit(network.backend), survey } = wishes;
  const transparent = isTransparent(picture);
  const planes = [...(transparent ? [alphaOf(picture)] : []), coloursOf(picture, transparent)];
  const work = { network, picture, planes, transparent, sink };
  const pixels = picture.width * picture.height;
  if (network.hasWhole && pixels <= limit) return renderWhole(work, new Clock(wishes, pixels * planes.length));
  const rows = partition([picture.height, picture.width], network.reach, network.multiple, limit);
  return renderRegions(work, rows, survey === "exact", limit, wishes);
}

/**
 * @typedef {object} Work
 * @property {Network} network
 * @property {Picture} picture
 * @property {Plane[]} planes Transparency, if there is any, and colours.
 * @property {boolean} transparent
 * @property {(band: Band) => Promise<void> | void} sink
 */

/**
 * @param {Work} work
 * @param {Clock} clock
 * @returns {Promise<Account>}
 */
async function renderWhole(work, clock) {
  const { network, picture } = work;
  const area = wholeOf([picture.height, picture.width]);
  const band = emptyBand(work, area);
  clock.stage = "render";
  await clock.step(0);
  for (const [i, plane] of work.planes.entries()) {
    const values = await network.runWhole(plane.read(area), picture.height, picture.width);
    write(work, i, { region: area, area }, values, band);
    await clock.step(pixelsOf(area));
  }
  await work.sink(band);
  return { method: "whole" };
}

/**
 * @param {Work} work
 * @param {Crop[][]} rows
 * @param {boolean} exact
 * @param {number} limit
 * @param {Wishes} wishes
 * @returns {Promise<Account>}
 */
async function renderRegions(work, rows, exact, limit, wishes) {
  const { network, planes } = work;
  const crops = rows.flat();
  const once = crops.reduce((sum, { area }) => sum + pixelsOf(area), 0) * planes.length;
  const clock = new Clock(wishes, once, exact ? USUAL_PASSES * once : 0);
  await clock.step(0);
  const surveys = [];
  for (const plane of planes) {
    const step = clock.step.bind(clock);
    const survey = exact ? exactSurvey(network, plane, crops, limit, step) : sampledSurvey(network, plane, limit, step);
    surveys.push(await survey);
  }
  clock.begin("render", once);
  const sums = planes.map(() => new Sums(network.layers * network.channels));
  for (const row of rows) {
    const band = emptyBand(work, { ...row[0].region, right: work.picture.width });
    for (const crop of row) {
      for (const [i, plane] of planes.entries()) {
        const { upscaled, found } = await runCrop(network, plane, crop, surveys[i].means);
        sums[i].add(found, featuresOf(crop.region, network.unshuffle));
        write(work, i, crop, upscaled, band);
        await clock.step(pixelsOf(crop.area));
      }
    }
    await work.sink(band);
  }
  return accountOf(surveys, sums, network.channels);
}

/**
 * @param {Survey[]} surveys
 * @param {Sums[]} sums
 * @param {number} channels
 * @returns {Account}
 */
function accountOf(surveys, sums, channels) {
  const drifts = surveys.map(({ means }, i) => changeOf(means, sums[i].means, channels));
  const { method, samples } = surveys[0];
  const passes = Math.max(...surveys.map((survey) => survey.passes));
  const change = Math.max(...surveys.map((survey) => survey.change));
  return { method, passes, samples, change, drift: Math.max(...drifts) };
}

/**
 * @param {Work} work
 * @param {Region} region Of the picture, of full width.
 * @returns {Band}
 */
function emptyBand({ network: { scale } }, region) {
  const [width, height] = [widthOf(region) * scale, heightOf(region) * scale];
  try {
    return { top: region.top * scale, width, height, pixels: new Uint8ClampedArray(4 * width * height) };
  } catch {
    throw new Failure("memory", `There is no memory for ${height} rows of ${width} pixels.`, { width, height });
  }
}

/**
 * Write what the network made of a crop into a band.
 * @param {Work} work
 * @param {number} i Of which plane.
 * @param {Crop} crop
 * @param {Float32Array} values
 * @param {Band} band
 */
function write({ network: { scale }, picture, planes, transparent }, i, { region, area }, values, band) {
  const part = scaled(within(region, area), scale);
  /** @type {Made} */
  const made = { values, height: heightOf(area) * scale, width: widthOf(area) * scale, part };
  const target = { pixels: band.pixels, width: band.width, top: region.top * scale - band.top, left: region.left * scale };
  if (i < planes.length - 1) writeAlpha(made, target);
  else writeColours(made, target, { gray: picture.samples < 3, transparent });
}

/**
 * @param {Region} region
 * @param {number} scale
 * @returns {Region}
 */
const scaled = (region, scale) => ({
  top: region.top * scale,
  left: region.left * scale,
  bottom: region.bottom * scale,
  right: region.right * scale,
});

/** How far the work is, and when to stop. */
class Clock {
  /**
   * @param {Wishes} wishes
   * @param {number} rendering Pixels of crops that will be rendered.
   * @param {number} surveying Pixels of crops that will be surveyed, about.
   */
  constructor({ signal, progress }, rendering, surveying = 0) {
    this.signal = signal;
    this.progress = progress;
    /** @type {"survey" | "render"} */
    this.stage = "survey";
    this.started = performance.now();
    this.done = 0;
    this.rendering = rendering;
    this.total = rendering + surveying;
  }

  /**
   * Begin to render; what the survey took is known now.
   * @param {"render"} stage
   * @param {number} left
   */
  begin(stage, left) {
    this.stage = stage;
    this.total = this.done + left;
  }

  /**
   * Count crops' pixels, let messages come in, and stop if one said so.
   * @param {number} pixels
   */
  async step(pixels) {
    this.done += pixels;
    if (this.stage === "survey") this.total = Math.max(this.total, this.done + this.rendering);
    const passed = (performance.now() - this.started) / 1000;
    const seconds = this.done ? (passed / this.done) * (this.total - this.done) : null;
    this.progress?.(this.stage, this.done, this.total, seconds);
    await turn();
    this.signal?.throwIfAborted();
  }
}

/** Let whatever waits for this thread have its turn; a promise alone doesn't. */
const turn = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve(undefined);
    };
    port2.postMessage(0);
  });
