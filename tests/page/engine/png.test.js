import assert from "node:assert/strict";
import { test } from "node:test";
import { openPicture } from "../../../esc_plugin/page/static/engine/picture.js";
import { chunksOf, encoded, joined, SIGNATURE } from "../../../esc_plugin/page/static/engine/png_chunks.js";
import { headOf, readPng } from "../../../esc_plugin/page/static/engine/png_read.js";
import { PngWriter } from "../../../esc_plugin/page/static/engine/png_write.js";
import { recordChunk } from "../../../esc_plugin/page/static/engine/record.js";
import { bytesOf, caseOf, handBack, needsCases } from "./cases.js";
import { pictureOf } from "./model.js";

test("PNGs of all kinds are read as Pillow reads them", needsCases, async () => {
  for (const { name, width, height, samples } of caseOf("png.json")) {
    const found = await readPng(bytesOf(`${name}.png`));
    assert.deepEqual([found.width, found.height, found.samples], [width, height, samples], name);
    assert.deepEqual(found.pixels, bytesOf(`${name}.pixels`), name);
  }
});

for (const samples of [1, 2, 3, 4]) {
  test(`a PNG of ${samples} samples that is written in bands comes back`, needsCases, async () => {
    const { width, height, pixels } = pictureOf(70, 41, samples);
    const rgba = new Uint8ClampedArray(4 * width * height);
    for (let i = 0; i < width * height; i++) {
      const own = pixels.subarray(i * samples, (i + 1) * samples);
      rgba.set(samples < 3 ? [own[0], own[0], own[0], own[1] ?? 255] : [...own.subarray(0, 3), own[3] ?? 255], 4 * i);
    }
    const writer = new PngWriter(width, height, samples);
    for (const [top, bottom] of [
      [0, 7],
      [7, 40],
      [40, 41],
    ]) {
      const band = rgba.slice(4 * width * top, 4 * width * bottom);
      await writer.write({ top, width, height: bottom - top, pixels: band });
    }
    const record = { software: "esc-plugin page", command: "upscale", image: `it's "ä" <&> ${samples}.png` };
    const blob = await writer.finish([recordChunk(record)]);
    const file = new Uint8Array(await blob.arrayBuffer());
    assert.deepEqual((await readPng(file)).pixels, pixels);
    handBack(`written${samples}.png`, file);
    handBack(`written${samples}.pixels`, pixels);
    handBack(`written${samples}.json`, JSON.stringify(record));
  });
}

/** Return why a file can't be read, or nothing if it can. */
async function refusal(file) {
  try {
    await openPicture(new Blob([file]));
  } catch (error) {
    return error.code;
  }
}

test("what is damaged is refused in words", needsCases, async () => {
  const { name } = caseOf("png.json")[0];
  const good = bytesOf(`${name}.png`);
  const chunks = [...chunksOf(good)];
  const built = (edit) => joined([SIGNATURE, ...chunks.flatMap((chunk) => edit(chunk)).map(encoded)]);
  const withHead = (edit) =>
    built((chunk) => {
      if (chunk.name !== "IHDR") return [chunk];
      const data = chunk.data.slice();
      edit(new DataView(data.buffer));
      return [{ name: "IHDR", data }];
    });
  assert.equal(await refusal(built((chunk) => [chunk])), undefined);
  assert.equal(await refusal(good.subarray(0, 20)), "picture-unreadable");
  assert.equal(
    await refusal(built(({ name, data }) => (name === "IDAT" ? [{ name, data: data.slice(0, 30) }] : [{ name, data }]))),
    "picture-unreadable",
  );
  assert.equal(
    await refusal(
      built(({ name, data }) => (name === "IDAT" ? [{ name, data: data.map((byte) => byte ^ 90) }] : [{ name, data }])),
    ),
    "picture-unreadable",
  );
  assert.equal(await refusal(withHead((view) => view.setUint32(0, 0))), "picture-unreadable");
  assert.equal(await refusal(withHead((view) => view.setUint8(8, 7))), "picture-unreadable");
  assert.equal(await refusal(withHead((view) => view.setUint32(4, 2 ** 31))), "picture-too-large");
  assert.equal(await refusal(withHead((view) => view.setUint32(4, headOf(good).height + 1))), "picture-unreadable");
});

test("a PNG keeps what says how to show its colours, and its text", needsCases, async () => {
  const { chunks, notices } = await openPicture(new Blob([bytesOf("described.png")]));
  const names = chunks.map(({ name }) => name);
  assert.ok(names.includes("iCCP") && names.includes("gAMA") && names.includes("tEXt"));
  assert.ok(!names.includes("sRGB"));
  assert.deepEqual(
    notices.map(({ code, values }) => [code, values.what?.join()]),
    [["metadata-lost", "EXIF,XMP"]],
  );
});

test("16 bits are said to be lost", needsCases, async () => {
  const { notices } = await openPicture(new Blob([bytesOf("gray16.png")]));
  assert.deepEqual(
    notices.map(({ code }) => code),
    ["depth-lost"],
  );
});

test("a PNG that says how the camera was held is turned as in Python", needsCases, async () => {
  for (const { name, width, height, pixels } of caseOf("turned.json")) {
    const { picture } = await openPicture(new Blob([bytesOf(name)]));
    assert.deepEqual([picture.width, picture.height, [...picture.pixels]], [width, height, pixels], name);
  }
});
