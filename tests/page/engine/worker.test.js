import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { readPng } from "../../../esc_plugin/page/static/engine/png_read.js";
import { serve } from "../../../esc_plugin/page/static/engine/worker.js";
import { bytesOf, caseOf, handBack, needsCases } from "./cases.js";

const server = createServer((request, response) => response.end(bytesOf(request.url.slice(1))));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => server.close());

/** The page's side of a worker. */
class Page {
  told = [];
  #waiting = [];

  constructor() {
    this.port = { postMessage: (message) => this.#hear(message), onmessage: null };
    serve(this.port);
  }

  #hear(message) {
    this.told.push(message);
    this.#waiting = this.#waiting.filter(({ test: wanted, resolve }) => !wanted(message) || resolve(message));
  }

  say(message) {
    this.port.onmessage({ data: message });
  }

  /** Wait for a message that comes from now on. */
  heard(wanted) {
    return new Promise((resolve) => this.#waiting.push({ test: wanted, resolve }));
  }

  /** Ask, and wait for the end. */
  async ask(message) {
    const end = this.heard(({ id, type }) => id === message.id && ["loaded", "done", "failed", "cancelled"].includes(type));
    this.say(message);
    return end;
  }

  of(id, type) {
    return this.told.filter((message) => message.id === id && message.type === type);
  }
}

function modelOf({ model }) {
  const place = ({ url, ...file }) => ({ ...file, url: `http://127.0.0.1:${server.address().port}/${url}` });
  return { ...model, regions: place(model.regions), ...(model.whole ? { whole: place(model.whole) } : {}) };
}

function load(page, id, changes = {}) {
  const about = caseOf("worker.json");
  const runtime = pathToFileURL(about.runtime).href + "/";
  return page.ask({ type: "load", id, model: { ...modelOf(about), ...changes }, runtime, backend: "wasm", threads: 1 });
}

const page = new Page();
const loaded = needsCases.skip ? null : await load(page, "load");

test("a model loads", needsCases, () => {
  assert.deepEqual(loaded, {
    type: "loaded",
    id: "load",
    model: caseOf("worker.json").model.name,
    backend: "wasm",
    threads: 1,
  });
  const [received, total] = [page.of("load", "loading").at(-1).received, page.of("load", "loading").at(-1).total];
  assert.ok(received === total && total > 0);
});

for (const { name, samples, wishes, method } of needsCases.skip ? [] : caseOf("worker.json").pictures) {
  test(`${name}: the pixels are those of esc-sr upscale within a level`, async () => {
    const picture = new Blob([bytesOf(`${name}.png`)]);
    const done = await page.ask({ type: "upscale", id: name, picture, name: `${name}.png`, ...wishes });
    assert.equal(done.type, "done", done.message);
    const file = new Uint8Array(await done.png.arrayBuffer());
    handBack(`${name}.result.png`, file);
    const { pixels, ...found } = await readPng(file);
    const expected = bytesOf(`${name}.expected`);
    assert.deepEqual(found, { width: done.width, height: done.height, samples });
    assert.ok(pixels.every((value, i) => Math.abs(value - expected[i]) <= 1));
    assert.equal(done.record.survey?.method, method);
    const bands = page.of(name, "band");
    assert.equal(
      bands.reduce((rows, { height }) => rows + height, 0),
      done.height,
    );
    const first = bands[0].pixels.subarray(0, 4);
    assert.equal(first[0], pixels[0]);
    assert.deepEqual(
      page.of(name, "picture").map((told) => [told.outputWidth, told.outputHeight]),
      [[done.width, done.height]],
    );
    assert.equal(page.of(name, "progress").at(-1).seconds, 0);
  });
}

test("what runs and what waits can be cancelled, and the worker goes on", needsCases, async () => {
  const [{ name }] = caseOf("worker.json").pictures;
  const picture = new Blob([bytesOf(`${name}.png`)]);
  const asked = ["first", "second"].map((id) => page.ask({ type: "upscale", id, picture, limit: 1, survey: "exact" }));
  await page.heard(({ id, type }) => id === "first" && type === "progress");
  page.say({ type: "cancel", id: "second" });
  page.say({ type: "cancel", id: "first" });
  assert.deepEqual(
    (await Promise.all(asked)).map(({ type }) => type),
    ["cancelled", "cancelled"],
  );
  assert.deepEqual(page.of("second", "picture"), []);
  assert.deepEqual(page.of("first", "band"), []);
  const small = await page.ask({ type: "upscale", id: "third", picture, png: false, bands: false });
  assert.deepEqual([small.type, small.png, page.of("third", "band").length], ["done", null, 0]);
});

test("what is no picture is refused, and the worker goes on", needsCases, async () => {
  const picture = new Blob([bytesOf("worker.json")]);
  const failed = await page.ask({ type: "upscale", id: "text", picture });
  assert.deepEqual([failed.type, failed.code], ["failed", "picture-unreadable"]);
});

test("a file that is no network is refused, and then there is no model", needsCases, async () => {
  const other = new Page();
  const early = await other.ask({ type: "upscale", id: "early", picture: new Blob([]) });
  assert.deepEqual([early.type, early.code], ["failed", "no-model"]);
  const { broken } = caseOf("worker.json");
  const url = `http://127.0.0.1:${server.address().port}/${broken.url}`;
  const failed = await load(other, "broken", { regions: { ...broken, url }, whole: undefined });
  assert.deepEqual([failed.type, failed.code], ["failed", "model-refused"]);
});
