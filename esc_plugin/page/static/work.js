// The engine's worker as promises. See engine/worker.js for what it is told and what it answers.

// How long a worker may take to stop on its own. It can only between two pieces of work.
const PATIENCE_MS = 1500;

export class Failure extends Error {
  constructor({ code, message, values = {} }) {
    super(message);
    this.code = code;
    this.values = values;
  }
}

export class Cancelled extends Error {}

export class Work {
  // `onEvent` hears all that is no answer: progress, notices, bands.
  constructor(url, onEvent) {
    this.url = url;
    this.onEvent = onEvent;
    this.requests = new Map();
    this.count = 0;
    this.loaded = null;  // what is loaded or on its way: its request as text, and the promise of its answer
  }

  // Load a model unless it is loaded already, and return the worker's answer.
  load(message) {
    const key = JSON.stringify(message);
    if (this.loaded?.key === key) return this.loaded.answer;
    const loaded = { key, answer: this.request({ ...message, type: "load" }) };
    this.loaded = loaded;
    loaded.answer.catch(() => { if (this.loaded === loaded) this.loaded = null; });
    return loaded.answer;
  }

  upscale(message) {
    return this.request({ ...message, type: "upscale" });
  }

  // Stop what is going on, and return when it has stopped; a worker that doesn't answer is ended.
  async stop(types = ["load", "upscale"]) {
    const stopped = [...this.requests].filter(([, request]) => types.includes(request.type));
    if (!stopped.length) return;
    const pending = stopped.map(([, request]) => request.settled);
    for (const [id] of stopped) this.worker.postMessage({ type: "cancel", id });
    const timer = setTimeout(() => this.end(new Cancelled()), PATIENCE_MS);
    await Promise.all(pending);
    clearTimeout(timer);
  }

  // End the worker, if there is one; the next request starts another.
  end(error) {
    this.worker?.terminate();
    this.worker = this.loaded = null;
    for (const id of [...this.requests.keys()]) this.settle(id, "reject", error);
  }

  request(message) {
    const id = ++this.count;
    const answer = new Promise((resolve, reject) => this.requests.set(id, { type: message.type, resolve, reject }));
    this.requests.get(id).settled = answer.then(() => {}, () => {});
    (this.worker ??= this.start()).postMessage({ ...message, id });
    return answer;
  }

  settle(id, how, value) {
    const request = this.requests.get(id);
    this.requests.delete(id);
    request?.[how](value);
  }

  start() {
    const worker = new Worker(this.url, { type: "module" });
    worker.addEventListener("message", ({ data }) => { if (worker === this.worker) this.hear(data); });
    // A worker whose file can't be loaded says nothing more than that.
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      const reason = event.message || "its file can't be loaded";
      if (worker === this.worker) this.end(new Failure({ code: "stuck", message: reason, values: { reason } }));
    });
    return worker;
  }

  hear({ id, ...message }) {
    if (!this.requests.has(id)) return;
    if (message.type === "loaded" || message.type === "done") this.settle(id, "resolve", message);
    else if (message.type === "cancelled") this.settle(id, "reject", new Cancelled());
    else if (message.type === "failed") this.fail(id, message);
    else this.onEvent(message);
  }

  fail(id, message) {
    this.settle(id, "reject", new Failure(message));
    if (message.code === "runtime" || message.code === "memory") this.end(new Failure(message));
  }
}
