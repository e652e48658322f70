// Paths through residual blocks, counted (cases written by test_residual_paths.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const {
  bits,
  choose,
  deepLines,
  layout,
  lengthsLeft,
  meansWithout,
  numbersOf,
  pathsOf,
  stepTo,
  whole,
} = await import(process.env.MODULE);
const cases = JSON.parse(readFileSync(process.env.CASES));

test("paths that are left are those without a deleted block, as counted in Python", () => {
  assert.ok(cases.paths.length > 70);
  for (const [blocks, deleted, numbers, lengths] of cases.paths) {
    assert.deepEqual(lengthsLeft(blocks, deleted), lengths);
    assert.deepEqual(numbersOf(deleted), numbers);
    const counted = new Array(blocks + 1).fill(0);
    for (const path of pathsOf(blocks)) if (whole(path, deleted)) counted[bits(path)] += 1;
    assert.deepEqual(counted, lengths);
  }
});

test("all paths are there once, short ones first", () => {
  const paths = pathsOf(6);
  assert.equal(new Set(paths).size, 64);
  const lengths = paths.map(bits);
  assert.deepEqual(
    lengths,
    [...lengths].sort((a, b) => a - b),
  );
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6].map((k) => choose(6, k)),
    [1, 6, 15, 20, 15, 6, 1],
  );
  assert.equal(choose(54, 27), 1946939425648112);
});

test("arrow keys lead from path to path and between lengths", () => {
  const paths = pathsOf(3); // lengths 0, 1 1 1, 2 2 2, 3
  assert.equal(stepTo("ArrowUp", 0, paths), 1);
  assert.equal(stepTo("ArrowDown", 0, paths), 0);
  assert.equal(stepTo("ArrowUp", 7, paths), 7);
  assert.equal(stepTo("ArrowRight", 2, paths), 5);
  assert.equal(stepTo("ArrowRight", 6, paths), 7);
  assert.equal(stepTo("ArrowRight", 7, paths), 7);
  assert.equal(stepTo("ArrowLeft", 5, paths), 2);
  assert.equal(stepTo("ArrowLeft", 0, paths), 0);
  assert.deepEqual([stepTo("Home", 4, paths), stepTo("End", 4, paths)], [0, 7]);
  assert.equal(stepTo("a", 4, paths), null);
});

test("means over all sets of so many blocks, seed by seed", () => {
  const [first, second] = meansWithout(cases.table, 1);
  assert.ok(Math.abs(first - 0.07 / 3) < 1e-12);
  assert.ok(Math.abs(second - first - 0.001) < 1e-12);
  assert.deepEqual(
    meansWithout(cases.table, 3),
    cases.table.map((errors) => errors[7]),
  );
});

test("pictures of deep networks have a place for each block, number or length", () => {
  const names = { residual: "r", plain: "p", one_path: "one", all_paths: "all" };
  const [residual, plain] = deepLines("single", cases.deep, names);
  assert.deepEqual([residual.name, residual.x, plain.seeds[0]], ["r", [1, 2], [0.9, 0.8]]);
  const [several] = deepLines("several", cases.deep, names);
  assert.deepEqual(several.x, [1, 2]);
  assert.deepEqual(several.seeds, [
    [0.2, 0.4],
    [0.3, 0.5],
  ]);
  const [one, all] = deepLines("gradients", cases.deep, names);
  assert.deepEqual(one.x, [0, 1, 2]);
  assert.deepEqual(all.seeds[0], [1.0, 0.2, 0.01]);
});

test("blocks are drawn in order, inside, and large enough for a finger on a phone", () => {
  for (const [width, stages] of [
    [343, [2, 2, 2]],
    [736, [2, 2, 2]],
    [343, [6]],
    [343, [1, 1]],
  ]) {
    const { blocks, start, end, side } = layout(width, stages);
    assert.ok(side >= 32, `${side}`);
    assert.ok(start >= 0 && end <= width, `${end} of ${width}`);
    blocks.forEach(({ left, middle, right }, i) => {
      assert.ok(left < middle - side / 2 && middle + side / 2 < right);
      if (i > 0) assert.ok(left >= blocks[i - 1].right - 1e-9);
    });
    assert.equal(blocks.filter(({ first }) => first).length, stages.length - 1);
  }
});
