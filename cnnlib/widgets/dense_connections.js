// Who reads whom in a DenseNet, how its maps grow, and what it costs.
// The functions above the line are plain arithmetic (tested against cnnlib); below it is the page.
import {
  announcer,
  clamp,
  make,
  onceATurn,
  setAttribute,
  setText,
  uniqueId,
  words,
} from "./common.js";

const OPTIONS = ["blocks", "growth_rate", "bottleneck", "compression", "stem"];

/** Parameters of a convolution without bias, and of the batch normalisation before it. */
const convolution = (origin, maps, kernel) => origin * maps * kernel * kernel;
const norm = (maps) => 2 * maps;

/** How many maps a transition keeps, as cnnlib rounds: floor(θ m), but for noise of the product. */
export function keptMaps(compression, maps) {
  return Math.floor(Number((compression * maps).toFixed(6)));
}

/** Maps of the first convolution: 2k in DenseNet-BC and for ImageNet, else 16. */
export function firstMaps({ growth_rate: k, bottleneck, compression, stem }) {
  return stem === "imagenet" || (bottleneck && compression < 1) ? 2 * k : 16;
}

/** Maps that each layer reads, a list for each block; its last entry: maps that leave the block. */
export function reads(network) {
  let maps = firstMaps(network);
  return network.blocks.map((layers) => {
    const list = Array.from({ length: layers + 1 }, (_, i) => maps + i * network.growth_rate);
    maps = keptMaps(network.compression, list[layers]);
    return list;
  });
}

/** { parameters, weights } of a dense layer that reads so many maps; weights are those that multiply. */
export function layerCost(maps, { growth_rate: k, bottleneck }, width) {
  const inner = bottleneck ? width * k : maps;
  const squeeze = bottleneck ? convolution(maps, inner, 1) : 0;
  const weights = squeeze + convolution(inner, k, 3);
  return { weights, parameters: weights + norm(inner) + (bottleneck ? norm(maps) : 0) };
}

/** { depth, connections, maps, parameters, macs } of the whole network. */
export function counts(network, { images, classes, bottleneck_width: width }) {
  const [channels, side] = images[network.stem];
  const first = firstMaps(network);
  const large = network.stem === "imagenet";
  let size = large ? Math.ceil(side / 2) : side; // of the maps of the first convolution
  let parameters = convolution(channels, first, large ? 7 : 3);
  let macs = parameters * size * size;
  if (large) {
    parameters += norm(first);
    size = Math.ceil(size / 2);
  }
  let depth = 2; // the first convolution and the classifier
  let connections = 0;
  const lists = reads(network);
  lists.forEach((list, block) => {
    const layers = network.blocks[block];
    connections += (layers * (layers + 1)) / 2;
    depth += layers * (network.bottleneck ? 2 : 1);
    for (const maps of list.slice(0, -1)) {
      const cost = layerCost(maps, network, width);
      parameters += cost.parameters;
      macs += cost.weights * size * size;
    }
    if (block < lists.length - 1) {
      const weights = convolution(list[layers], lists[block + 1][0], 1);
      parameters += weights + norm(list[layers]);
      macs += weights * size * size;
      size = Math.floor(size / 2);
      depth += 1;
    }
  });
  const maps = lists.at(-1).at(-1);
  const scores = classes[network.stem];
  parameters += norm(maps) + maps * scores + scores;
  macs += maps * scores;
  return { depth, connections, maps, parameters, macs };
}

/** A block as it is, and with layers that add to their input: { dense, added }. */
export function compared(network, block, width) {
  const list = reads(network)[block - 1];
  const layers = network.blocks[block - 1];
  const first = list[0];
  const sum = (costs) => costs.reduce((all, cost) => all + cost.parameters, 0);
  const dense = list.slice(0, -1).map((maps) => layerCost(maps, network, width));
  const inner = network.bottleneck ? width * network.growth_rate : first;
  const squeeze = network.bottleneck ? convolution(first, inner, 1) + norm(first) : 0;
  const unit = squeeze + norm(inner) + convolution(inner, first, 3);
  return {
    dense: { maps: list[layers], reads: list[layers - 1], parameters: sum(dense) },
    added: { maps: first, reads: first, parameters: layers * unit },
  };
}

