// EfficientNet-B0 made larger in three directions, with the bill.
// The functions above the line are plain arithmetic (tested against cnnlib.inspection); below it is
// the page.
import {
  announcer,
  make,
  onceATurn,
  readable,
  scrollable,
  setAttribute,
  setText,
  uniqueId,
  words,
} from "./common.js";
import { draw, scaleOf, ticks } from "./chart.js";

const CLASSES = 1000;

/** MobileNetV2's rounding: to the nearest multiple of 8, but never below 90 %. */
export function roundFilters(channels, multiplier) {
  const width = channels * multiplier;
  const nearest = Math.max(8, Math.floor(Math.trunc(width + 4) / 8) * 8);
  return nearest >= 0.9 * width ? nearest : nearest + 8;
}

/** Repeats are rounded up. */
export function roundRepeats(layers, multiplier) {
  return Math.ceil(layers * multiplier);
}

/** { macs, parameters } of a convolution without bias, with the two numbers a map of its norm. */
function convolution(origin, maps, kernel, side, groups = 1) {
  const weights = (origin / groups) * maps * kernel * kernel;
  return { macs: weights * side * side, parameters: weights + 2 * maps };
}

const plus = (a, b) => ({ macs: a.macs + b.macs, parameters: a.parameters + b.parameters });

/** { macs, parameters } of an MBConv block; `side` and `after` are those of its maps. */
function mbconv(origin, maps, { expansion, kernel_size: kernel }, side, after) {
  const wide = origin * expansion;
  const squeezed = Math.max(1, Math.floor(origin / 4)); // of the input, not of the wide maps
  let cost = convolution(wide, wide, kernel, after, wide);
  if (expansion > 1) cost = plus(cost, convolution(origin, wide, 1, side));
  cost = plus(cost, {
    macs: 2 * wide * squeezed,
    parameters: 2 * wide * squeezed + wide + squeezed,
  });
  return plus(cost, convolution(wide, maps, 1, after));
}

/** Every stage of table 1, scaled: [{ layers, channels, side, macs, parameters }]. */
export function stagesOf({ depth, width, resolution }, rows) {
  let origin = 3;
  let side = resolution;
  return rows.map((row, i) => {
    const channels = roundFilters(row.channels, width);
    const after = Math.ceil(side / row.stride);
    if (i === 0) {
      const cost = convolution(origin, channels, row.kernel_size, after);
      [origin, side] = [channels, after];
      return { layers: 1, channels, side, ...cost };
    }
    if (i === rows.length - 1) {
      const cost = plus(convolution(origin, channels, 1, side), {
        macs: channels * CLASSES,
        parameters: channels * CLASSES + CLASSES,
      });
      return { layers: 1, channels, side: 1, ...cost };
    }
    const layers = roundRepeats(row.layers, depth);
    let cost = mbconv(origin, channels, row, side, after);
    for (let k = 1; k < layers; k += 1) {
      cost = plus(cost, mbconv(channels, channels, row, after, after));
    }
    [origin, side] = [channels, after];
    return { layers, channels, side, ...cost };
  });
}

export function total(stages, quantity) {
  return stages.reduce((sum, stage) => sum + stage[quantity], 0);
}

/** Blocks between stem and head, and the sum of their channels. */
export function sizeOf(stages) {
  const blocks = stages.slice(1, -1);
  return { blocks: total(blocks, "layers"), channels: total(blocks, "channels") };
}

/** What the rule expects of the multiply-adds, as a multiple of the base's. */
export function expected({ depth, width, resolution }, base) {
  return depth * width ** 2 * (resolution / base.resolution) ** 2;
}

/** The entry of a list with the same three factors, or null. */
export function sameAs({ depth, width, resolution }, list) {
  return (
    list.find(
      (one) => one.depth === depth && one.width === width && one.resolution === resolution,
    ) ?? null
  );
}

/** A whole number with commas. */
export function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

// ------------------------------------------------------------------------------------- the page

