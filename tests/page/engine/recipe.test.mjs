import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.env.ESC_ENGINE_CASES;

/** A picture in memory, (3, H, W) in 0..1, as the recipe takes it. */
class Picture {
  constructor(values, height, width) {
    Object.assign(this, { values, height, width });
  }

  crop(top, left, height, width) {
    const out = new Float32Array(3 * height * width);
    for (let c = 0, at = 0; c < 3; c++)
      for (let y = top; y < top + height; y++, at += width) {
        const start = (c * this.height + y) * this.width + left;
        out.set(this.values.subarray(start, start + width), at);
      }
    return out;
  }
}

test("the recipe of docs/export.md makes the whole picture of its parts", { skip: !folder }, async () => {
  const about = JSON.parse(await readFile(join(folder, "recipe.json"), "utf8"));
  const ort = await import(pathToFileURL(join(about.runtime, "ort.wasm.min.mjs")).href);
  ort.env.wasm.wasmPaths = pathToFileURL(about.runtime).href + "/";
  ort.env.wasm.numThreads = 1;
  globalThis.ort = ort;
  const code = `${await readFile(join(folder, "recipe.js"), "utf8")}\nexport { upscale };`;
  await writeFile(join(folder, "recipe.mjs"), code);
  const { upscale } = await import(pathToFileURL(join(folder, "recipe.mjs")).href);
  const floats = async (name) => new Float32Array((await readFile(join(folder, name))).buffer.slice(0));
  const picture = new Picture(await floats("picture.raw"), about.height, about.width);
  const expected = await floats("expected.raw");
  const session = await ort.InferenceSession.create(await readFile(join(folder, "regions.onnx")));
  const height = about.height * about.scale, width = about.width * about.scale;
  const made = new Float32Array(3 * height * width);
  const spans = [];
  for (let top = 0; top < about.height; top += about.step)
    for (let left = 0; left < about.width; left += about.step)
      spans.push({
        rows: [top, Math.min(top + about.step, about.height)],
        columns: [left, Math.min(left + about.step, about.width)],
      });
  const write = (upscaled, top, left, rows, columns) => {
    const [, , , across] = upscaled.dims;
    const down = upscaled.dims[2], count = (columns[1] - columns[0]) * about.scale;
    for (let c = 0; c < 3; c++)
      for (let y = 0; y < (rows[1] - rows[0]) * about.scale; y++) {
        const from = (c * down + top + y) * across + left;
        const line = upscaled.data.subarray(from, from + count);
        made.set(line, (c * height + rows[0] * about.scale + y) * width + columns[0] * about.scale);
      }
  };
  await upscale(session, picture, spans, about, write);
  const worst = made.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  assert.ok(spans.length > 3);
  assert.ok(worst < 1e-4, `${worst}`);
});
