// The activation explorer: a unit and its slope, and a gradient on its way through many layers.
// The functions above the line are plain arithmetic (tested against PyTorch); below it is the page.
import {
  announcer,
  clamp,
  make,
  onceATurn,
  readable,
  setAttribute,
  setText,
  words,
} from "./common.js";
import { DASHES, LinePlot, draw, scaleOf, scientific, ticks } from "./chart.js";

const WIDTH = 32; // units in each layer of the chain
const INPUTS = 8; // random inputs over which the chain is measured
const COMPARED = ["logistic", "tanh", "relu"];
export const FLOOR = 1e-30; // smaller gradients are drawn here

const logistic = (x) => 1 / (1 + Math.exp(-x));

/** How much of a standard normal distribution lies below x, to 15 digits (a series, a fraction). */
export function gaussianShare(x) {
  const z = Math.abs(x);
  if (z > 38) return x > 0 ? 1 : 0;
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  let above;
  if (z < 5) {
    let [term, sum] = [z, z];
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) sum += term *= (z * z) / (2 * n + 1);
    above = 0.5 - density * sum;
  } else {
    let fraction = z;
    for (let n = 60; n > 0; n--) fraction = z + n / fraction;
    above = density / fraction;
  }
  return x > 0 ? 1 - above : above;
}

