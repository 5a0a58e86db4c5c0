import assert from "node:assert/strict";
import { test } from "node:test";
import {
  alphaOf,
  coloursOf,
  isTransparent,
  reduced,
  writeAlpha,
  writeColours,
} from "../../../esc_plugin/page/static/engine/values.js";
import { bytesOf, caseOf, needsCases } from "./cases.js";

const floats = (name) => new Float32Array(bytesOf(name).buffer);

test("a network sees what it sees in Python", needsCases, () => {
  for (const { name, width, height, samples, region } of caseOf("planes.json")) {
    const picture = { width, height, samples, pixels: bytesOf(`${name}.pixels`) };
    const transparent = isTransparent(picture);
    assert.deepEqual(coloursOf(picture, transparent).read(region), floats(`${name}.colours`));
    if (transparent) assert.deepEqual(alphaOf(picture).read(region), floats(`${name}.alpha`));
  }
});

test("what a network makes becomes pixels as in Python", needsCases, () => {
  for (const { name, samples, height, width } of caseOf("made.json")) {
    const [gray, transparent] = [samples < 3, samples % 2 === 0];
    const pixels = new Uint8ClampedArray(4 * height * width);
    const target = { pixels, width, top: 0, left: 0 };
    const part = { top: 0, left: 0, bottom: height, right: width };
    if (transparent) writeAlpha({ values: floats(`${name}.alpha`), height, width, part }, target);
    writeColours({ values: floats(`${name}.colours`), height, width, part }, target, { gray, transparent });
    const wrong = pixels.findIndex((value, i) => value !== bytesOf(`${name}.rgba`)[i]);
    assert.equal(wrong, -1, `${name}: ${pixels[wrong]} at ${wrong}`);
  }
});

test("a part goes where it belongs, and nothing else changes", () => {
  const values = Float32Array.from({ length: 3 * 16 }, (_, i) => (i % 16) / 255);
  const target = { pixels: new Uint8ClampedArray(4 * 5 * 6), width: 6, top: 1, left: 2 };
  const part = { top: 1, left: 2, bottom: 3, right: 4 };
  writeColours({ values, height: 4, width: 4, part }, target, { gray: false, transparent: false });
  const found = [...target.pixels].flatMap((value, i) => (value && i % 4 === 0 ? [[i / 4, value]] : []));
  assert.deepEqual(found, [
    [8, 6],
    [9, 7],
    [14, 10],
    [15, 11],
  ]);
});

test("a reduced plane is made of averages", () => {
  const [width, height] = [10, 7];
  const plane = {
    size: [height, width],
    read: ({ top, left, bottom, right }) => {
      const values = [];
      for (let c = 0; c < 3; c++)
        for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) values.push(100 * c + y + x / 16);
      return Float32Array.from(values);
    },
  };
  const small = reduced(plane, 8);
  assert.deepEqual(small.size, [2, 3]);
  const values = small.read({ top: 0, left: 0, bottom: 2, right: 3 });
  const expected = [0, 1, 2].flatMap((c) => [1, 4].flatMap((y) => [1, 4, 7].map((x) => 100 * c + y + x / 16)));
  values.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-4));
  assert.equal(reduced(plane, 1000).size.join(), "7,10");
});
