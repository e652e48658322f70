// What the pipeline shows against what was stored (cases by test_compression_pipeline.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { UNSHARED, choices, measured, nearestSetting, settings, withCommas } = await import(
  process.env.MODULE
);
const { networks, cases } = JSON.parse(readFileSync(process.env.CASES));

test("every setting has the bytes and errors of the library", () => {
  assert.ok(cases.length > 40);
  for (const { network, level, bits, bytes, errors } of cases) {
    const found = measured(networks[network], level, bits);
    assert.equal(found.bytes, bytes);
    assert.deepEqual(found.errors.final, errors);
  }
});

test("stages that were not done have no bytes", () => {
  for (const { network, level, bits } of cases) {
    const { stages, parts } = measured(networks[network], level, bits);
    const done = bits !== UNSHARED;
    assert.equal(stages.plain !== null, done);
    assert.equal(stages.huffman !== null, done);
    assert.equal(parts !== null, done);
    assert.ok(stages.dense > 0 && stages.sparse > 0);
  }
});

test("a curve holds every setting once", () => {
  networks.forEach((record, network) => {
    const all = settings(record);
    assert.equal(all.length, cases.filter((one) => one.network === network).length);
    assert.equal(new Set(all.map(({ level, bits }) => `${level} ${bits}`)).size, all.length);
    assert.equal(choices(record).at(-1), UNSHARED);
  });
});

test("the nearest setting is the nearest", () => {
  const all = settings(networks[0]);
  for (const one of all) {
    const far = ({ level, bits }) => Math.abs(level - one.level) + Math.abs(bits - one.bits);
    assert.equal(nearestSetting(all, far), one);
  }
});

test("large numbers have commas", () => {
  assert.deepEqual([0, 999, 825320].map(withCommas), ["0", "999", "825,320"]);
});
