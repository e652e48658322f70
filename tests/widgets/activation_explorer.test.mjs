// Units and chains against PyTorch and its twin in Python (written by test_activation_explorer.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { UNITS, chain, gaussianShare, normals, verdictOf } = await import(process.env.MODULE);
const { x, units, chains } = JSON.parse(readFileSync(process.env.CASES));

function assertClose(ours, theirs, relative = 1e-9) {
  assert.equal(ours.length, theirs.length);
  theirs.forEach((expected, i) => {
    const room = relative * Math.max(Math.abs(expected), 1e-12);
    assert.ok(Math.abs(ours[i] - expected) <= room + 1e-13 * (relative === 1e-9), `${ours[i]} ${expected}`);
  });
}

test("every unit and its slope equal torch's", () => {
  assert.deepEqual(Object.keys(UNITS), Object.keys(units));
  for (const [name, [values, slopes]] of Object.entries(units)) {
    assertClose(x.map(UNITS[name][0]), values);
    assertClose(x.map(UNITS[name][1]), slopes);
  }
});

test("every chain equals torch's backpropagation", () => {
  assert.ok(chains.length >= 30);
  for (const { unit, depth, scale, seed, gradients, slopes } of chains) {
    const found = chain(unit, depth, scale, seed);
    assertClose(found.gradients, gradients, 1e-7);
    assertClose(found.slopes, slopes, 1e-7);
  }
});

test("a slope is the limit of its function's quotients", () => {
  for (const [name, [value, slope]] of Object.entries(UNITS)) {
    for (const at of [-5.3, -1.1, -0.2, 0.4, 2.2, 5.9]) {
      const quotient = (value(at + 1e-5) - value(at - 1e-5)) / 2e-5;
      assert.ok(Math.abs(quotient - slope(at)) < 1e-8, `${name} at ${at}`);
    }
  }
});

test("the share below a number is right in the middle and far out", () => {
  for (const [at, share] of [
    [0, 0.5],
    [1, 0.8413447460685429],
    [-4, 3.167124183311992e-5],
    [-6, 9.865876450376946e-10],
  ]) {
    assert.ok(Math.abs(gaussianShare(at) / share - 1) < 1e-10, `${gaussianShare(at)}`);
  }
  assert.equal(gaussianShare(40), 1);
  assert.equal(gaussianShare(-40), 0);
});

test("random numbers repeat with their seed only", () => {
  const [one, again, other] = [5, 5, 6].map((seed) => {
    const next = normals(seed);
    return Array.from({ length: 10 }, next);
  });
  assert.deepEqual(one, again);
  assert.notDeepEqual(one, other);
});

test("what is said of a slope", () => {
  assert.deepEqual([0, 0.01, 0.3, 1].map(verdictOf), ["dead", "saturated", null, "passed"]);
});
