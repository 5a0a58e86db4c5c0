// A network in ONNX Runtime: on the graphics card where there is WebGPU, else in WebAssembly, on several threads where the
// page is isolated from others.

import { download } from "./download.js";
import { asFailure, Failure, reasonOf } from "./failure.js";
import { bestBackend, isolated, threadsFor } from "./hardware.js";

/** @typedef {import("./download.js").FileEntry} FileEntry */
/** @typedef {"webgpu" | "wasm"} Backend */
/** @typedef {"whole" | "regions"} Form */

/**
 * A model on offer; most of it is what the metadata of its files say.
 * @typedef {object} Model
 * @property {string} name
 * @property {number} scale
 * @property {number} window Pixels along the edge of an attention window.
 * @property {number} unshuffle Pixels along the edge of a feature.
 * @property {number} reach How far a pixel of the result depends on the picture, but for means.
 * @property {number} layers How many means there are,
 * @property {number} channels and how long each is.
 * @property {string} sha256 Of the weights.
 * @property {string} [version] Of the program that wrote the files.
 * @property {FileEntry} regions File of the form "regions".
 * @property {FileEntry} [whole] File of the form "whole". Without it small pictures are regions too.
 */

/**
 * What is used of ONNX Runtime Web.
 * @typedef {object} Runtime
 * @property {{wasm: {numThreads?: number, wasmPaths?: string}, logLevel?: string,
 *   versions: {common: string, web?: string}}} env
 * @property {new (type: "float32", data: Float32Array, dims: readonly number[]) => RuntimeTensor} Tensor
 * @property {{create(file: Uint8Array, options: object): Promise<Session>}} InferenceSession
 *
 * @typedef {{data: Float32Array}} RuntimeTensor
 * @typedef {{run(feeds: Record<string, RuntimeTensor>): Promise<Record<string, RuntimeTensor>>,
 *   release(): Promise<void>}} Session
 */

/**
 * @typedef {object} Options
 * @property {string} runtime URL of the folder with the runtime's files; ends in a slash.
 * @property {Backend | "auto"} [backend]
 * @property {number} [threads] At most; by default as many as the processor has, up to eight.
 * @property {AbortSignal} [signal]
 * @property {(code: string, message: string, values?: object) => void} [notice] Told of what isn't as it could be.
 * @property {(received: number, total: number) => void} [progress] Told how many bytes have been downloaded.
 * @property {(url: string) => Promise<Runtime>} [load] How to import a module of the runtime.
 */

/** The runtime's module for each backend. */
const MODULES = { webgpu: "ort.webgpu.min.mjs", wasm: "ort.wasm.min.mjs" };

/** A model that runs. */
export class Network {
  /**
   * @param {Model} model
   * @param {Map<Form, Uint8Array>} files
   * @param {Required<Pick<Options, "runtime" | "notice" | "load">> & {threads: number}} options
   */
  constructor(model, files, options) {
    this.model = model;
    this.scale = model.scale;
    this.reach = model.reach;
    this.layers = model.layers;
    this.channels = model.channels;
    this.multiple = model.window;
    this.unshuffle = model.unshuffle;
    this.files = files;
    this.options = options;
    /** @type {Backend} */
    this.backend = "wasm";
    /** @type {Map<Form, Session>} */
    this.sessions = new Map();
    /** @type {Runtime | undefined} */
    this.ort = undefined;
  }

  /** How many threads compute on the processor. */
  get threads() {
    return this.backend === "wasm" ? this.options.threads : 1;
  }

  /** What runs, in words. */
  get runtime() {
    const version = this.ort?.env.versions.web ?? this.ort?.env.versions.common ?? "";
    const where =
      this.backend === "webgpu" ? "WebGPU" : `WebAssembly, ${this.threads} thread${this.threads > 1 ? "s" : ""}`;
    return `onnxruntime-web ${version}, ${where}`;
  }

  /** Whether pictures can be upscaled at once. */
  get hasWhole() {
    return this.files.has("whole");
  }

  /**
   * Upscale a whole picture.
   * @param {Float32Array} image (3, height, width) in 0..1
   * @param {number} height
   * @param {number} width
   * @returns {Promise<Float32Array>} (3, scale height, scale width), not clipped.
   */
  async runWhole(image, height, width) {
    const { upscaled } = await this.run("whole", { image: [image, [1, 3, height, width]] });
    return upscaled;
  }

  /**
   * Upscale a crop.
   * @param {Float32Array} image (3, height, width) in 0..1
   * @param {number} height
   * @param {number} width
   * @param {Float32Array} means (layers, channels)
   * @param {Float32Array} interior (height, width): 1 where pixels count, else 0.
   * @returns {Promise<{upscaled: Float32Array, found: Float32Array}>} The crop, not clipped, and the means of what counts.
   */
  async runRegion(image, height, width, means, interior) {
    const { upscaled, found } = await this.run("regions", {
      image: [image, [1, 3, height, width]],
      means: [means, [this.layers, this.channels]],
      interior: [interior, [1, 1, height, width]],
    });
    return { upscaled, found };
  }