const DIMENSIONS = ["depth", "width", "resolution"];

function render({ model, el }) {
  const text = words(model);
  const [rows, variants, rule] = ["rows", "variants", "rule"].map((name) => model.get(name));
  const ranges = model.get("ranges");
  const base = variants[0];
  const now = () => Object.fromEntries(DIMENSIONS.map((name) => [name, model.get(name)]));
  const counts = new Map(variants.map((one) => [one.name, stagesOf(one, rows)]));
  const baseStages = counts.get(base.name);

  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
    drawing.now();
    sayResult();
  }
  const take = (one) => change(Object.fromEntries(DIMENSIONS.map((name) => [name, one[name]])));

  // --- what the reader sets --------------------------------------------------------------------

  const options = [
    ["own", text("own")],
    ...variants.map(({ name }) => [name, text("released", { name })]),
  ];
  const select = make("select", {
    "data-setting": "network",
    onchange: () => {
      const one = variants.find(({ name }) => name === select.value);
      if (one) take(one);
      else drawing.now(); // "own factors" is what the sliders make, not something to go to
    },
  });
  for (const [value, word] of options) select.append(make("option", { value }, word));
  const network = make("label", { class: "cnn-field" }, make("span", {}, text("network")), select);

  function slider(name, write) {
    const [low, high, step] = ranges[name];
    // not an <output>: a label belongs to the first such element in it, and not to the slider
    const shown = make("span", { class: "cnn-scaling-value", "aria-hidden": "true" });
    const input = make("input", {
      type: "range",
      min: String(low),
      max: String(high),
      step: String(step),
      value: String(low),
      "data-slider": name,
      oninput: () => write(Number(input.value)),
    });
    const title = make("span", { class: "cnn-scaling-word" }, make("span", {}, text(name)), shown);
    const field = make("label", { class: "cnn-field cnn-scaling-slider" }, title, input);
    return { field, input, shown };
  }
  const phi = slider("phi", (value) => take(rule.find((row) => row.phi === value)));
  const alone = DIMENSIONS.map((name) => slider(name, (value) => change({ [name]: value })));
  const group = (name, sliders) => {
    const title = make("p", { class: "cnn-title", id: uniqueId(name) }, text(name));
    const fields = sliders.map(({ field }) => field);
    return make(
      "div",
      { role: "group", "aria-labelledby": title.id, class: "cnn-scaling-group" },
      title,
      make("div", { class: "cnn-scaling-sliders" }, ...fields),
    );
  };

  // --- the tables ------------------------------------------------------------------------------

  const head = (...keys) =>
    make(
      "thead",
      {},
      make("tr", {}, ...keys.map((key) => make("th", { scope: "col" }, text(key)))),
    );
  const cells = {};
  function line(key, title, columns) {
    cells[key] = columns.map((column) => make("td", { "data-cell": `${key} ${column}` }));
    return make("tr", {}, make("th", { scope: "row" }, title), ...cells[key]);
  }
  const factors = make(
    "table",
    { class: "cnn-scaling-table cnn-scaling-factors" },
    head("dimension", "asked", "got"),
    make(
      "tbody",
      {},
      ...[...DIMENSIONS, "cost"].map((key) => line(key, text(key), ["asked", "got"])),
    ),
  );
  const bill = make(
    "table",
    { class: "cnn-scaling-table" },
    head("bill", "counted_here", "printed"),
    make(
      "tbody",
      {},
      ...["macs", "parameters"].map((key) => line(key, text(key), ["counted", "printed"])),
    ),
  );

  const bars = [];
  const body = make(
    "tbody",
    {},
    ...rows.map((row, i) => {
      const end = i === 0 ? "stem" : i === rows.length - 1 ? "head" : null;
      const operator = end
        ? text(end)
        : text("block", { expansion: row.expansion, kernel: row.kernel_size });
      const bar = make("span", { class: "cnn-scaling-bar" });
      const share = make("span", { class: "cnn-scaling-share", "data-cell": `share ${i + 1}` });
      const fields = ["layers", "channels", "side", "macs"].map((name) =>
        make("td", { "data-cell": `${name} ${i + 1}` }),
      );
      bars.push({ bar, share, fields });
      const track = make("span", { class: "cnn-scaling-track", "aria-hidden": "true" }, bar);
      return make(
        "tr",
        {},
        make("th", { scope: "row" }, `${i + 1}. ${operator}`),
        ...fields,
        make("td", { class: "cnn-scaling-shares" }, track, share),
      );
    }),
  );
  const stages = make(
    "table",
    { class: "cnn-scaling-table cnn-scaling-stages" },
    head("operator", "layers", "width_of", "side", "macs", "share"),
    body,
  );
  const scroll = make("div", { class: "cnn-scroll" }, stages);
  const scroller = scrollable(scroll, text("stages"));

  // --- the map ---------------------------------------------------------------------------------

  const mapTitle = make("p", { class: "cnn-title" }, text("map"));
  const plot = make("div", { class: "cnn-plot cnn-scaling-plot" });
  const nobody = make("p", { class: "cnn-scaling-note" }, text("nobody"));

  const root = make(
    "div",
    { class: "cnn-widget cnn-scaling", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-settings" }, network),
    group("alone", [phi]),
    group("separately", alone),
    make("div", { class: "cnn-scaling-tables" }, factors, bill),
    scroll,
    mapTitle,
    plot,
    nobody,
  );
  const say = announcer(root);
  const short = (number) => text("millions", { number: readable(number / 1e6, 1) });

  function sayResult() {
    const counted = stagesOf(now(), rows);
    const macs = total(counted, "macs");
    say(
      text("spoken", {
        macs: short(macs),
        ratio: readable(macs / total(baseStages, "macs"), 2),
        parameters: short(total(counted, "parameters")),
      }),
    );
  }

  function drawMap(macs, known) {
    const width = plot.clientWidth || 640;
    const height = 250;
    const frame = { left: 40, right: width - 14, top: 26, bottom: height - 40 };
    const points = variants.map((one) => ({
      name: one.name,
      macs: total(counts.get(one.name), "macs"),
      error: one.error,
    }));
    const x = scaleOf([3e7, 3e11], [frame.left, frame.right], true);
    const y = scaleOf([14, 24], [frame.bottom, frame.top]);
    const svg = draw("svg", {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `${text("map")}: ${points.map((p) => `${p.name} ${p.error}`).join(", ")}`,
    });
    for (const value of ticks(14, 24)) {
      svg.append(
        draw("path", { d: `M${frame.left} ${y(value)}H${frame.right}`, class: "cnn-rule" }),
        draw("text", { x: frame.left - 7, y: y(value) + 4, "text-anchor": "end" }, String(value)),
      );
    }
    for (const value of [1e8, 1e9, 1e10, 1e11]) {
      svg.append(
        draw("path", { d: `M${x(value)} ${frame.bottom}v5`, class: "cnn-rule" }),
        draw(
          "text",
          { x: x(value), y: frame.bottom + 18, "text-anchor": "middle" },
          readable(value / 1e9),
        ),
      );
    }
    svg.append(
      draw("path", { d: `M${frame.left} ${frame.bottom}H${frame.right}`, class: "cnn-axis" }),
      draw("text", { x: 2, y: 13, class: "cnn-axis-name" }, text("map_y")),
      draw(
        "text",
        { x: frame.right, y: height - 6, "text-anchor": "end", class: "cnn-axis-name" },
        text("map_x"),
      ),
      draw("path", {
        d: points.map((p, i) => `${i ? "L" : "M"}${x(p.macs)} ${y(p.error)}`).join(""),
        class: "cnn-line cnn-colour-0",
      }),
    );
    for (const p of points) {
      const chosen = known?.name === p.name;
      svg.append(
        draw("circle", {
          cx: x(p.macs),
          cy: y(p.error),
          r: chosen ? 7 : 4,
          class: "cnn-marker cnn-colour-0",
        }),
        draw(
          "text",
          { x: x(p.macs) + 8, y: y(p.error) - 7, class: "cnn-line-name cnn-colour-0" },
          p.name,
        ),
      );
    }
    if (!known) {
      svg.append(
        draw("path", {
          d: `M${x(macs)} ${frame.top}V${frame.bottom}`,
          class: "cnn-plot-cursor",
          "data-macs": macs,
        }),
        draw(
          "text",
          { x: x(macs) + 5, y: frame.bottom - 6, class: "cnn-line-name cnn-scaling-yours" },
          text("yours"),
        ),
      );
    }
    plot.replaceChildren(svg);
  }

  function drawAll() {
    const here = now();
    const counted = stagesOf(here, rows);
    const macs = total(counted, "macs");
    const baseMacs = total(baseStages, "macs");
    const known = sameAs(here, variants);
    const ruled = sameAs(here, rule);
    select.value = known?.name ?? "own";
    if (ruled && phi.input.value !== String(ruled.phi)) phi.input.value = String(ruled.phi);
    setText(phi.shown, ruled ? String(ruled.phi) : text("off_rule"));
    setAttribute(phi.input, "aria-valuetext", ruled ? null : text("off_rule"));
    DIMENSIONS.forEach((name, i) => {
      const value = here[name];
      const word =
        name === "resolution"
          ? text("pixels", { value })
          : text("factor", { value: readable(value, 2) });
      setText(alone[i].shown, word);
      setAttribute(alone[i].input, "aria-valuetext", word);
      if (alone[i].input.value !== String(value)) alone[i].input.value = String(value);
    });

    const [before, after] = [sizeOf(baseStages), sizeOf(counted)];
    const asked = { ...here, resolution: here.resolution / base.resolution };
    const got = {
      depth: ["blocks", before.blocks, after.blocks],
      width: ["channels", before.channels, after.channels],
      resolution: ["sides", base.resolution, here.resolution],
    };
    for (const name of DIMENSIONS) {
      const [key, from, to] = got[name];
      setText(cells[name][0], text("factor", { value: readable(asked[name], 2) }));
      const ratio = readable(to / from, 2);
      setText(cells[name][1], text(key, { before: from, after: to, ratio }));
    }
    const expectation = readable(expected(here, base), 2);
    setText(cells.cost[0], text("expected", { ratio: expectation }));
    setText(cells.cost[1], text("counted", { ratio: readable(macs / baseMacs, 2) }));
    for (const name of ["macs", "parameters"]) {
      setText(cells[name][0], grouped(total(counted, name)));
      setText(cells[name][1], known ? known[name] : "–");
    }

    const largest = Math.max(...counted.map((stage) => stage.macs));
    counted.forEach((stage, i) => {
      const { bar, share, fields } = bars[i];
      const shown = [stage.layers, stage.channels, `${stage.side} × ${stage.side}`];
      [...shown, short(stage.macs)].forEach((value, k) => setText(fields[k], String(value)));
      setText(share, (100 * (stage.macs / macs)).toFixed(1));
      bar.style.width = `${(100 * stage.macs) / largest}%`;
    });
    nobody.hidden = known !== null;
    drawMap(macs, known);
  }

  const drawing = onceATurn(drawAll);
  drawing.now = drawAll;
  const observer = new ResizeObserver(() => {
    if (plot.firstChild && plot.clientWidth !== Number(plot.firstChild.getAttribute("width"))) {
      requestAnimationFrame(drawing);
    }
  });
  observer.observe(plot);
  for (const trait of DIMENSIONS) model.on(`change:${trait}`, drawing);
  el.append(root);
  drawAll();

  return () => {
    observer.disconnect();
    scroller.stop();
    say.stop();
    for (const trait of DIMENSIONS) model.off(`change:${trait}`, drawing);
  };
}

export default { render };
