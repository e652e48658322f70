// The arithmetic of the calculator (cases written by test_field_calculator.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { costs, halfSquare, large, nested, perSquaredMaps, presetOf, singleKernel, times, ways } =
  await import(process.env.MODULE);
const cases = JSON.parse(readFileSync(process.env.CASES));

const conv = (kernel, more = {}) => ({
  kind: "conv",
  kernel,
  stride: 1,
  padding: (kernel - 1) / 2,
  dilation: 1,
  maps: 16,
  groups: 1,
  ...more,
});

test("every stack costs and sees what the library counts", () => {
  assert.ok(cases.length >= 50);
  for (const { stack, channels, side, rows } of cases) {
    assert.deepEqual(costs(stack, channels, side), rows);
  }
});

test("the ways of every pixel are torch's gradient of kernels full of ones", () => {
  for (const { stack, ways: expected } of cases) assert.deepEqual(ways(stack), expected);
});

test("three kernels of 3 see like one of 7, but most ways lead through the middle", () => {
  const three = [conv(3), conv(3), conv(3)];
  assert.deepEqual(ways(three), [1, 3, 6, 7, 6, 3, 1]);
  assert.deepEqual(ways([conv(7)]), [1, 1, 1, 1, 1, 1, 1]);
  assert.equal(halfSquare(ways(three)), 5);
  assert.equal(halfSquare(ways([conv(7)])), 5);
  assert.equal(halfSquare([1]), 1);
  assert.equal(halfSquare([1, 1]), 2);
});

test("dilation leaves holes", () => {
  assert.deepEqual(ways([conv(3, { dilation: 2 })]), [1, 0, 1, 0, 1]);
});

test("the squares of earlier layers lie inside those of later ones", () => {
  for (const { stack, rows } of cases) {
    const squares = nested(stack);
    assert.deepEqual(
      squares.map(({ field }) => field),
      rows.map(({ field }) => field),
    );
    assert.equal(squares.at(-1).first, 0);
    squares.slice(1).forEach((outer, at) => {
      const inner = squares[at];
      assert.ok(inner.first >= outer.first);
      assert.ok(inner.first + inner.field <= outer.first + outer.field);
    });
  }
});

test("they stay near the middle, even under windows of 2", () => {
  const halving = Array.from({ length: 5 }, () => ({ ...conv(2), kind: "pool", stride: 2 }));
  const squares = nested(halving);
  const middles = squares.map(({ first, field }) => first + field / 2);
  middles.forEach((middle, at) => assert.ok(Math.abs(middle - 16) <= squares[at].field / 2));
});

test("one kernel that sees as much has its square of weights for each pair of maps", () => {
  const rows = costs([conv(3), conv(3), conv(3)], 16, 20);
  const one = singleKernel(rows, 16);
  assert.deepEqual(one, { field: 7, jump: 1, weights: 49 * 256, macs: 49 * 256 * 400 });
});

test("the formula in C is given where all maps are alike", () => {
  const three = [conv(3), conv(3), conv(3)];
  assert.deepEqual(perSquaredMaps(three, 16, 7), { stack: 27, single: 49 });
  assert.equal(perSquaredMaps(three, 3, 7), null);
  assert.equal(perSquaredMaps([...three, conv(3, { stride: 2 })], 16, 9), null);
  assert.equal(perSquaredMaps([conv(3, { groups: 2 })], 16, 3), null);
});

test("numbers are written as readers write them", () => {
  assert.equal(large(27), "27");
  assert.equal(large(110592), "110,592");
  assert.equal(large(14710464), "14.7 M");
  assert.equal(large(138357544), "138 M");
  assert.equal(large(15346630656), "15.3 G");
  assert.equal(times(27, 49), "0.55");
  assert.equal(times(15.3, 3.38), "4.5");
  assert.equal(times(1, 300), "0.0033");
});

test("a preset is recognised by what it is, not by who made it", () => {
  const presets = { one: { layers: [conv(3)], channels: 16, side: 8 } };
  assert.equal(presetOf([conv(3)], 16, 8, presets), "one");
  assert.equal(presetOf([conv(5)], 16, 8, presets), null);
  assert.equal(presetOf([conv(3)], 16, 9, presets), null);
});
