// The small helpers of common.js, as every widget's script carries them.
import assert from "node:assert/strict";
import { test } from "node:test";

const { arrowStep, clamp, fill, onceATurn, readable } = await import(process.env.MODULE);

test("fill puts values into braces and leaves unknown names alone", () => {
  assert.equal(fill("row {row} of {rows}: {value}", { row: 2, rows: 0 }), "row 2 of 0: {value}");
});

test("readable rounds, drops trailing zeros and writes a real minus", () => {
  const cases = { 0.333: 1 / 3, "−2": -2, 1.5: 1.5, 0: -0.0001, 1000: 1000 };
  for (const [text, value] of Object.entries(cases)) assert.equal(readable(value), text);
  assert.equal(readable(2.345678, 1), "2.3");
});

test("clamp keeps a value between two others", () => {
  assert.deepEqual([clamp(-1, 0, 3), clamp(2, 0, 3), clamp(9, 0, 3)], [0, 2, 3]);
});

test("arrow keys stay inside the grid and other keys lead nowhere", () => {
  assert.deepEqual(arrowStep("ArrowRight", [1, 1], [2, 2]), [1, 1]);
  assert.deepEqual(arrowStep("ArrowLeft", [1, 1], [2, 2]), [1, 0]);
  assert.deepEqual(arrowStep("ArrowUp", [1, 0], [2, 2]), [0, 0]);
  assert.deepEqual(arrowStep("ArrowDown", [1, 0], [2, 2]), [1, 0]);
  assert.equal(arrowStep("a", [0, 0], [2, 2]), null);
});

test("onceATurn draws once however often it is asked", async () => {
  let drawn = 0;
  const draw = onceATurn(() => (drawn += 1));
  draw();
  draw();
  await Promise.resolve();
  assert.equal(drawn, 1);
  draw();
  await Promise.resolve();
  assert.equal(drawn, 2);
});
