// Speaks as engine/worker.js does, and makes of each pixel a square of its own: what the page does with it can be seen without
// a network. A file's name says how it shall go: "slow", "stuck", "broken", "memory".
let model = null;
const cancelled = new Set();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const messages = [];
let busy = false;

self.addEventListener("message", ({ data }) => {
  if (data.type === "cancel") cancelled.add(data.id);
  else messages.push(data);
  if (!busy) next();
});

async function next() {
  busy = true;
  while (messages.length) {
    const message = messages.shift();
    const say = (type, values = {}) => postMessage({ id: message.id, type, ...values });
    await (message.type === "load" ? load(message, say) : upscale(message, say));
  }
  busy = false;
}

async function load(message, say) {
  model = message.model;
  say("loading", { what: "model", received: 1, total: 2 });
  if (model.name.includes("damaged")) say("failed", { code: "model-damaged", message: "damaged", values: { url: model.regions.url } });
  else say("loaded", { model: model.name, backend: "wasm", threads: 1 });
}

async function upscale({ id, picture, name }, say) {
  const bitmap = await createImageBitmap(picture);
  const { width, height } = bitmap;
  const scale = model.scale;
  const size = { outputWidth: width * scale, outputHeight: height * scale };
  say("picture", { width, height, scale, ...size, samples: 3, format: "PNG", transparent: false });
  if (name.includes("broken")) return say("failed", { code: "picture-unreadable", message: "broken", values: { reason: "cut off" } });
  if (name.includes("memory")) return say("failed", { code: "memory", message: "out of memory", values: { reason: "no" } });
  say("notice", { code: "depth-lost", message: "16 bits", values: { bits: 16 } });
  const draw = (top, height) => {
    const canvas = new OffscreenCanvas(size.outputWidth, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap, 0, -top, size.outputWidth, size.outputHeight);
    return { canvas, context };
  };
  const bands = name.includes("slow") || size.outputHeight > 4000 ? 40 : 4;
  for (let i = 0; i < bands; i++) {
    while (name.includes("stuck")) await new Promise(() => {});
    if (name.includes("slow")) await pause(250);
    if (cancelled.has(id)) return say("cancelled");
    const [top, bottom] = [i, i + 1].map((n) => Math.round((n * size.outputHeight) / bands));
    say("progress", { stage: i ? "render" : "survey", done: i + 1, total: bands, seconds: i ? bands - i : null });
    if (bottom === top) continue;
    const { data: pixels } = draw(top, bottom - top).context.getImageData(0, 0, size.outputWidth, bottom - top);
    say("band", { top, width: size.outputWidth, height: bottom - top, pixels });
  }
  const record = { software: "esc-plugin page", command: "upscale", image: name, model: model.name, sha256: model.sha256, model_scale: scale,
    size: [size.outputHeight, size.outputWidth], precision: "float32", runtime: "none", survey: { method: "exact", passes: 2, change: 0, drift: 1e-7 }, seconds: 0.1 };
  const png = await draw(0, Math.min(size.outputHeight, 4000)).canvas.convertToBlob({ type: "image/png" });
  say("done", { width: size.outputWidth, height: size.outputHeight, png, record });
}
