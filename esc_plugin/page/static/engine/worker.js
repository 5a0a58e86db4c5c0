/* The engine of the page, as a module worker: one model, one picture at a time.

Messages are objects with a `type`. `id` is whatever the page chose for a request; all answers carry it. Words for people are
the page's: the worker sends codes with their values, and a plain English `message` for logs.

To the worker:
  load     id, model (network.js: Model), runtime (URL of the folder of ONNX Runtime's files, ends in a slash),
           backend?: "auto" | "webgpu" | "wasm", threads?: number
           -> loading*, notice*, then loaded, failed or cancelled. A model that is there is replaced.
  upscale  id, picture: Blob, name?: of its file, survey?: "auto" | "exact" | "sampled", bands?: whether to send them (true),
           png?: whether to make the file (true), limit?: pixels that the network sees at once
           -> notice*, picture, progress*, band*, then done, failed or cancelled
  cancel   id of what to stop: at once if it waits for its turn, between two regions if it runs. Terminate the worker to stop
           a region itself.
Requests wait for each other.

To the page:
  loading    id, what: "model", received, total: bytes
  loaded     id, model: its name, backend: "webgpu" | "wasm", threads
  picture    id, width, height, scale, outputWidth, outputHeight, samples: 1 to 4, format, transparent
  notice     id, code, message, values
  progress   id, stage: "survey" | "render", done, total, seconds: left, or null while nobody knows
  band       id, top, width, height, pixels: RGBA, not multiplied by alpha, transferred. From the top to the bottom, no gaps
  done       id, width, height, png: Blob | null, record (record.js)
  cancelled  id
  failed     id, code, message, values. After "memory" and "runtime" make a new worker; else this one goes on

Notices: webgpu-failed {reason}, one-thread {}, depth-lost {bits}, alpha-rounded {format}, animation {},
metadata-lost {what: names}.
Failures: model-missing {url, status}, model-damaged {url, sha256}, model-refused {name, reason}, no-model {},
picture-unreadable {reason}, picture-too-large {pixels, limit}, runtime {reason}, memory {reason}. */

import { asFailure, Failure } from "./failure.js";
import { openNetwork } from "./network.js";
import { openPicture } from "./picture.js";
import { PngWriter } from "./png_write.js";
import { recordChunk, recordOf } from "./record.js";
import { upscale } from "./upscale.js";
import { isTransparent } from "./values.js";

/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./upscale.js").Band} Band */

/**
 * @typedef {object} Port Where messages come from and go to: a worker's own scope.
 * @property {(message: object, transferred?: Transferable[]) => void} postMessage
 * @property {((event: {data: any}) => void) | null} onmessage
 */

/**
 * @typedef {object} Task
 * @property {any} message
 * @property {AbortSignal} signal
 * @property {(type: string, content?: object, transferred?: Transferable[]) => void} tell
 */

/**
 * Answer the messages of a page.
 * @param {Port} port
 * @param {(url: string) => Promise<any>} [load] How to import a module of the runtime.
 */
export function serve(port, load) {
  /** @type {Map<unknown, AbortController>} */
  const running = new Map();
  /** @type {Network | null} */
  let network = null;
  /** @type {Task["tell"]} Of the task that runs: a network may have something to say long after it was loaded. */
  let tellNow = () => {};
  let last = Promise.resolve();

  /** @type {Record<string, (task: Task) => Promise<void>>} */
  const doings = {
    async load({ message, signal, tell }) {
      await network?.close();
      network = null;
      const { runtime, backend, threads } = message;
      network = await openNetwork(message.model, {
        runtime,
        backend,
        threads,
        signal,
        load,
        notice: (code, words, values = {}) => tellNow("notice", { code, message: words, values }),
        progress: (received, total) => tell("loading", { what: "model", received, total }),
      });
      signal.throwIfAborted();
      tell("loaded", { model: network.model.name, backend: network.backend, threads: network.threads });
    },
    async upscale(task) {
      if (!network) throw new Failure("no-model", "A picture came before a model.");
      await answer(network, task);
    },
  };

  /** @param {Task} task */
  async function attend({ message, signal, tell }) {
    tellNow = tell;
    try {
      signal.throwIfAborted();
      await doings[message.type]({ message, signal, tell });
    } catch (error) {
      if (signal.aborted) tell("cancelled");
      else tell("failed", contentOf(asFailure(error)));
    }
    running.delete(message.id);
  }

  port.onmessage = ({ data: message }) => {
    const { id, type } = message;
    if (type === "cancel") running.get(id)?.abort();
    if (!(type in doings)) return;
    const control = new AbortController();
    running.set(id, control);
    /** @type {Task["tell"]} */
    const tell = (what, content, transferred) => port.postMessage({ type: what, id, ...content }, transferred ?? []);
    last = last.then(() => attend({ message, signal: control.signal, tell }));
  };
}

/**
 * Upscale a picture and tell the page.
 * @param {Network} network
 * @param {Task} task
 */
async function answer(network, { message, signal, tell }) {
  const { name, survey, limit, bands = true, png = true } = message;
  const { picture, format, chunks, notices } = await openPicture(message.picture);
  const { samples, width, height } = picture;
  const { scale } = network;
  const size = { width: width * scale, height: height * scale };
  for (const { code, message: words, values } of notices) tell("notice", { code, message: words, values });
  const facts = { samples, format, transparent: isTransparent(picture) };
  tell("picture", { width, height, scale, outputWidth: size.width, outputHeight: size.height, ...facts });
  const started = performance.now();
  const writer = png ? new PngWriter(size.width, size.height, samples) : null;
  /** @param {Band} band */
  const sink = async (band) => {
    await writer?.write(band);
    if (bands) tell("band", band, [band.pixels.buffer]);
  };
  try {
    const account = await upscale(network, picture, sink, {
      survey,
      limit,
      signal,
      progress: (stage, done, total, seconds) => tell("progress", { stage, done, total, seconds }),
    });
    const seconds = (performance.now() - started) / 1000;
    const record = recordOf(network, account, { name, ...size, seconds });
    tell("done", { ...size, png: (await writer?.finish([...chunks, recordChunk(record)])) ?? null, record });
  } catch (error) {
    await writer?.abort();
    throw error;
  }
}

/**
 * Errors lose what isn't theirs by standard on their way to the page.
 * @param {Failure} failure
 */
const contentOf = ({ code, message, values }) => ({ code, message, values });

if (typeof WorkerGlobalScope !== "undefined" && globalThis instanceof WorkerGlobalScope) {
  serve(/** @type {Port} */ (/** @type {unknown} */ (globalThis)));
}
