// The arithmetic of the stepper against PyTorch's (cases written by test_conv_stepper.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const {
  convolve,
  coverage,
  factorText,
  outputLength,
  padded,
  parseNumber,
  presetOf,
  productRows,
  readable,
  resizedImage,
  resizedKernel,
  shapeOf,
} = await import(process.env.MODULE);
const cases = JSON.parse(readFileSync(process.env.CASES));

function assertClose(ours, theirs) {
  assert.deepEqual(shapeOf(ours), shapeOf(theirs));
  ours.flat().forEach((value, i) => {
    const expected = theirs.flat()[i];
    assert.ok(
      Math.abs(value - expected) <= 1e-9 * (1 + Math.abs(expected)),
      `${value} ${expected}`,
    );
  });
}

test("every convolution equals PyTorch's", () => {
  assert.ok(cases.length >= 200);
  for (const { image, kernel, stride, padding, output } of cases) {
    const rows = convolve(image, kernel, stride, padding);
    if (output === null) assert.deepEqual(rows, []);
    else
      assertClose(
        rows.map((row) => row.map(({ value }) => value)),
        output,
      );
  }
});

test("the cells called unvisited are those that no window covers", () => {
  for (const { image, kernel, stride, padding, output } of cases) {
    if (output === null) continue;
    const [height, width] = shapeOf(padded(image, padding));
    const seen = Array.from({ length: height }, () => new Array(width).fill(false));
    for (const { top, left } of convolve(image, kernel, stride, padding).flat()) {
      kernel.forEach((row, u) => row.forEach((_, v) => (seen[top + u][left + v] = true)));
    }
    const [down, across] = [0, 1].map((side) =>
      coverage(shapeOf(image)[side], shapeOf(kernel)[side], stride, padding),
    );
    seen.forEach((row, r) =>
      row.forEach((covered, c) => assert.equal(down.reaches(r) && across.reaches(c), covered)),
    );
    const empty = seen.filter((row) => !row.includes(true)).length;
    const last = seen.findLastIndex((row) => row.includes(true));
    assert.equal(down.atEnd, height - 1 - last);
    assert.equal(down.between, empty > down.atEnd);
  }
});

test("a kernel that does not fit gives a length below one", () => {
  assert.ok(outputLength(3, 5, 1, 0) < 1);
  assert.ok(outputLength(3, 5, 3, 0) < 1);
  assert.equal(outputLength(3, 5, 1, 1), 1);
});

test("the written products add up to the value", () => {
  for (const { image, kernel, stride, padding } of cases.slice(0, 50)) {
    for (const result of convolve(image, kernel, stride, padding).flat()) {
      const sum = productRows(image, kernel, padding, result)
        .flatMap((row) => row.split(" + "))
        .map((product) => product.replaceAll(/[()]/g, "").replaceAll("−", "-").split("·"))
        .reduce((total, [a, b]) => total + Number(a) * Number(b), 0);
      assert.ok(Math.abs(sum - result.value) < 0.2, `${sum} ${result.value}`);
    }
  }
  const [line] = productRows([[-1, 2]], [[3, -0.5]], 0, { top: 0, left: 0 });
  assert.equal(line, "(−1)·3 + 2·(−0.5)");
});

test("numbers are read as people write them, and nonsense is refused", () => {
  const good = { "-1.5": -1.5, "−2": -2, "0,25": 0.25, " 1/4 ": 0.25, "+3": 3, ".5": 0.5, "2.": 2 };
  for (const [text, value] of Object.entries(good)) assert.equal(parseNumber(text), value, text);
  for (const text of ["", "-", "one", "1/0", "1e999", "1 2", "--1"]) {
    assert.equal(parseNumber(text), null, text);
  }
});

test("a resized image keeps its values and repeats its rim", () => {
  assert.deepEqual(
    resizedImage(
      [
        [1, 2],
        [3, 4],
      ],
      3,
      3,
    ),
    [
      [1, 2, 2],
      [3, 4, 4],
      [3, 4, 4],
    ],
  );
  assert.deepEqual(
    resizedImage(
      [
        [1, 2],
        [3, 4],
      ],
      1,
      2,
    ),
    [[1, 2]],
  );
});

test("a resized kernel keeps its centre, and shrinking undoes growing", () => {
  const kernel = [
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ];
  assert.deepEqual(resizedKernel(kernel, 1, 1), [[5]]);
  assert.deepEqual(resizedKernel(resizedKernel(kernel, 5, 5), 3, 3), kernel);
  assert.equal(
    resizedKernel(kernel, 5, 5)
      .flat()
      .reduce((a, b) => a + b),
    45,
  );
});

test("a factor is written as a fraction where decimals would go on for ever", () => {
  const written = { "1/9": 1 / 9, "−2/3": -2 / 3, 0.25: 0.25, 3: 3, 0.111: 0.111 };
  for (const [text, value] of Object.entries(written)) {
    assert.equal(factorText(value), text);
    assert.equal(parseNumber(text), value);
  }
  assert.equal(factorText(Math.PI), "3.142");
});

test("a preset is recognised, other numbers are not", () => {
  const presets = { identity: [[0, 1]], blur: [[0.5, 0.5]] };
  assert.equal(presetOf([[0.5, 0.5]], presets), "blur");
  assert.equal(presetOf([[0.5, 0.4]], presets), null);
  assert.equal(readable(1 / 9), "0.111");
});