/** "DenseNet", "DenseNet-B", "DenseNet-C" or "DenseNet-BC". */
export function kindOf({ bottleneck, compression }) {
  const letters = `${bottleneck ? "B" : ""}${compression < 1 ? "C" : ""}`;
  return letters ? `DenseNet-${letters}` : "DenseNet";
}

/** The name of the preset whose options these are, or null. */
export function presetOf(network, presets) {
  const same = (options) =>
    OPTIONS.every((name) => String(options[name]) === String(network[name]));
  return presets.find(([, , options]) => same(options))?.[0] ?? null;
}

/** Where the layers stand in the picture, from 0 to 1: { input, layers, end } of each block. */
export function placesOf(blocks) {
  const GAP = 2; // free room between blocks, in layers
  const all = blocks.reduce((sum, layers) => sum + layers + 2, 0) + GAP * (blocks.length - 1);
  let at = 0;
  return blocks.map((layers) => {
    const input = (at + 0.5) / all;
    const inside = Array.from({ length: layers }, (_, i) => (at + 1.5 + i) / all);
    const end = (at + layers + 1.5) / all;
    at += layers + 2 + GAP;
    return { input, layers: inside, end };
  });
}

/** [block, layer], both from 1, of the layer nearest to a place between 0 and 1. */
export function nearestLayer(places, x) {
  let best = [1, 1];
  let least = Infinity;
  places.forEach(({ layers }, block) =>
    layers.forEach((place, layer) => {
      if (Math.abs(place - x) < least) {
        least = Math.abs(place - x);
        best = [block + 1, layer + 1];
      }
    }),
  );
  return best;
}

/** The number of a layer counted through all blocks, from 1, and back. */
export function running(blocks, [block, layer]) {
  return blocks.slice(0, block - 1).reduce((sum, layers) => sum + layers, 0) + layer;
}
export function fromRunning(blocks, number) {
  let left = clamp(number, 1, blocks.reduce((sum, layers) => sum + layers, 0));
  let block = 1;
  while (left > blocks[block - 1]) left -= blocks[block++ - 1];
  return [block, left];
}

