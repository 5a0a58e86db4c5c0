import assert from "node:assert/strict";
import { test } from "node:test";
import { changeOf, samplesOf } from "../../../esc_plugin/page/static/engine/survey.js";
import { upscale } from "../../../esc_plugin/page/static/engine/upscale.js";
import { Model, pictureOf, SCALE, Sheet } from "./model.js";

async function upscaled(model, picture, wishes) {
  const sheet = new Sheet();
  const account = await upscale(model, picture, sheet.add, wishes);
  return { sheet, account };
}

function largestDifference(a, b) {
  assert.equal(a.length, b.length);
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i] - b[i]));
  return largest;
}

for (const [width, height, samples] of [
  [90, 70, 3],
  [41, 123, 1],
  [67, 34, 4],
  [53, 59, 2],
  [3, 95, 3],
  [1, 1, 3],
]) {
  test(`regions of ${width} x ${height} with ${samples} samples are the whole`, async () => {
    const picture = pictureOf(width, height, samples);
    const whole = await upscaled(new Model(), picture);
    const model = new Model({ whole: false });
    const regions = await upscaled(model, picture, { limit: 900, survey: "exact" });
    assert.equal(whole.account.method, "whole");
    assert.equal(regions.account.method, "exact");
    assert.ok(regions.account.drift < 1e-4);
    assert.ok(largestDifference(whole.sheet.pixels, regions.sheet.pixels) <= 1);
    assert.equal(regions.sheet.height, height * SCALE);
  });
}

test("the network never sees more pixels at once than the limit", async () => {
  const model = new Model();
  const { sheet } = await upscaled(model, pictureOf(500, 400, 3), { limit: 15000 });
  assert.ok(model.largest <= 15000);
  assert.ok(Math.max(...sheet.bands.map(({ height }) => height)) <= (400 * SCALE) / 2);
});

test("a sampled survey looks at less and says by how much it is wrong", async () => {
  const [sampled, exact] = [new Model(), new Model()];
  const picture = pictureOf(1000, 1000, 3);
  const wishes = { limit: 300 ** 2 };
  const [few, all] = [
    await upscaled(sampled, picture, { ...wishes, survey: "sampled" }),
    await upscaled(exact, picture, { ...wishes, survey: "exact" }),
  ];
  assert.equal(few.account.method, "sampled");
  assert.ok(sampled.runs < exact.runs);
  assert.ok(few.account.drift > 1e-4 && few.account.drift < 0.1, String(few.account.drift));
  assert.ok(largestDifference(few.sheet.pixels, all.sheet.pixels) <= 4);
});

test("samples lie inside of the picture, on its windows, apart", () => {
  for (const size of [
    [5000, 300],
    [300, 5000],
    [4000, 3000],
    [1000, 1000],
    [20, 30],
    [1, 4096],
  ]) {
    const seen = new Set();
    for (const { region, area } of samplesOf(size, 16, 512 ** 2)) {
      assert.ok(region.top >= 0 && region.left >= 0 && region.bottom <= size[0] && region.right <= size[1]);
      assert.ok(region.bottom > region.top && region.right > region.left);
      assert.equal((area.top % 16) + (area.left % 16), 0);
      const key = `${region.top} ${region.left}`;
      assert.ok(!seen.has(key));
      seen.add(key);
    }
  }
});

test("a change is a part of how large the means of a layer are", () => {
  const before = Float32Array.of(1, 2, 0.1, 0.2);
  assert.equal(changeOf(before, before, 2), 0);
  assert.ok(Math.abs(changeOf(before, Float32Array.of(1, 2, 0.1, 0.25), 2) - 0.2) < 1e-6);
});

test("transparency: opaque stays opaque, what nobody sees is black, colours don't bleed", async () => {
  const [width, height] = [32, 32];
  const pixels = new Uint8Array(4 * width * height);
  for (let i = 0; i < width * height; i++) pixels.set(i % width < 16 ? [255, 0, 255, 0] : [40, 80, 120, 255], 4 * i);
  const { sheet } = await upscaled(new Model(), { width, height, samples: 4, pixels });
  const opaque = await upscaled(new Model(), {
    width,
    height,
    samples: 4,
    pixels: pixels.map((v, i) => (i % 4 === 3 ? 255 : v)),
  });
  assert.deepEqual([...sheet.pixels.subarray(8 * 64 * 4, 8 * 64 * 4 + 4)], [0, 0, 0, 0]);
  const inside = 4 * (8 * 64 + 60);
  assert.ok(Math.abs(sheet.pixels[inside + 1] - opaque.sheet.pixels[inside + 1]) <= 2);
  assert.ok(opaque.sheet.pixels.every((value, i) => i % 4 !== 3 || value === 255));
});

test("cancelling stops between two regions, and nothing more comes", async () => {
  const control = new AbortController();
  const model = new Model({ whole: false });
  const sheet = new Sheet();
  let told = 0;
  const progress = () => {
    if (++told === 5) control.abort();
  };
  const work = upscale(model, pictureOf(200, 300, 3), sheet.add, { limit: 1000, progress, signal: control.signal });
  await assert.rejects(work, { name: "AbortError" });
  assert.ok(model.runs <= 5);
  assert.equal(sheet.bands.length, 0);
});

test("messages come in between two regions", async () => {
  let heard = 0;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => (heard += 1);
  const progress = () => port2.postMessage(0);
  await upscale(new Model({ whole: false }), pictureOf(60, 60, 3), () => {}, { limit: 900, progress });
  port1.close();
  assert.ok(heard > 3);
});

test("progress grows up to the end", async () => {
  const told = [];
  const progress = (stage, done, total, seconds) => told.push({ stage, done, total, seconds });
  await upscale(new Model({ whole: false }), pictureOf(200, 100, 3), () => {}, { limit: 1000, survey: "exact", progress });
  assert.equal(told[0].done, 0);
  assert.equal(told[0].seconds, null);
  const { done, total, seconds, stage } = told.at(-1);
  assert.deepEqual([done, seconds, stage], [total, 0, "render"]);
  assert.ok(told.every((now, i) => i === 0 || now.done >= told[i - 1].done));
});
