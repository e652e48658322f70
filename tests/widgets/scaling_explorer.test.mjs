// The arithmetic of the explorer against cnnlib.inspection's (cases by test_scaling_explorer.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { expected, grouped, roundFilters, roundRepeats, sameAs, sizeOf, stagesOf, total } =
  await import(process.env.MODULE);
const { cases, rows, variants, rule } = JSON.parse(readFileSync(process.env.CASES));

test("every stage costs what the library counts", () => {
  assert.ok(cases.length > 20);
  for (const { factors, stages } of cases) assert.deepEqual(stagesOf(factors, rows), stages);
});

test("released networks and networks by the rule are recognised", () => {
  for (const { factors, variant, phi } of cases) {
    assert.equal(sameAs(factors, variants)?.name ?? null, variant);
    assert.equal(sameAs(factors, rule)?.phi ?? null, phi);
  }
});

test("channels go to multiples of 8 and lose at most a tenth, repeats go up", () => {
  assert.deepEqual(
    [32, 35.2, 43, 44, 26.4, 8.9, 1].map((width) => roundFilters(width, 1)),
    [32, 32, 40, 48, 24, 16, 8],
  );
  assert.equal(roundFilters(16, 1.1), 16);
  assert.deepEqual([1, 2, 3, 4].map((layers) => roundRepeats(layers, 1.1)), [2, 3, 4, 5]);
  assert.equal(roundRepeats(3, 2), 6);
});

test("the rule expects depth once, width and resolution twice", () => {
  const base = { depth: 1, width: 1, resolution: 224 };
  assert.equal(expected(base, base), 1);
  assert.equal(expected({ ...base, depth: 2 }, base), 2);
  assert.equal(expected({ ...base, width: 2 }, base), 4);
  assert.equal(expected({ ...base, resolution: 448 }, base), 4);
});

test("blocks and channels are those between stem and head", () => {
  assert.deepEqual(sizeOf(stagesOf(variants[0], rows)), { blocks: 16, channels: 784 });
});

test("numbers are summed and grouped", () => {
  assert.equal(grouped(total(stagesOf(variants[0], rows), "parameters")), "5,288,548");
});
