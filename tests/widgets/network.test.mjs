// The engine against PyTorch (cases written by test_digit_pad.py), and the decoding of half floats.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { decodeHalf, prepare, run, softmax } = await import(process.env.MODULE);
const { halves, programs } = JSON.parse(readFileSync(process.env.CASES));
const viewOf = (base64) => {
  const { buffer, byteOffset, byteLength } = Buffer.from(base64, "base64");
  return new DataView(buffer, byteOffset, byteLength);
};

test("every half-precision number is decoded exactly", () => {
  const decoded = decodeHalf(viewOf(halves.bytes));
  assert.equal(decoded.length, 65536);
  decoded.forEach((value, i) => {
    const expected = halves.values[i];
    if (expected === "nan") assert.ok(Number.isNaN(value));
    else
      assert.equal(
        value,
        expected === "inf" ? Infinity : expected === "-inf" ? -Infinity : expected,
      );
  });
});

for (const { name, ops, weights, shape, image, stages } of programs) {
  test(`${name}: every stage equals PyTorch's`, () => {
    const result = run(prepare(ops, decodeHalf(viewOf(weights))), image, shape);
    assert.deepEqual(
      result.stages.map((stage) => stage.name),
      stages.map((stage) => stage.name),
    );
    result.stages.forEach(({ name: stage, shape: ours, values }, i) => {
      assert.deepEqual(ours, stages[i].shape, stage);
      const size = Math.max(...stages[i].values.map(Math.abs));
      values.forEach((value, k) => {
        const difference = Math.abs(value - stages[i].values[k]);
        assert.ok(
          difference <= 2e-6 * (1 + size),
          `${stage}[${k}]: ${value}, ${stages[i].values[k]}`,
        );
      });
    });
    assert.deepEqual(result.scores, result.stages.at(-1).values);
  });
}

test("an operation that the engine does not know is named", () => {
  assert.throws(() => prepare([{ op: "wishful" }], new Float32Array()), /wishful/);
});

test("softmax sums to one and survives large scores", () => {
  const probabilities = softmax([1000, 1001, -1000]);
  assert.ok(Math.abs(probabilities.reduce((a, b) => a + b) - 1) < 1e-12);
  assert.ok(Math.abs(probabilities[1] / probabilities[0] - Math.E) < 1e-9);
});
