// What can go wrong, as codes for the page to put into words.

/** Something that the person at the page can be told. */
export class Failure extends Error {
  /**
   * @param {string} code See worker.js.
   * @param {string} message A plain sentence, where the page has no words of its own.
   * @param {Record<string, unknown>} [values] What the sentence speaks of.
   */
  constructor(code, message, values = {}) {
    super(message);
    this.name = "Failure";
    this.code = code;
    this.values = values;
  }
}

/**
 * Return the reason that an unknown error gives, as one line.
 * @param {unknown} error
 */
export function reasonOf(error) {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, " ").trim().slice(0, 300);
}

/**
 * Return whether an error says that memory ran out: each browser, and WebAssembly, says it in its own words.
 * @param {unknown} error
 */
const isMemory = (error) =>
  error instanceof RangeError || /out of memory|bad_alloc|allocat|memory access out of bounds/i.test(reasonOf(error));

/**
 * Return any error as what the page can tell of it.
 * @param {unknown} error
 */
export function asFailure(error) {
  if (error instanceof Failure) return error;
  const reason = reasonOf(error);
  return isMemory(error)
    ? new Failure("memory", `There is not enough memory: ${reason}`, { reason })
    : new Failure("runtime", `Computing failed: ${reason}`, { reason });
}