/** Every unit: [value, slope] of an input. */
export const UNITS = {
  logistic: [logistic, (x) => logistic(x) * (1 - logistic(x))],
  tanh: [Math.tanh, (x) => 1 - Math.tanh(x) ** 2],
  scaled_tanh: [
    (x) => 1.7159 * Math.tanh((2 * x) / 3),
    (x) => ((1.7159 * 2) / 3) * (1 - Math.tanh((2 * x) / 3) ** 2),
  ],
  relu: [(x) => Math.max(x, 0), (x) => (x > 0 ? 1 : 0)],
  leaky_relu: [(x) => (x > 0 ? x : 0.01 * x), (x) => (x > 0 ? 1 : 0.01)],
  elu: [(x) => (x > 0 ? x : Math.expm1(x)), (x) => (x > 0 ? 1 : Math.exp(x))],
  gelu: [
    (x) => x * gaussianShare(x),
    (x) => gaussianShare(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  ],
  silu: [(x) => x * logistic(x), (x) => logistic(x) * (1 + x * (1 - logistic(x)))],
};

/** A function that draws normally distributed numbers, the same for the same seed (mulberry32). */
export function normals(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  let spare = null;
  return () => {
    if (spare !== null) {
      const kept = spare;
      spare = null;
      return kept;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

function size(rows) {
  let sum = 0;
  for (const row of rows) for (const value of row) sum += value * value;
  return Math.sqrt(sum / (rows.length * rows[0].length));
}

/**
 * Random inputs through `depth` layers of random weights, and a gradient back:
 * { gradients: its size behind 0, 1, ... layers, in shares of the first; slopes: of each layer }.
 */
export function chain(unit, depth, scale, seed) {
  const next = normals(seed);
  const matrix = (rows) =>
    Array.from({ length: rows }, () => Float64Array.from({ length: WIDTH }, () => next()));
  const [value, slope] = UNITS[unit];
  let signals = matrix(INPUTS);
  let gradient = matrix(INPUTS);
  const layers = [];
  for (let n = 0; n < depth; n++) {
    const weights = matrix(WIDTH);
    for (const row of weights) row.forEach((w, j) => (row[j] = (w * scale) / Math.sqrt(WIDTH)));
    const sums = signals.map((h) =>
      Float64Array.from(weights, (row) => row.reduce((sum, w, j) => sum + w * h[j], 0)),
    );
    signals = sums.map((row) => row.map(value));
    layers.push([weights, sums.map((row) => row.map(slope))]);
  }
  const sizes = [size(gradient)];
  const typical = [];
  for (const [weights, slopes] of layers.reverse()) {
    gradient = gradient.map((g, i) => {
      const back = new Float64Array(WIDTH);
      weights.forEach((row, u) => row.forEach((w, j) => (back[j] += g[u] * slopes[i][u] * w)));
      return back;
    });
    sizes.push(size(gradient));
    typical.push(size(slopes));
  }
  return { gradients: sizes.map((one) => one / sizes[0]), slopes: typical };
}

/** What to say about a slope: "dead", "saturated", "passed" or nothing. */
export function verdictOf(slope) {
  if (slope === 0) return "dead";
  if (Math.abs(slope) < 0.05) return "saturated";
  return slope === 1 ? "passed" : null;
}

// ------------------------------------------------------------------------------------- the page

function render({ model, el }) {
  const text = words(model);
  const get = (name) => model.get(name);
  const change = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const ranges = get("ranges");

  const select = make(
    "select",
    { "data-setting": "unit", onchange: () => change({ unit: select.value }) },
    ...Object.keys(UNITS).map((unit) => make("option", { value: unit }, text(`unit_${unit}`))),
  );

  function slider(name, step) {
    // not an <output>: inside the label it would take the slider's name
    const shown = make("span", { class: "cnn-units-value", "aria-hidden": "true" });
    const [low, high] = ranges[name];
    const input = make("input", {
      type: "range",
      min: String(low),
      max: String(high),
      step: String(step),
      "data-slider": name,
      oninput: () => change({ [name]: Number(input.value) }),
    });
    const word = make("span", { class: "cnn-units-word" }, text(name), shown);
    const field = make("label", { class: "cnn-field cnn-units-slider" }, word, input);
    const update = () => {
      const now = readable(get(name), 2);
      setText(shown, now);
      if (Number(input.value) !== get(name)) input.value = String(get(name));
      return input;
    };
    return { field, update };
  }
  const sliders = { x: slider("x", 0.1), depth: slider("depth", 1), scale: slider("scale", 0.1) };

  // --- one unit: the function, its slope, the tangent ------------------------------------------

  let frame = null;
  const aim = (event) => {
    const box = picture.getBoundingClientRect();
    const share = (event.clientX - box.left - frame.left) / (frame.right - frame.left);
    const [low, high] = ranges.x;
    change({ x: Number(clamp(low + share * (high - low), low, high).toFixed(1)) });
  };
  const picture = make("div", {
    class: "cnn-plot cnn-units-picture",
    "aria-hidden": "true", // the slider below it does and says the same
    onpointerdown: aim,
    onpointermove: (event) => event.buttons && aim(event),
  });
  const reading = make("p", { class: "cnn-units-reading" });
  const verdict = make("p", { class: "cnn-units-verdict" });
  const legend = make("p", { class: "cnn-units-legend" });

  function curve(place, of, colour, dash) {
    const [low, high] = ranges.x;
    const points = Array.from({ length: 241 }, (_, i) => {
      const x = low + ((high - low) * i) / 240;
      return `${i ? "L" : "M"}${place.x(x).toFixed(1)} ${place.y(of(x)).toFixed(1)}`;
    });
    return draw(
      "g",
      { class: `cnn-colour-${colour}` },
      draw("path", { d: points.join(""), class: "cnn-line", "stroke-dasharray": DASHES[dash] }),
    );
  }

  function drawPicture() {
    const width = picture.clientWidth || 640;
    const height = clamp(Math.round(width * 0.5), 220, 320);
    const [value, slope] = UNITS[get("unit")];
    const [low, high] = ranges.x;
    const tall = value(high) > 2;
    const [bottom, top] = tall ? [-2, 6.2] : [Math.min(-0.2, value(low)) - 0.1, value(high) + 0.25];
    frame = { left: 34, right: width - 8, top: 10, bottom: height - 24 };
    const place = {
      x: scaleOf([low, high], [frame.left, frame.right]),
      y: scaleOf([bottom, top], [frame.bottom, frame.top]),
    };
    const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    for (const level of ticks(bottom, top)) {
      const y = place.y(level);
      svg.append(
        draw("path", { d: `M${frame.left} ${y}H${frame.right}`, class: "cnn-rule" }),
        draw("text", { x: frame.left - 6, y: y + 4, "text-anchor": "end" }, readable(level)),
      );
    }
    for (const level of ticks(low, high, 6)) {
      const x = place.x(level);
      svg.append(
        draw("text", { x, y: height - 6, "text-anchor": "middle" }, readable(level)),
        draw("path", { d: `M${x} ${frame.bottom}v4`, class: "cnn-rule" }),
      );
    }
    svg.append(
      draw("path", { d: `M${frame.left} ${place.y(0)}H${frame.right}`, class: "cnn-axis" }),
      draw("path", { d: `M${place.x(0)} ${frame.top}V${frame.bottom}`, class: "cnn-axis" }),
      curve(place, value, 0, 0),
      curve(place, slope, 1, 1),
    );
    const x = get("x");
    const [here, rise] = [value(x), slope(x)];
    const reach = 1.3 / Math.hypot(1, rise);
    const tangent = [x - reach, x + reach].map(
      (at) => `${place.x(at).toFixed(1)} ${place.y(here + rise * (at - x)).toFixed(1)}`,
    );
    svg.append(
      draw("path", {
        d: `M${place.x(x)} ${frame.top}V${frame.bottom}`,
        class: "cnn-cursor",
      }),
      draw("path", { d: `M${tangent[0]}L${tangent[1]}`, class: "cnn-units-tangent" }),
      draw("circle", { cx: place.x(x), cy: place.y(here), r: 6, class: "cnn-units-dot" }),
      draw("circle", {
        cx: place.x(x),
        cy: place.y(rise),
        r: 5,
        class: "cnn-units-dot cnn-units-second",
      }),
    );
    picture.replaceChildren(svg);
  }

  const swatch = (colour, dash, name) => {
    const line = draw("path", {
      d: "M1 7H31",
      class: "cnn-line",
      "stroke-dasharray": DASHES[dash],
    });
    const svg = draw(
      "svg",
      { width: 32, height: 14, class: `cnn-colour-${colour}`, "aria-hidden": "true" },
      line,
    );
    return make("span", {}, svg, name);
  };
  legend.append(swatch(0, 0, text("value")), swatch(1, 1, text("slope")));

  // --- many layers -----------------------------------------------------------------------------

  const plot = new LinePlot(text);
  const typical = make("p", { class: "cnn-units-typical" });
  const arrives = make("p", { class: "cnn-units-arrives" });
  const again = make(
    "button",
    {
      type: "button",
      class: "cnn-units-again",
      onclick: () => change({ seed: (get("seed") + 1) % (ranges.seed[1] + 1) }),
    },
    text("again"),
  );
  const title = (name) => make("p", { class: "cnn-title cnn-units-title" }, text(name));
  const root = make(
    "div",
    { class: "cnn-widget cnn-units", role: "group", "aria-label": text("name") },
    make("label", { class: "cnn-field cnn-units-choice" }, text("unit"), select),
    title("one"),
    picture,
    legend,
    sliders.x.field,
    reading,
    verdict,
    title("many"),
    make(
      "div",
      { class: "cnn-units-settings" },
      sliders.depth.field,
      sliders.scale.field,
      again,
    ),
    plot.element,
    typical,
    arrives,
  );
  const say = announcer(root);

  function drawReading() {
    const [value, slope] = UNITS[get("unit")].map((of) => of(get("x")));
    const shown = (number) =>
      number !== 0 && Math.abs(number) < 0.001 ? scientific(number) : readable(number);
    const said = text("reading", {
      x: readable(get("x"), 1),
      value: shown(value),
      slope: shown(slope),
    });
    setText(reading, said);
    const kind = verdictOf(slope);
    setText(verdict, kind ? text(kind) : "\u00a0");
    setAttribute(sliders.x.update(), "aria-valuetext", said);
  }

  function drawChain() {
    const unit = get("unit");
    const [depth, scale, seed] = ["depth", "scale", "seed"].map(get);
    const shown = COMPARED.includes(unit) ? COMPARED : [...COMPARED, unit];
    const found = Object.fromEntries(shown.map((name) => [name, chain(name, depth, scale, seed)]));
    const lines = shown.map((name, i) => ({
      name: text(`unit_${name}`),
      x: found[name].gradients.map((_, k) => k),
      seeds: [found[name].gradients.map((one) => Math.max(one, FLOOR))],
      colour: i,
      dash: i,
    }));
    plot.cursor = null; // back to the input: the number that counts
    plot.draw({
      lines,
      xLabel: text("axis_back"),
      yLabel: text("axis_gradient"),
      kind: "log",
      all: lines.flatMap((line) => line.seeds[0]),
      singles: false,
      label: text("chart_name"),
    });
    const { gradients, slopes } = found[unit];
    const product = slopes.reduce((all, one) => all * one, 1);
    setText(
      typical,
      text("typical", {
        slope: readable(product ** (1 / depth)),
        depth,
        product: scientific(product),
      }),
    );
    setText(arrives, text("arrives", { gradient: scientific(gradients.at(-1)) }));
    root.dataset.gradient = String(gradients.at(-1));
    root.dataset.product = String(product);
    sliders.depth.update();
    sliders.scale.update();
  }

  let drawn = "";
  function drawAll() {
    select.value = get("unit");
    drawPicture();
    drawReading();
    const now = ["unit", "depth", "scale", "seed"].map(get).join(" ");
    if (now === drawn) return; // only the input of the one unit has moved
    if (drawn !== "") {
      queueMicrotask(() => say(`${typical.textContent} ${arrives.textContent}`));
    }
    drawn = now;
    drawChain();
  }

  const redraw = onceATurn(drawAll);
  const traits = ["unit", "x", "depth", "scale", "seed"];
  for (const trait of traits) model.on(`change:${trait}`, redraw);
  el.append(root);
  drawAll();
  let width = picture.clientWidth;
  const observer = new ResizeObserver(() => {
    if (picture.clientWidth !== width) redraw();
    width = picture.clientWidth;
  });
  observer.observe(picture);

  return () => {
    observer.disconnect();
    plot.stop();
    say.stop();
    for (const trait of traits) model.off(`change:${trait}`, redraw);
  };
}

export default { render };
