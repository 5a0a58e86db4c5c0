// Files that are what they are said to be.

import { Failure } from "./failure.js";

const OK = 200;

/**
 * @typedef {object} FileEntry
 * @property {string} url
 * @property {string} sha256 As hexadecimal digits.
 * @property {number} bytes
 */

/**
 * Download a file.
 *
 * The browser itself compares the hash: it does so on pages without access to cryptography too, such as those of another
 * computer at home. But it doesn't say whether it was that which failed, so the file is asked for once more.
 * @param {FileEntry} entry
 * @param {AbortSignal} [signal]
 * @returns {Promise<Uint8Array>}
 */
export async function download({ url, sha256 }, signal) {
  let status = 0;
  try {
    const response = await fetch(url, { integrity: `sha256-${base64Of(sha256)}`, signal });
    status = response.status;
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch {
    signal?.throwIfAborted();
    status = await statusOf(url); // what the host says instead of a file has another hash too
    if (status === OK) throw new Failure("model-damaged", `${url} isn't the file it should be.`, { url, sha256 });
  }
  throw new Failure("model-missing", `${url} can't be downloaded.`, { url, status });
}

/**
 * Return the status of a host's answer; 0 if there is none.
 * @param {string} url
 */
async function statusOf(url) {
  try {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.status;
  } catch {
    return 0;
  }
}

/** @param {string} hex */
function base64Of(hex) {
  const bytes = (hex.match(/../g) ?? []).map((byte) => parseInt(byte, 16));
  return btoa(String.fromCharCode(...bytes));
}
