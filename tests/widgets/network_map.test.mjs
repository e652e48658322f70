// The plain functions of the map (cases by test_network_map.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const { frontOf, logTicks, nextDot, pageOf, placed, reach, testingKey, visible } = await import(
  process.env.MODULE
);
const { points, cases } = JSON.parse(readFileSync(process.env.CASES));

test("what is shown and what is on each front is what the library says", () => {
  assert.ok(cases.length > 20);
  for (const { state, shown, fronts } of cases) {
    const found = visible(points, state);
    assert.deepEqual(found.map(({ name }) => name), shown);
    for (const [testing, names] of Object.entries(fronts)) {
      const alike = found.filter((point) => point.testing === testing);
      assert.deepEqual(frontOf(alike, state.x, state.y).map(({ name }) => name), names);
    }
  }
});

test("marks of a logarithmic axis are 1, 2, 5, or powers of ten where there are too many", () => {
  assert.deepEqual(logTicks(8, 120), [10, 20, 50, 100]);
  assert.deepEqual(logTicks(0.9, 1.1e4), [1, 10, 100, 1000, 10000]);
  assert.deepEqual(logTicks(2.9, 4.1), []);
});

test("an axis has all values inside", () => {
  for (const log of [true, false]) {
    const [low, high] = reach([3, 8, 40], log);
    assert.ok(low < 3 && high > 40 && low >= 0);
  }
  const [low, high] = reach([2012, 2012], false);
  assert.ok(low < 2012 && high > 2012);
});

test("arrow keys follow the order of the dots on the page", () => {
  const places = [[10, 50], [30, 20], [20, 90]];
  assert.equal(nextDot("ArrowRight", 0, places), 2);
  assert.equal(nextDot("ArrowRight", 1, places), 1);
  assert.equal(nextDot("ArrowLeft", 1, places), 2);
  assert.equal(nextDot("ArrowUp", 0, places), 1);
  assert.equal(nextDot("ArrowDown", 0, places), 2);
  assert.equal(nextDot("Home", 1, places), 0);
  assert.equal(nextDot("End", 0, places), 1);
  assert.equal(nextDot("a", 0, places), null);
});

test("every dot can be reached by one arrow", () => {
  const places = Array.from({ length: 40 }, (_, i) => [(i * 17) % 23, (i * 29) % 31]);
  const seen = new Set();
  let at = nextDot("Home", 0, places);
  for (let i = 0; i < places.length; i += 1) {
    seen.add(at);
    at = nextDot("ArrowRight", at, places);
  }
  assert.equal(seen.size, places.length);
});

test("names keep away from each other, from dots and from the edge", () => {
  const items = [
    { x: 50, y: 50, text: "abc" },
    { x: 52, y: 51, text: "def" },
    { x: 96, y: 50, text: "long name" },
  ];
  const [one, two, three] = placed(items, [], 100);
  assert.deepEqual(one, [59, 54, "start"]);
  assert.notDeepEqual(two, [61, 55, "start"]);
  assert.ok(three === null || three[2] === "end");
  const [moved] = placed([items[0]], [[50, 50], [65, 50]], 100);
  assert.notDeepEqual(moved, one);
});

test("a link leads to the page on the site and to the notebook elsewhere", () => {
  assert.equal(pageOf("06_resnet", "/book/chapters/14_looking_back.html"), "06_resnet.html");
  assert.equal(pageOf("06_resnet", "/lab/tree/14_looking_back.ipynb"), "06_resnet.ipynb");
});

test("every way of testing has a key", () => {
  assert.equal(testingKey("10 crops"), "testing_10_crops");
});
