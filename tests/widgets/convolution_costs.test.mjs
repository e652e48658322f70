// The arithmetic of the widget against cnnlib.inspection's (cases by test_convolution_costs.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { KINDS, costOf, networkOf, threeDigits, timeOf, withCommas } = await import(
  process.env.MODULE
);
const { layers, networks, times, choices, rows } = JSON.parse(readFileSync(process.env.CASES));

test("every kind costs what the library counts", () => {
  assert.ok(layers.length > 60);
  for (const { settings, costs } of layers) {
    for (const kind of KINDS) {
      const { macs, parameters, moved, intensity } = costOf(kind, settings);
      assert.deepEqual([macs, parameters, moved], [
        costs[kind].macs,
        costs[kind].parameters,
        costs[kind].moved,
      ]);
      assert.ok(Math.abs(intensity - costs[kind].intensity) < 1e-9 * intensity);
    }
  }
});

test("only the separable kind has a depthwise part, and it is smaller than the whole", () => {
  for (const { settings } of layers) {
    for (const kind of KINDS) {
      const { macs, first } = costOf(kind, settings);
      assert.equal(first !== undefined, kind === "separable");
      if (first) assert.ok(first.macs < macs);
    }
  }
});

test("times are those that were stored, and null where nothing was measured", () => {
  for (const { settings, times: expected } of layers) {
    for (const kind of KINDS) {
      assert.equal(timeOf(kind, settings, times, choices), expected[kind]);
    }
  }
});

test("the network costs what the library counts, at every width and size", () => {
  for (const { alpha, side, macs, parameters } of networks) {
    assert.deepEqual(networkOf(rows, alpha, side), { macs, parameters });
  }
});

test("numbers are short and have commas", () => {
  assert.deepEqual([0, 999, 1000, 568740352].map(withCommas), ["0", "999", "1,000", "568,740,352"]);
  assert.deepEqual([8.7654, 87.65, 876.54, 8765.4].map(threeDigits), [
    "8.77",
    "87.7",
    "877",
    "8,765",
  ]);
});
