// Spread, distances and orders of excitations (cases written by test_excitation_browser.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { columnsOf, linesOf, orderOf, pairsOf, spreadOf } = await import(process.env.MODULE);
const cases = JSON.parse(readFileSync(process.env.CASES));
const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("spread and pairs are those that Python finds", () => {
  assert.ok(cases.length >= 4);
  for (const { table, spread, pairs } of cases) {
    near(spreadOf(table), spread);
    const found = pairsOf(table);
    assert.deepEqual(
      found.map(([i, k]) => [i, k]),
      pairs.map(([i, k]) => [i, k]),
    );
    found.forEach(([, , distance], i) => near(distance, pairs[i][2]));
  }
});

const TABLE = [
  [0.5, 0.1, 0.9],
  [0.5, 0.3, 0.8],
];

test("channels are sorted by number, mean or spread", () => {
  assert.deepEqual(columnsOf(TABLE)[1], [0.1, 0.3]);
  assert.deepEqual(orderOf(TABLE, "number"), [0, 1, 2]);
  assert.deepEqual(orderOf(TABLE, "mean"), [1, 0, 2]);
  assert.deepEqual(orderOf(TABLE, "spread"), [1, 2, 0]);
});

test("a line for each class that is shown, and one for all of them", () => {
  const [shoe, all] = linesOf(TABLE, [2, 0, 1], [1], ["shirt", "shoe"], "all");
  assert.deepEqual(shoe.seeds, [[0.8, 0.5, 0.3]]);
  assert.deepEqual(shoe.x, [1, 2, 3]);
  assert.equal(all.name, "all");
  near(all.seeds[0][0], 0.85);
  assert.equal(linesOf(TABLE, [0, 1, 2], [], ["shirt", "shoe"], "all").length, 1);
});

test("no two of sixteen classes look alike, and none like the mean", () => {
  const names = Array.from({ length: 16 }, (_, i) => `${i}`);
  const table = names.map(() => [0.5]);
  const lines = linesOf(table, [0], [...names.keys()], names, "all");
  assert.equal(new Set(lines.map(({ colour, dash }) => `${colour} ${dash}`)).size, 17);
});
