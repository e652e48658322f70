// The counting of top_k.js against the library's (cases written by test_top_k.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { OTHER, UNKNOWN, errors, isRight, percentText } = await import(process.env.MODULE);
const cases = JSON.parse(readFileSync(process.env.CASES));

test("errors are those of the library", () => {
  assert.ok(cases.length > 500);
  for (const { truths, k, errors: expected } of cases) {
    const { wrong, labelled } = errors(truths, k);
    assert.deepEqual([wrong, labelled], expected, `${truths} ${k}`);
  }
});

test("an answer is right among the first k, wrong behind them, and open without a label", () => {
  assert.deepEqual([0, 1, 2].map((truth) => isRight(truth, 2)), [true, true, false]);
  assert.equal(isRight(OTHER, 10), false);
  assert.equal(isRight(UNKNOWN, 10), null);
});

test("percentages have one decimal, or none", () => {
  const texts = [0, 1 / 3, 0.5, 1, 0.0004].map(percentText);
  assert.deepEqual(texts, ["0", "33.3", "50", "100", "0"]);
});
