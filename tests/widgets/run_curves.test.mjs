// Which curves are lines, and the arithmetic of the charts (cases written by test_run_curves.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const {
  apart,
  deviation,
  linesOf,
  mean,
  nearest,
  placesOf,
  powersOfTen,
  scaleOf,
  scientific,
  severalOf,
  span,
  summary,
  ticks,
  toggled,
  valuesAt,
  valuesOf,
  written,
} = await import(process.env.MODULE);
const cases = JSON.parse(readFileSync(process.env.CASES));

test("the lines are those of the static picture, with the same colours and dashes", () => {
  const lines = linesOf(cases.curves, cases.shown, "train_error");
  assert.deepEqual(
    lines.map(({ name, colour, dash }) => [name, colour, dash]),
    cases.lines.map(([name, colour, dash]) => [name, colour, dash]),
  );
  lines.forEach(({ seeds, x }, i) => {
    x.forEach((place, k) => {
      const difference = mean(seeds.map((seed) => seed[k])) - cases.lines[i][3][k];
      assert.ok(Math.abs(difference) < 1e-12);
    });
  });
});

test("means and deviations are written as in the static table", () => {
  for (const [values, kind, text] of cases.summaries) assert.equal(summary(values, kind), text);
  assert.equal(deviation([1]), null);
  assert.ok(Math.abs(deviation([1, 2, 3, 4]) - Math.sqrt(5 / 3)) < 1e-12);
  assert.equal(summary([], "percent"), "–");
  assert.equal(summary([1, 3], "number"), "2 ± 1.414");
  assert.equal(summary([0.0002], "log"), "2.0·10⁻⁴");
});

test("values of facets are found in order, and a facet with one value is none", () => {
  const curves = [
    { facets: { a: "10", b: "x", c: "same" } },
    { facets: { a: "9", b: "w", c: "same" } },
  ];
  assert.deepEqual(valuesOf(curves), { a: ["9", "10"], b: ["x", "w"], c: ["same"] });
  assert.deepEqual(severalOf(valuesOf(curves)), ["a", "b"]);
});

test("a third facet makes markers hollow, and a lone curve is named by all it has", () => {
  const run = { seeds: { loss: [[1]] }, x: { loss: [0] } };
  const curves = ["p", "q"].flatMap((a) =>
    ["r", "s"].flatMap((b) => ["t", "u"].map((c) => ({ facets: { a, b, c }, ...run }))),
  );
  const lines = linesOf(curves, { a: ["p", "q"], b: ["r", "s"], c: ["t", "u"] }, "loss");
  assert.deepEqual(
    lines.map(({ colour, dash, hollow }) => [colour, dash, hollow]),
    [0, 1].flatMap((a) => [0, 1].flatMap((b) => [false, true].map((c) => [a, b, c]))),
  );
  assert.equal(lines[5].name, "q, r, u");
  const [lone] = linesOf(curves.slice(0, 1), { a: ["p"], b: ["r"], c: ["t"] }, "loss");
  assert.deepEqual([lone.name, lone.colour, lone.dash], ["p, r, t", 0, 0]);
});

test("a button switches its value and keeps the order", () => {
  assert.deepEqual(toggled(["a", "c"], "b", ["a", "b", "c"]), ["a", "b", "c"]);
  assert.deepEqual(toggled(["a", "c"], "a", ["a", "b", "c"]), ["c"]);
  assert.deepEqual(toggled([], "b", ["a", "b", "c"]), ["b"]);
});

test("ticks are round and inside", () => {
  assert.deepEqual(ticks(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(1 / 3, 4, 4), [1, 2, 3, 4]);
  assert.deepEqual(ticks(0, 0.07), [0, 0.02, 0.04, 0.06]);
  assert.deepEqual(ticks(-1, 1, 4), [-1, -0.5, 0, 0.5, 1]);
  assert.deepEqual(ticks(3, 3), [3]);
  assert.deepEqual(powersOfTen(1e-3, 100), [1e-3, 1e-2, 0.1, 1, 10, 100]);
  const thin = powersOfTen(1e-12, 10);
  assert.ok(thin.length <= 6 && thin.at(-1) === 10 && thin[0] >= 1e-12);
});

test("an axis spans all values, from 0 or from a power of ten", () => {
  assert.deepEqual(span([0.12, 0.67]), [0, 0.8]);
  assert.deepEqual(span([0, 0]), [0, 1]);
  assert.deepEqual(span([-0.5, 1]), [-0.5, 1]);
  const [low, high] = span([0.02, 30], true);
  assert.ok(Math.abs(low - 0.01) < 1e-12 && Math.abs(high - 100) < 1e-9);
  const linear = scaleOf([0, 2], [100, 0]);
  assert.deepEqual([0, 1, 2].map(linear), [100, 50, 0]);
  assert.ok(Math.abs(scaleOf([0.01, 100], [0, 4], true)(10) - 3) < 1e-12);
  assert.equal(scaleOf([5, 5], [0, 10])(5), 0);
});

test("names keep their distance and stay inside", () => {
  assert.deepEqual(apart([10, 11, 50], 14, 0, 100), [10, 24, 50]);
  assert.deepEqual(apart([99, 98], 14, 0, 100), [100, 86]);
  const many = apart([5, 5, 5, 5], 10, 0, 100);
  assert.deepEqual(
    many.sort((a, b) => a - b),
    [5, 15, 25, 35],
  );
});

test("the cursor finds the nearest place and the values there", () => {
  assert.equal(nearest([0, 1, 2], 1.4), 1);
  assert.equal(nearest([0, 1, 2], 99), 2);
  const lines = [
    { x: [1 / 3, 2 / 3, 1], seeds: [[1, 2, 3]] },
    {
      x: [1, 2],
      seeds: [
        [7, 8],
        [9, 9],
      ],
    },
  ];
  assert.deepEqual(placesOf(lines), [1 / 3, 2 / 3, 1, 2]);
  assert.deepEqual(valuesAt(lines[0], 0.3333333), [1]);
  assert.deepEqual(valuesAt(lines[1], 1), [7, 9]);
  assert.deepEqual(valuesAt(lines[0], 2), []);
});

test("values are written as a reader wants them", () => {
  assert.equal(written(0.1234, "percent"), "12.3 %");
  assert.equal(written(-0.5, "percent"), "−50.0 %");
  assert.equal(written(0.5, "number"), "0.5");
  assert.equal(scientific(1e-11), "10⁻¹¹");
  assert.equal(scientific(0.00012), "1.2·10⁻⁴");
  assert.equal(scientific(3), "3.0");
  assert.equal(scientific(0), "0");
});
