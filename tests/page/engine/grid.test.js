import assert from "node:assert/strict";
import { test } from "node:test";
import { aligned, grow, partition, pixelsOf, spans } from "../../../esc_plugin/page/static/engine/grid.js";
import { caseOf, needsCases } from "./cases.js";

const regionOf = ([top, left, bottom, right]) => ({ top, left, bottom, right });

test("regions grow and align as in Python", needsCases, () => {
  for (const { region, reach, multiple, size, grown, whole } of caseOf("grid.json")) {
    const larger = grow(regionOf(region), reach, size);
    assert.deepEqual(larger, regionOf(grown));
    assert.deepEqual(aligned(larger, multiple, size), regionOf(whole));
  }
});

test("an axis is cut as in Python", needsCases, () => {
  for (const { length, parts, multiple, found } of caseOf("spans.json")) {
    assert.deepEqual(spans(length, parts, multiple), found);
  }
});

test("a partition is all of a picture, once, and within the limit", needsCases, () => {
  for (const { reach, multiple, size, limit } of caseOf("partition.json")) {
    const rows = partition(size, reach, multiple, limit);
    let top = 0;
    for (const row of rows) {
      let left = 0;
      for (const { region, area } of row) {
        assert.deepEqual([region.top, region.left], [top, left]);
        assert.ok(area.top <= region.top && area.left <= region.left);
        assert.ok(pixelsOf(area) <= limit);
        left = region.right;
      }
      assert.equal(left, size[1]);
      top = row[0].region.bottom;
    }
    assert.equal(top, size[0]);
  }
});

test("where even one window is too much, the parts are as small as they get", () => {
  const rows = partition([64, 64], 16, 16, 1);
  assert.deepEqual([rows.length, rows[0].length], [4, 4]);
});

test("what fits is one part", () => {
  assert.equal(partition([100, 200], 16, 16, 20000).flat().length, 1);
});
