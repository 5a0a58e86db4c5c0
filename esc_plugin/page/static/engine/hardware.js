// What this machine offers: threads, memory, a graphics card.

/** @typedef {import("./network.js").Backend} Backend */

/** More of them gain little: the convolutions of a crop are short. */
const MOST_THREADS = 8;
/** Pixels that a network sees at once: each takes about 2 KB of memory in the bundled models. */
const LIMIT = 512 ** 2;
/** The same on a processor with memory: crops overlap by less. Buffers of graphics cards are limited. */
const LARGE_LIMIT = 768 ** 2;
const LARGE_MEMORY = 8;

/** Whether memory may be shared between threads; where nothing is said, as outside of browsers, it may. */
export const isolated = () => globalThis.crossOriginIsolated ?? true;

/** @param {number | undefined} wished */
export function threadsFor(wished) {
  return isolated() ? Math.max(wished ?? Math.min(globalThis.navigator?.hardwareConcurrency ?? 1, MOST_THREADS), 1) : 1;
}

/**
 * What is used of WebGPU.
 * @typedef {{info?: {isFallbackAdapter?: boolean}, isFallbackAdapter?: boolean}} Adapter
 * @typedef {{gpu?: {requestAdapter(): Promise<Adapter | null>}}} Navigator
 */

/**
 * Return where a network runs fastest: a graphics card that is only imitated is slower than the processor itself.
 * @returns {Promise<Backend>}
 */
export async function bestBackend() {
  try {
    const adapter = await /** @type {Navigator} */ (globalThis.navigator ?? {}).gpu?.requestAdapter();
    const imitated = adapter?.info?.isFallbackAdapter ?? adapter?.isFallbackAdapter ?? false;
    return adapter && !imitated ? "webgpu" : "wasm";
  } catch {
    return "wasm";
  }
}

/**
 * Return how many pixels a network sees at once; only some browsers tell how many gigabytes there are.
 * @param {Backend} backend
 */
export function usualLimit(backend) {
  const { deviceMemory = 0 } = /** @type {{deviceMemory?: number}} */ (globalThis.navigator ?? {});
  return backend === "wasm" && deviceMemory >= LARGE_MEMORY ? LARGE_LIMIT : LIMIT;
}