/** A whole number with commas, as the book prints them: 7978856 -> "7,978,856". */
export function commas(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

// ------------------------------------------------------------------------------------- the page

const [WIDE, ARCS, BARS] = [1000, 150, 110]; // units of the drawing, which is stretched to fit

function draw(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function render({ model, el }) {
  const text = words(model);
  const network = () => Object.fromEntries(OPTIONS.map((name) => [name, model.get(name)]));
  const facts = {
    images: model.get("images"),
    classes: model.get("classes"),
    bottleneck_width: model.get("bottleneck_width"),
  };
  const presets = model.get("presets");
  const ranges = model.get("ranges");

  /** The selection, moved to where the network still has a layer. */
  function selection(blocks) {
    const [block = 1, layer = blocks[0]] = model.get("selected");
    const near = clamp(block, 1, blocks.length);
    return [near, clamp(layer, 1, blocks[near - 1])];
  }
  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.set("selected", selection(model.get("blocks")));
    model.save_changes();
    show.now();
    const all = counts(network(), facts);
    say(
      text("spoken", {
        kind: kindOf(network()),
        depth: all.depth,
        parameters: commas(all.parameters),
        macs: commas(all.macs),
      }),
    );
  }

  // --- what the network is made of -------------------------------------------------------------

  function choice(name, options, act) {
    const select = make("select", { "data-setting": name, onchange: () => act(select.value) });
    for (const [value, word] of options) select.append(make("option", { value }, word));
    const field = make("label", { class: "cnn-field" }, make("span", {}, text(name)), select);
    return { select, field };
  }
  const preset = choice(
    "network",
    [["own", text("own")], ...presets.map(([name, title]) => [name, title || text(name)])],
    (name) => {
      const options = presets.find(([other]) => other === name)?.[2];
      if (options) change({ ...options, blocks: [...options.blocks] });
      else show.now(); // "own choice" is what the sliders make, not something to go to
    },
  );
  const bottleneck = choice(
    "bottleneck",
    [
      ["without", text("without")],
      ["with", text("with")],
    ],
    (value) => change({ bottleneck: value === "with" }),
  );

  function slider(name, word, [low, high], step, read, write) {
    // not an <output>: a label belongs to the first such element in it, and not to the slider
    const shown = make("span", { class: "cnn-dense-value", "aria-hidden": "true" });
    const input = make("input", {
      type: "range",
      min: String(low),
      max: String(high),
      step: String(step),
      "data-slider": name,
      oninput: () => write(Number(input.value)),
    });
    const title = make("span", { class: "cnn-dense-word" }, make("span", {}, word), shown);
    const field = make("label", { class: "cnn-field cnn-dense-slider" }, title, input);
    const update = () => {
      setText(shown, String(read()));
      if (Number(input.value) !== read()) input.value = String(read());
    };
    return { field, update };
  }
  const single = (name, step) =>
    slider(
      name,
      text(name),
      ranges[name],
      step,
      () => model.get(name),
      (value) => change({ [name]: value }),
    );
  const whole = [single("growth_rate", 1), single("compression", 0.1)];
  const perBlock = Array.from({ length: 4 }, (_, i) =>
    slider(
      `layers${i + 1}`,
      text("layers", { block: i + 1 }),
      ranges.layers,
      1,
      () => model.get("blocks")[i] ?? 1,
      (value) => change({ blocks: model.get("blocks").map((n, j) => (i === j ? value : n)) }),
    ),
  );
  const choices = make("p", { class: "cnn-title", id: uniqueId("choices") }, text("choices"));
  const sliders = make(
    "div",
    { class: "cnn-dense-sliders", role: "group", "aria-labelledby": choices.id },
    ...[...whole, ...perBlock].map(({ field }) => field),
  );

  // --- arcs above, bars below, one place for each layer ----------------------------------------

  const chartTitle = make("p", { class: "cnn-title", id: uniqueId("chart") });
  const svg = draw("svg", {
    viewBox: `0 0 ${WIDE} ${ARCS + BARS}`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  const chart = make(
    "div",
    {
      class: "cnn-dense-chart",
      role: "slider",
      tabindex: "0",
      "aria-label": text("chart"),
      "aria-describedby": chartTitle.id,
      "aria-orientation": "horizontal",
      "aria-valuemin": "1",
      onpointerdown: (event) => point(event),
      onpointermove: (event) => {
        if (event.buttons) point(event);
      },
      onkeydown: (event) => press(event),
    },
    svg,
  );
  const names = make("div", { class: "cnn-dense-names", "aria-hidden": "true" });

  function select(place) {
    model.set("selected", place);
    model.save_changes();
    show.now();
  }
  function point(event) {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    select(nearestLayer(placesOf(model.get("blocks")), x));
  }
  function press(event) {
    const blocks = model.get("blocks");
    const [block, layer] = selection(blocks);
    const now = running(blocks, [block, layer]);
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
    if (event.key in steps) select(fromRunning(blocks, now + steps[event.key]));
    else if (event.key === "Home") select([1, 1]);
    else if (event.key === "End") select([blocks.length, blocks.at(-1)]);
    else if (event.key === "PageUp") select([clamp(block + 1, 1, blocks.length), 1]);
    else if (event.key === "PageDown") select([clamp(block - 1, 1, blocks.length), 1]);
    else return;
    event.preventDefault();
  }

  // --- the layer that is looked at, and the bill -----------------------------------------------

  const title = make("p", { class: "cnn-title cnn-dense-at" });
  const readLine = make("p", { class: "cnn-dense-reads" });
  const writeLine = make("p", { class: "cnn-dense-writes" });
  const stripTitle = make("p", { class: "cnn-title" }, text("strip"));
  const strips = ["side_by_side", "added"].map((way) => {
    const bar = make("span", { class: "cnn-dense-strip", "data-way": way, "aria-hidden": "true" });
    const number = make("span", { class: "cnn-dense-number", "data-strip": way });
    const row = make("div", { class: "cnn-dense-row" }, make("span", {}, text(way)), bar, number);
    return { way, bar, number, row };
  });

  function numbers(kind, rows, columns) {
    const cells = {};
    const body = rows.map(([name, word]) => {
      cells[name] = columns.map((column) =>
        make("td", { "data-cell": [name, column].filter(Boolean).join(" ") }),
      );
      const head = make("th", { scope: "row" }, word);
      return make("tr", {}, head, ...cells[name]);
    });
    const caption = make("caption", { class: "cnn-title" });
    const heads = columns.map((column) => make("th", { scope: "col" }, column ? text(column) : ""));
    const head = make("thead", {}, make("tr", {}, make("td", {}), ...heads));
    const parts = columns.length > 1 ? [head] : [];
    const table = make("table", { class: `cnn-dense-table cnn-dense-${kind}` }, caption);
    table.append(...parts, make("tbody", {}, ...body));
    return { table, caption, cells };
  }
  const block = numbers(
    "block",
    [
      ["maps", text("maps")],
      ["reads", text("last_reads")],
      ["parameters", text("block_parameters")],
    ],
    ["side_by_side", "added"],
  );
  const macsName = make("span");
  const bill = numbers(
    "bill",
    [
      ["depth", text("depth")],
      ["connections", text("connections")],
      ["maps", text("end_maps")],
      ["parameters", text("parameters")],
      ["macs", macsName],
    ],
    [""],
  );

  const root = make(
    "div",
    { class: "cnn-widget cnn-dense", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-settings" }, preset.field, bottleneck.field),
    choices,
    sliders,
    chartTitle,
    chart,
    names,
    make("div", { class: "cnn-dense-layer" }, title, readLine, writeLine),
    stripTitle,
    ...strips.map(({ row }) => row),
    make("div", { class: "cnn-dense-tables" }, block.table, bill.table),
  );
  const say = announcer(root);

  function drawChart(lists, places, [inBlock, inLayer], most) {
    const parts = [];
    const x = (place) => (WIDE * place).toFixed(1);
    const arc = (from, to, widest) => {
      const height = (ARCS - 12) * Math.min(1, (to - from) / widest) ** 0.6;
      const middle = (from + to) / 2;
      return `M${x(from)} ${ARCS}Q${x(middle)} ${(ARCS - 2 * height + height * 0.1).toFixed(1)} ${x(to)} ${ARCS}`;
    };
    const widest = Math.max(...places.map(({ input, end }) => end - input));
    let [others, reading, read] = ["", "", ""];
    places.forEach(({ input, layers, end }, block) => {
      const points = [input, ...layers, end];
      for (let to = 1; to < points.length; to += 1) {
        for (let from = 0; from < to; from += 1) {
          const piece = arc(points[from], points[to], widest);
          if (block + 1 === inBlock && to === inLayer) reading += piece;
          else if (block + 1 === inBlock && from === inLayer) read += piece;
          else others += piece;
        }
      }
      const step = places[0].layers.length > 1 ? places[0].layers[1] - places[0].layers[0] : 0.02;
      points.forEach((place, i) => {
        if (i === 0) return; // what comes in is read by layer 1, whose bar shows it
        const maps = lists[block][i - 1];
        const [height, first] = [maps, lists[block][0]].map((n) => ((BARS - 4) * n) / most);
        const chosen = block + 1 === inBlock && i === inLayer;
        const wide = WIDE * step * 0.72;
        const bar = (name, tall, top) =>
          parts.push(
            draw("rect", {
              class: `cnn-dense-bar cnn-dense-${name}${chosen ? " cnn-dense-chosen" : ""}`,
              x: (WIDE * place - wide / 2).toFixed(2),
              width: wide.toFixed(2),
              y: (ARCS + BARS - top).toFixed(2),
              height: tall.toFixed(2),
            }),
          );
        bar("input", first, first);
        bar(i === points.length - 1 ? "end" : "layers", height - first, height);
      });
    });
    const line = (d, name) => draw("path", { d, class: `cnn-dense-arc cnn-dense-${name}` });
    svg.replaceChildren(
      line(others, "others"),
      line(read, "read"),
      line(reading, "reading"),
      ...parts,
    );
  }

  function drawStrips(list, layer, k) {
    const most = list[layer - 1];
    for (const { way, bar, number } of strips) {
      const widths = way === "added" ? [list[0]] : [list[0], ...Array(layer - 1).fill(k)];
      const pieces = widths.map((maps, i) => {
        const piece = make("span", { class: i ? "cnn-dense-piece" : "cnn-dense-first" });
        piece.style.width = `${(100 * maps) / most}%`;
        return piece;
      });
      bar.replaceChildren(...pieces);
      setText(number, commas(widths.reduce((sum, maps) => sum + maps, 0)));
    }
  }

  function drawAll() {
    const net = network();
    const { blocks, growth_rate: k } = net;
    const [inBlock, inLayer] = selection(blocks);
    const lists = reads(net);
    const places = placesOf(blocks);
    const list = lists[inBlock - 1];
    const layers = blocks[inBlock - 1];
    const most = Math.max(...lists.map((maps) => maps.at(-1)));

    preset.select.value = presetOf(net, presets) ?? "own";
    bottleneck.select.value = net.bottleneck ? "with" : "without";
    for (const { update } of [...whole, ...perBlock]) update();
    perBlock.forEach(({ field }, i) => (field.hidden = i >= blocks.length));

    setText(chartTitle, text("chart_title", { most: commas(most) }));
    drawChart(lists, places, [inBlock, inLayer], most);
    names.replaceChildren(
      ...places.map(({ input, end }, i) => {
        const name = make("span", {}, String(i + 1));
        name.style.left = `${50 * (input + end)}%`;
        return name;
      }),
    );

    const end = text(inBlock < blocks.length ? "transition" : "classifier");
    setText(title, text("at", { block: inBlock, layer: inLayer, layers }));
    setText(
      readLine,
      text("reads", {
        maps: commas(list[inLayer - 1]),
        first: commas(list[0]),
        k,
        before: inLayer - 1,
      }),
    );
    setText(writeLine, text("writes", { k, after: layers - inLayer, end }));
    drawStrips(list, inLayer, k);
    setAttribute(chart, "aria-valuemax", blocks.reduce((sum, n) => sum + n, 0));
    setAttribute(chart, "aria-valuenow", running(blocks, [inBlock, inLayer]));
    const told = [title, readLine, writeLine].map((line) => line.textContent);
    setAttribute(chart, "aria-valuetext", `${told[0]}: ${told[1]} ${told[2]}`);

    setText(block.caption, text("compared", { block: inBlock }));
    const pair = compared(net, inBlock, facts.bottleneck_width);
    for (const name of ["maps", "reads", "parameters"]) {
      setText(block.cells[name][0], commas(pair.dense[name]));
      setText(block.cells[name][1], commas(pair.added[name]));
    }
    setText(bill.caption, text("kind", { kind: kindOf(net) }));
    setText(macsName, text("macs", { side: facts.images[net.stem][1] }));
    const all = counts(net, facts);
    for (const [name, [cell]] of Object.entries(bill.cells)) setText(cell, commas(all[name]));
  }

  const show = onceATurn(drawAll);
  show.now = drawAll;
  const traits = [...OPTIONS, "selected"];
  for (const trait of traits) model.on(`change:${trait}`, show);
  drawAll();
  el.append(root);

  return () => {
    say.stop();
    for (const trait of traits) model.off(`change:${trait}`, show);
  };
}

export default { render };
