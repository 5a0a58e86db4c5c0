import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { openNetwork } from "../../../esc_plugin/page/static/engine/network.js";

const FILE = Buffer.from("the network");
const server = createServer((request, response) => {
  response.statusCode = request.url === "/model.onnx" ? 200 : 404;
  response.end(FILE);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => server.close());

const BASE = `http://127.0.0.1:${server.address().port}`;
const ENTRY = { url: `${BASE}/model.onnx`, sha256: createHash("sha256").update(FILE).digest("hex"), bytes: FILE.length };
const MODEL = {
  name: "mine",
  scale: 2,
  window: 4,
  unshuffle: 1,
  reach: 8,
  layers: 1,
  channels: 1,
  sha256: "",
  regions: ENTRY,
};

/** A runtime in which a backend may refuse to open, or to run. */
class Runtime {
  opened = [];
  constructor({ broken = {}, made = {} } = {}) {
    const runtime = this;
    this.env = { wasm: {}, versions: { common: "1.0" } };
    this.Tensor = class {
      constructor(type, data, dims) {
        Object.assign(this, { type, data, dims });
      }
    };
    this.InferenceSession = {
      async create(file, { executionProviders: [backend] }) {
        runtime.opened.push([backend, Buffer.from(file).toString()]);
        if (broken.open === backend) throw new Error(`no ${backend} here`);
        return {
          async run({ image }) {
            if (broken.run === backend) throw broken.error ?? new Error(`${backend} is lost`);
            return { upscaled: { data: image.data }, found: { data: made.found ?? Float32Array.of(1) } };
          },
          async release() {},
        };
      },
    };
  }
}

async function opened(runtime, options = {}) {
  const notices = [];
  const wishes = { runtime: "here/", load: async () => runtime, notice: (code) => notices.push(code), ...options };
  return { notices, network: await openNetwork(MODEL, wishes) };
}

const one = () => [Float32Array.of(0, 0, 0), 1, 1, Float32Array.of(0), Float32Array.of(1)];

test("a model that is what it should be runs", async () => {
  const runtime = new Runtime();
  const told = [];
  const { network, notices } = await opened(runtime, { progress: (...bytes) => told.push(bytes) });
  assert.deepEqual(runtime.opened, [["wasm", "the network"]]);
  assert.deepEqual(Object.keys(await network.runRegion(...one())), ["upscaled", "found"]);
  assert.equal(network.hasWhole, false);
  assert.deepEqual(notices, []);
  assert.deepEqual(told.at(-1), [FILE.length, FILE.length]);
  assert.match(network.runtime, /^onnxruntime-web 1\.0, WebAssembly/);
});

for (const when of ["open", "run"]) {
  test(`where WebGPU fails to ${when}, WebAssembly goes on, and it is said`, async () => {
    const runtime = new Runtime({ broken: { [when]: "webgpu" } });
    const { network, notices } = await opened(runtime, { backend: "webgpu" });
    await network.runRegion(...one());
    assert.deepEqual([network.backend, notices], ["wasm", ["webgpu-failed"]]);
  });
}

test("what isn't the file it should be isn't opened", async () => {
  const runtime = new Runtime();
  const other = { ...MODEL, regions: { ...ENTRY, sha256: "00".repeat(32) } };
  await assert.rejects(openNetwork(other, { runtime: "", load: async () => runtime }), { code: "model-damaged" });
  const gone = { ...MODEL, regions: { ...ENTRY, url: `${BASE}/gone` } };
  await assert.rejects(openNetwork(gone, { runtime: "", load: async () => runtime }), { code: "model-missing" });
  assert.deepEqual(runtime.opened, []);
});

test("each failure has its own code", async () => {
  const refused = new Runtime({ broken: { open: "wasm" } });
  await assert.rejects(opened(refused), { code: "model-refused" });
  await assert.rejects(opened(null, { load: () => import("./nowhere.js") }), { code: "runtime" });
  const broken = { run: "wasm", error: new Error("std::bad_alloc") };
  await assert.rejects((await opened(new Runtime({ broken }))).network.runRegion(...one()), { code: "memory" });
  const nan = new Runtime({ made: { found: Float32Array.of(NaN) } });
  await assert.rejects((await opened(nan)).network.runRegion(...one()), { code: "runtime" });
});

test("numbers that are none on WebGPU come from WebAssembly", async () => {
  const runtime = new Runtime();
  const { network, notices } = await opened(runtime, { backend: "webgpu" });
  const run = async () => ({ upscaled: { data: Float32Array.of(0) }, found: { data: Float32Array.of(NaN) } });
  network.sessions.set("regions", { run, release: async () => {} });
  assert.equal((await network.runRegion(...one())).found[0], 1);
  assert.deepEqual(notices, ["webgpu-failed"]);
});

test("a graphics card is taken where there is a real one", async () => {
  const backendWith = async (requestAdapter) => {
    Object.defineProperty(globalThis, "navigator", { value: { gpu: { requestAdapter } }, configurable: true });
    return (await opened(new Runtime(), { backend: "auto" })).network.backend;
  };
  assert.equal(await backendWith(async () => ({ info: {} })), "webgpu");
  assert.equal(await backendWith(async () => null), "wasm");
  assert.equal(await backendWith(async () => ({ info: { isFallbackAdapter: true } })), "wasm");
  assert.equal(await backendWith(() => Promise.reject(new Error("lost"))), "wasm");
});
