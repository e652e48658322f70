// The arithmetic of the order comparer against PyTorch's (cases by test_order_comparer.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { FLOOR, factorOf, linesOf, normalized, onThePath, resultOf, unitSteps } = await import(
  process.env.MODULE
);
const cases = JSON.parse(readFileSync(process.env.CASES));

test("every unit gives what the network's own unit gives", () => {
  assert.ok(cases.length >= 200);
  for (const { place, shortcut, x, weights, output } of cases) {
    const ours = resultOf(unitSteps(place, shortcut, x, weights));
    ours.forEach((value, i) => {
      assert.ok(
        Math.abs(value - output[i]) <= 1e-9 * (1 + Math.abs(output[i])),
        `${JSON.stringify(place)} ${shortcut}: ${ours} instead of ${output}`,
      );
    });
  }
});

test("only what stands on the shortcut or after the addition is on the path", () => {
  const [original, full] = [
    [[], ["BN", "ReLU"], ["BN"], ["ReLU"]],
    [["BN", "ReLU"], ["BN", "ReLU"], [], []],
  ];
  const path = (place, shortcut) => onThePath(unitSteps(place, shortcut, [2, -1, 0.5], [1, -1]));
  assert.deepEqual(path(full, "identity"), []);
  assert.deepEqual(path(original, "identity"), ["ReLU"]);
  assert.deepEqual(path(full, "scaling"), ["half"]);
  assert.deepEqual(path(full, "conv"), ["around"]);
  assert.deepEqual(path(original, "conv"), ["around", "BN", "ReLU"]);
  assert.deepEqual(path(original, "shortcut_only_gating_0"), ["open", "ReLU"]);
});

test("a step changes one of the two paths, and the sum ends the branch", () => {
  const steps = unitSteps([[], ["BN", "ReLU"], ["BN"], ["ReLU"]], "exclusive_gating_0", [1, 2, 4], [
    1, 2,
  ]);
  assert.equal(steps[0].lane, "start");
  for (const [i, { lane, around, branch }] of steps.entries()) {
    if (lane === "branch") assert.deepEqual(around, steps[i - 1].around);
    if (lane === "path" && branch !== null) assert.deepEqual(branch, steps[i - 1].branch);
  }
  assert.equal(steps.filter(({ lane }) => lane === "sum").length, 1);
  assert.equal(steps.at(-1).branch, null);
});

test("a batch of equal numbers has no spread to divide by", () => {
  assert.deepEqual(normalized([3, 3, 3]), [0, 0, 0]);
});

test("signals are followed forward, gradients backward", () => {
  assert.equal(factorOf("signal", [2, 4, 8]), 4);
  assert.equal(factorOf("gradient", [2, 4, 8]), 0.25);
  assert.equal(factorOf("direct", [0, 4, 8]), 0);
});

test("what is too small for a logarithmic axis is drawn at its lower end", () => {
  const flows = { full: { identity: { direct: [0, 1e-30, 0.5] } } };
  const [line] = linesOf(flows, [["full", "identity"]], "direct", (...names) => names.join(" "));
  assert.deepEqual(line.seeds, [[FLOOR, FLOOR, 0.5]]);
  assert.deepEqual(line.x, [1, 2, 3]);
  assert.equal(line.name, "full identity");
});
