// The arithmetic of the editor against cnnlib.search's (cases by test_cell_editor.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const {
  bestChange,
  changed,
  deviation,
  following,
  grouped,
  mean,
  neighbours,
  numberOf,
  percent,
  spread,
  standing,
} = await import(process.env.MODULE);
const given = JSON.parse(readFileSync(process.env.CASES));

test("every code leads to the rank that the table gives it", () => {
  given.codes.forEach((code, i) => {
    assert.equal(given.encodings[numberOf(code)] + 1, given.ranks[i]);
  });
  assert.equal(numberOf("-----"), 0);
  assert.equal(numberOf("ppppp"), 1023);
});

test("neighbours differ at one edge", () => {
  given.codes.forEach((code, i) => {
    assert.deepEqual(neighbours(code).sort(), given.neighbours[i]);
  });
});

test("a change of one edge and the operation after this one", () => {
  assert.equal(changed("cic-i", 3, "p"), "cicpi");
  assert.equal([..."-icp"].map(following).join(""), "icp-");
});

test("the best single change has the best rank, or there is none", () => {
  given.codes.forEach((code, i) => {
    const found = bestChange(code, given.encodings, given.rows);
    const rank = found === null ? null : given.encodings[numberOf(found)] + 1;
    assert.equal(rank, given.best[i]);
  });
  assert.ok(given.best.includes(null) || given.best.length > 50);
});

test("a limit is kept to", () => {
  const small = (row) => row[2] <= 7298;
  for (const code of given.codes) {
    const found = bestChange(code, given.encodings, given.rows, small);
    if (found) assert.ok(given.rows[given.encodings[numberOf(found)]][2] <= 7298);
  }
  assert.equal(bestChange("-----", given.encodings, given.rows, () => false), null);
});

test("a search stands where the trace stands", () => {
  for (const { steps, evaluations, tried, best, last } of given.standing) {
    const now = standing(steps, evaluations, given.encodings);
    assert.deepEqual([...now.tried].sort((a, b) => a - b), tried);
    assert.equal(now.best[0], best);
    assert.equal(now.last[0], last);
  }
});

test("mean and deviation are those of the table", () => {
  given.rows.forEach((row, i) => {
    assert.ok(Math.abs(mean(row[6]) - given.means[i]) < 1e-12);
    assert.ok(Math.abs(deviation(row[6]) - given.deviations[i]) < 1e-9);
    assert.equal(percent(given.means[i]), given.percents[i]);
  });
  assert.equal(deviation([3]), 0);
  assert.equal(percent(0.66249), "66.2");
  assert.equal(grouped(1234567), "1,234,567");
});

test("dots stay in their columns and next to each other", () => {
  const count = Math.max(...given.columns) + 1;
  const across = spread(given.means, given.columns, count);
  across.forEach((x, i) => {
    assert.ok(x >= given.columns[i] / count && x <= (given.columns[i] + 1) / count);
  });
  const twins = spread([0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], 1);
  assert.equal(new Set(twins).size, 4);
});