  /**
   * @param {Form} form
   * @param {Record<string, [Float32Array, number[]]>} inputs
   * @returns {Promise<Record<string, Float32Array>>}
   */
  async run(form, inputs) {
    try {
      return await this.#run(form, inputs);
    } catch (error) {
      if (this.backend !== "webgpu") throw asFailure(error);
      await this.#giveUpOnCard(error);
      return this.run(form, inputs);
    }
  }

  /**
   * @param {Form} form
   * @param {Record<string, [Float32Array, number[]]>} inputs
   */
  async #run(form, inputs) {
    const session = this.sessions.get(form);
    if (!session || !this.ort) throw new Error(`the model has no form ${form}.`);
    const { Tensor } = this.ort;
    const feeds = Object.entries(inputs).map(([name, [data, dims]]) => [name, new Tensor("float32", data, dims)]);
    const outputs = await session.run(Object.fromEntries(feeds));
    if (!(outputs.found?.data.every(Number.isFinite) ?? true)) throw new Error("the network made no numbers.");
    return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
  }

  /**
   * Make the model ready on a backend, or on the processor if it can't be had on the graphics card.
   * @param {Backend} backend
   * @returns {Promise<void>}
   */
  async open(backend) {
    try {
      await this.#open(backend);
    } catch (error) {
      if (backend !== "webgpu") throw error;
      await this.#giveUpOnCard(error);
    }
  }

  /** @param {Backend} backend */
  async #open(backend) {
    this.backend = backend;
    this.ort = await this.#import(backend);
    for (const [form, file] of this.files) {
      try {
        this.sessions.set(form, await this.ort.InferenceSession.create(file, { executionProviders: [backend] }));
      } catch (error) {
        throw refused(this.model.name, reasonOf(error));
      }
    }
  }

  /**
   * @param {Backend} backend
   * @returns {Promise<Runtime>}
   */
  async #import(backend) {
    const { runtime, load, threads } = this.options;
    try {
      const ort = await load(runtime + MODULES[backend]);
      ort.env.wasm.wasmPaths = runtime;
      ort.env.wasm.numThreads = threads;
      ort.env.logLevel = "error"; // what goes wrong is raised
      return ort;
    } catch (error) {
      throw new Failure("runtime", `ONNX Runtime can't be loaded: ${reasonOf(error)}`, { reason: reasonOf(error) });
    }
  }

  /** @param {unknown} error */
  async #giveUpOnCard(error) {
    const reason = reasonOf(error);
    this.options.notice("webgpu-failed", `WebGPU doesn't work here (${reason}); WebAssembly is used.`, { reason });
    await this.close();
    await this.#open("wasm");
  }

  /** Free what the runtime holds. */
  async close() {
    const sessions = [...this.sessions.values()];
    this.sessions.clear();
    await Promise.allSettled(sessions.map((session) => session.release()));
  }
}

/**
 * Download a model and make it ready.
 * @param {Model} model
 * @param {Options} options
 * @returns {Promise<Network>}
 */
export async function openNetwork(model, options) {
  const { runtime, backend = "auto", notice = () => {}, load = (url) => import(url) } = options;
  const threads = threadsFor(options.threads);
  const network = new Network(model, await filesOf(model, options), { runtime, notice, load, threads });
  const chosen = backend === "auto" ? await bestBackend() : backend;
  await network.open(chosen);
  if (network.backend === "wasm" && !isolated()) notice("one-thread", "The page isn't isolated, so there is one thread.");
  return network;
}

/**
 * @param {Model} model
 * @param {Options} options
 * @returns {Promise<Map<Form, Uint8Array>>}
 */
async function filesOf(model, { signal, progress }) {
  const forms = /** @type {Form[]} */ (["regions", "whole"]);
  const wanted = forms.flatMap((form) => (model[form] ? [{ form, entry: /** @type {FileEntry} */ (model[form]) }] : []));
  const total = wanted.reduce((sum, { entry }) => sum + entry.bytes, 0);
  const files = new Map();
  let received = 0;
  for (const { form, entry } of wanted) {
    progress?.(received, total);
    files.set(form, await download(entry, signal));
    received += entry.bytes;
  }
  progress?.(total, total);
  return files;
}

/**
 * @param {string} name
 * @param {string} reason
 */
function refused(name, reason) {
  // The runtime fetches its own program only now.
  if (reason.includes("no available backend"))
    return new Failure("runtime", `ONNX Runtime doesn't run: ${reason}`, { reason });
  return new Failure("model-refused", `${name} can't be opened: ${reason}`, { name, reason });
}
