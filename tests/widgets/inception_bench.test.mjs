// The arithmetic of the bench against cnnlib.inspection's (cases by test_inception_bench.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { BRANCHES, QUANTITIES, costs, grouped, payer, presetOf, total } = await import(
  process.env.MODULE
);
const { cases, presets } = JSON.parse(readFileSync(process.env.CASES));

test("every branch costs what the library counts", () => {
  assert.ok(cases.length > 60);
  for (const { module, costs: expected } of cases) {
    const bills = costs(module);
    for (const form of ["naive", "reduced"]) {
      for (const branch of BRANCHES) {
        const { macs, parameters, maps } = bills[form][branch];
        assert.deepEqual({ macs, parameters, maps }, expected[form][branch]);
      }
    }
  }
});

test("the reduction is a part of the branch, and the naive module has none", () => {
  for (const { module } of cases) {
    const { naive, reduced } = costs(module);
    for (const branch of BRANCHES) {
      assert.equal(naive[branch].reduction.macs, 0);
      assert.ok(reduced[branch].reduction.macs <= reduced[branch].macs);
    }
    assert.equal(reduced["1x1"].reduction.macs, 0);
    assert.equal(reduced.pool.reduction.macs, reduced.pool.macs);
  }
});

test("presets are recognised, other widths are not", () => {
  for (const { module, preset } of cases) assert.equal(presetOf(module, presets), preset);
});

test("who pays most has the largest part, and nobody pays for nothing", () => {
  for (const { module } of cases) {
    for (const branches of Object.values(costs(module))) {
      for (const quantity of QUANTITIES) {
        const { branch, share } = payer(branches, quantity);
        const values = BRANCHES.map((name) => branches[name][quantity]);
        assert.equal(branches[branch][quantity], Math.max(...values));
        assert.ok(Math.abs(share * total(branches, quantity) - Math.max(...values)) < 1e-3);
      }
    }
  }
  const nothing = Object.fromEntries(BRANCHES.map((name) => [name, { macs: 0 }]));
  assert.equal(payer(nothing, "macs"), null);
});

test("large numbers have commas", () => {
  assert.deepEqual(
    [0, 999, 1000, 128049152].map(grouped),
    ["0", "999", "1,000", "128,049,152"],
  );
});
