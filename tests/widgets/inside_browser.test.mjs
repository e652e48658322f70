// What the browser of photographs computes, against the library (cases of test_inside_browser.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { cellAt, extremes, heatOf, opaque, percentText, readMap, squareOf } = await import(
  process.env.MODULE
);
const { maps, cases } = JSON.parse(readFileSync(process.env.CASES));

test("maps are read as they were written", () => {
  // somewhere in a larger buffer, as they arrive
  const bytes = Uint8Array.from([9, 9, 9, ...maps]).subarray(3);
  assert.ok(cases.length >= 2);
  for (const { at, cells, shares, winners, classes } of cases) {
    const map = readMap(bytes, at, cells);
    shares.forEach((share, i) => assert.ok(Math.abs(map.shares[i] - share) < 1e-9));
    assert.deepEqual(
      map.winners.map((number) => classes[number]),
      winners,
    );
  }
});

test("the square lies where the library had put it", () => {
  for (const { square, cells, places } of cases) {
    places.forEach((row, r) =>
      row.forEach((expected, c) => {
        const { top, bottom, left, right } = squareOf([r, c], cells, square);
        assert.deepEqual([top, bottom, left, right], expected);
      }),
    );
  }
});

test("a point belongs to the cell under it, and stays in the picture", () => {
  assert.deepEqual(cellAt(0, 0, 28), [0, 0]);
  assert.deepEqual(cellAt(0.5, 0.25, 28), [7, 14]);
  assert.deepEqual(cellAt(1, 1.2, 28), [27, 27]);
  assert.deepEqual(cellAt(-0.1, 0.999, 28), [27, 0]);
});

test("blue is lower than uncovered, orange higher, and what does not change has no colour", () => {
  assert.equal(heatOf(0.5, 0.5, 0.1, 0.9), 0);
  assert.equal(heatOf(0.1, 0.5, 0.1, 0.9), -1);
  assert.equal(heatOf(0.9, 0.5, 0.1, 0.9), 1);
  assert.equal(heatOf(0.4, 0.4, 0.4, 0.4), 0);
  assert.equal(heatOf(0.75, 1, 0.5, 0.75), -0.5); // nowhere higher than uncovered
  assert.equal(heatOf(0.75, 0.5, 0.375, 0.75), 1); // one scale for both directions
  assert.equal(heatOf(0.375, 0.5, 0.375, 0.75), -0.5);
  assert.deepEqual(extremes([3, 1, 2, 1, 5]), { least: 1, most: 4 });
});

test("greys become pixels", () => {
  assert.deepEqual([...opaque(Uint8Array.of(0, 200))], [0, 0, 0, 255, 200, 200, 200, 255]);
  assert.equal(percentText(0.9511), "95.1");
});
