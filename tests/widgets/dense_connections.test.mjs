// The arithmetic of the widget against cnnlib's (cases by test_dense_connections.py).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const {
  commas,
  compared,
  counts,
  fromRunning,
  kindOf,
  nearestLayer,
  placesOf,
  presetOf,
  reads,
  running,
} = await import(process.env.MODULE);
const { cases, facts, presets } = JSON.parse(readFileSync(process.env.CASES));

test("depth, connections, maps, parameters and multiply-adds are those of the library", () => {
  assert.ok(cases.length > 25);
  for (const { network, counts: expected } of cases) {
    assert.deepEqual(counts(network, facts), expected, JSON.stringify(network));
  }
});

test("each layer reads as many maps as in the library", () => {
  for (const { network, reads: expected } of cases) assert.deepEqual(reads(network), expected);
});

test("a block and its sum cost what the library counts", () => {
  for (const { network, compared: expected } of cases) {
    expected.forEach((pair, i) =>
      assert.deepEqual(compared(network, i + 1, facts.bottleneck_width), pair),
    );
  }
});

test("presets and kinds are recognised", () => {
  for (const { network, preset, kind } of cases) {
    assert.equal(presetOf(network, presets), preset);
    assert.equal(kindOf(network), kind);
  }
});

test("layers stand in order, blocks apart, all inside the picture", () => {
  for (const { network } of cases) {
    const places = placesOf(network.blocks);
    const all = places.flatMap(({ input, layers, end }) => [input, ...layers, end]);
    assert.ok(all.every((place, i) => place > (i ? all[i - 1] : 0) && place < 1));
    assert.deepEqual(places.map(({ layers }) => layers.length), network.blocks);
  }
});

test("every layer is the nearest to its own place", () => {
  const blocks = [3, 5, 1];
  const places = placesOf(blocks);
  blocks.forEach((layers, block) => {
    for (let layer = 1; layer <= layers; layer += 1) {
      const place = places[block].layers[layer - 1];
      assert.deepEqual(nearestLayer(places, place), [block + 1, layer]);
    }
  });
  assert.deepEqual(nearestLayer(places, 0), [1, 1]);
  assert.deepEqual(nearestLayer(places, 1), [3, 1]);
});

test("layers are counted through all blocks and back, and stop at the ends", () => {
  const blocks = [3, 5, 1];
  for (let number = 1; number <= 9; number += 1) {
    assert.equal(running(blocks, fromRunning(blocks, number)), number);
  }
  assert.deepEqual(fromRunning(blocks, 4), [2, 1]);
  assert.deepEqual(fromRunning(blocks, 0), [1, 1]);
  assert.deepEqual(fromRunning(blocks, 10), [3, 1]);
});

test("large numbers have commas", () => {
  assert.deepEqual([7, 1000, 7978856].map(commas), ["7", "1,000", "7,978,856"]);
});
