// All networks on one map. The functions above the line are plain; below it is the page.
import {
  announcer,
  clamp,
  make,
  onceATurn,
  readable,
  scrollable,
  setAttribute,
  setText,
  uniqueId,
  words,
} from "./common.js";
import { draw, powersOfTen, scaleOf, ticks } from "./chart.js";

export const QUANTITIES = ["top1", "top5", "parameters", "macs", "activations", "time", "year"];

/** The points that have both numbers, on the chosen data and in tests that are not hidden. */
export function visible(points, { x, y, data, hidden }) {
  return points.filter(
    (point) =>
      point.data === data &&
      !hidden.includes(point.testing) &&
      point[x] !== null &&
      point[y] !== null,
  );
}

/** The points that no other beats in both numbers (smaller is better), smallest x first. */
export function frontOf(points, x, y) {
  const sorted = [...points].sort((a, b) => a[x] - b[x] || a[y] - b[y]);
  const chosen = [];
  for (const point of sorted) {
    const last = chosen.at(-1);
    if (!last || point[y] < last[y] || (point[x] === last[x] && point[y] === last[y]))
      chosen.push(point);
  }
  return chosen;
}

/** Marks of a logarithmic axis: 1, 2 and 5 times the powers of ten, or these alone if too many. */
export function logTicks(low, high, most = 7) {
  const marks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high) + 1e-9; power += 1) {
    for (const factor of [1, 2, 5]) {
      const mark = Number((factor * 10 ** power).toPrecision(12));
      if (mark >= low * (1 - 1e-9) && mark <= high * (1 + 1e-9)) marks.push(mark);
    }
  }
  return marks.length <= most ? marks : powersOfTen(low, high, most);
}

/** What an axis spans: all values and a little air; years by half a year. */
export function reach(values, log) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) return [low / 1.25, high * 1.25];
  const air = 0.05 * (high - low) || 0.5;
  return [low >= 0 && low - air < 0 ? 0 : low - air, high + air];
}

/**
 * Where an arrow key leads from dot `at`: left and right through the dots in the order of their x,
 * up and down in the order of their y; Home and End to the first and the last. null: another key.
 */
export function nextDot(key, at, places) {
  const axis = { ArrowLeft: 0, ArrowRight: 0, ArrowUp: 1, ArrowDown: 1, Home: 0, End: 0 }[key];
  if (axis === undefined) return null;
  const order = places
    .map((_, i) => i)
    .sort((a, b) => places[a][axis] - places[b][axis] || places[a][1 - axis] - places[b][1 - axis]);
  if (key === "Home") return order[0];
  if (key === "End") return order.at(-1);
  const step = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1; // y grows downwards on a page
  return order[clamp(order.indexOf(at) + step, 0, order.length - 1)];
}

/**
 * Which names fit, in the order given: [x, y, anchor] for each that meets no other name, none of
 * the dots at `points` and no edge; null for the others.
 */
export function placed(items, points, right, size = 12) {
  const boxes = points.map(([x, y]) => ({
    left: x - 6,
    right: x + 6,
    top: y - 6,
    bottom: y + 6,
  }));
  const free = (box) =>
    box.left >= 0 &&
    box.right <= right &&
    boxes.every(
      (b) =>
        box.right < b.left || box.left > b.right || box.bottom < b.top || box.top > b.bottom,
    );
  return items.map(({ x, y, text }) => {
    const width = 0.56 * size * text.length;
    const tries = [
      [x + 9, y + 4, "start"],
      [x - 9, y + 4, "end"],
      [x + 7, y - 8, "start"],
      [x - 7, y - 8, "end"],
      [x + 7, y + 17, "start"],
      [x - 7, y + 17, "end"],
    ];
    for (const [left, base, anchor] of tries) {
      const start = anchor === "start" ? left : left - width;
      const box = { left: start, right: start + width, top: base - size, bottom: base + 3 };
      if (free(box)) {
        boxes.push(box);
        return [left, base, anchor];
      }
    }
    return null;
  });
}

/** The page of a chapter, beside this one: on the site a page, elsewhere the notebook. */
export function pageOf(chapter, here) {
  return `${chapter}.${/\.html?$/.test(here) ? "html" : "ipynb"}`;
}

/** The label key of a way of testing: "10 crops" -> "testing_10_crops". */
export function testingKey(testing) {
  return `testing_${testing.replaceAll(" ", "_")}`;
}

// ------------------------------------------------------------------------------------- the page

const SHAPES = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (r) => `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0 ${-1.2 * r}L${1.15 * r} ${0.9 * r}H${-1.15 * r}z`,
  (r) => `M0 ${-1.35 * r}L${1.35 * r} 0 0 ${1.35 * r} ${-1.35 * r} 0z`,
  (r) => `M0 ${1.2 * r}L${1.15 * r} ${-0.9 * r}H${-1.15 * r}z`,
];
const DATA = ["ImageNet", "CIFAR-10", "MNIST"];

function render({ model, el }) {
  const text = words(model);
  const order = model.get("order");
  const traits = ["x", "y", "data", "log_x", "log_y", "fronts", "hidden"];
  const now = () => Object.fromEntries(traits.map((name) => [name, model.get(name)]));
  let chosen = null; // name of the network whose numbers are read out
  let dots = []; // the points that are drawn, and where
  let places = [];

  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
    paint();
    const [x, y] = [text(model.get("x")), text(model.get("y"))];
    say(dots.length ? text("plot", { count: dots.length, x, y, keys: "" }) : text("nothing"));
  }

  // --- numbers in words ------------------------------------------------------------------------

  function amount(number) {
    const [unit, size] =
      number >= 1e9 ? ["billions", 1e9] : number >= 1e6 ? ["millions", 1e6] : ["thousands", 1e3];
    return text(unit, { number: Number((number / size).toPrecision(3)) });
  }
  function inWords(value, quantity) {
    if (value === null) return "–";
    if (quantity === "year") return String(value);
    if (quantity === "time") return text("milliseconds", { number: Number(value.toPrecision(3)) });
    if (quantity === "top1" || quantity === "top5")
      return text("percent", { number: readable(value, 2) });
    return amount(value);
  }
  const testingOf = (point) => text(testingKey(point.testing));
  const numberOf = (point) => Number(point.chapter.slice(0, 2));

  // --- choices ---------------------------------------------------------------------------------

  function select(name, options) {
    const control = make("select", {
      "data-setting": name,
      onchange: () => change({ [name]: control.value }),
    });
    for (const [value, word] of options) control.append(make("option", { value }, word));
    const field = make("label", { class: "cnn-field" }, make("span", {}, text(name)), control);
    return { name, control, field };
  }
  const axes = QUANTITIES.map((name) => [name, text(name)]);
  const held = new Set(model.get("points").map((point) => point.data));
  const selects = [
    select("y", axes),
    select("x", axes),
    select("data", DATA.filter((name) => held.has(name)).map((name) => [name, name])),
  ];

  function toggle(name) {
    const button = make("button", {
      type: "button",
      "data-toggle": name,
      onclick: () => change({ [name]: !model.get(name) }),
    });
    button.append(text(name));
    return { name, button };
  }
  const toggles = ["log_x", "log_y", "fronts"].map(toggle);
  function choice(name, ...children) {
    const title = make("span", { class: "cnn-title", id: uniqueId(name) }, text(name));
    const buttons = make("div", { class: "cnn-choice-buttons" }, ...children);
    return make(
      "div",
      { class: "cnn-choice", role: "group", "aria-labelledby": title.id },
      title,
      buttons,
    );
  }
  const legend = order.map((testing, i) => {
    const swatch = draw(
      "svg",
      { class: `cnn-map-swatch cnn-colour-${i}`, viewBox: "-8 -8 16 16", width: 16, height: 16 },
      draw("path", { d: SHAPES[i](5), class: "cnn-map-shape" }),
    );
    swatch.setAttribute("aria-hidden", "true");
    const word = make("span", {});
    const flip = () => {
      const hidden = model.get("hidden");
      const without = hidden.filter((other) => other !== testing);
      change({ hidden: without.length < hidden.length ? without : [...hidden, testing] });
    };
    const button = make(
      "button",
      { type: "button", class: "cnn-map-legend", "data-testing": testing, onclick: flip },
      swatch,
      word,
    );
    return { testing, word, button };
  });

  // --- the plot, a list of dots ------------------------------------------------------------------

  const plot = make("div", { class: "cnn-plot cnn-map-plot" });
  const host = make(
    "div",
    {
      class: "cnn-map-host",
      role: "listbox",
      tabindex: "0",
      onkeydown: onKey,
      onpointermove: (event) => event.pointerType === "mouse" && pointed(event),
      onclick: clicked,
      // only by the keyboard: a redrawn dot would lose the click of the finger that focused it
      onfocus: () => host.matches(":focus-visible") && chosen === null && dots.length && choose(0),
    },
    plot,
  );
  const nothing = make("p", { class: "cnn-nothing" }, text("nothing"));
  const readout = make("p", { class: "cnn-map-readout" });
  const link = make("a", { class: "cnn-map-link" });
  const below = make("div", { class: "cnn-map-below" }, readout, link);

  const table = make("table", { class: "cnn-numbers" });
  const region = make("div", { class: "cnn-scroll" }, table);
  const details = make(
    "details",
    { class: "cnn-details" },
    make("summary", {}, text("table")),
    region,
  );
  const scroller = scrollable(region, text("table"));
  details.addEventListener("toggle", () => scroller.update());

  const root = make(
    "div",
    { class: "cnn-widget cnn-map", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-choices" }, ...selects.map(({ field }) => field)),
    make(
      "div",
      { class: "cnn-choices" },
      choice("scales", ...toggles.map(({ button }) => button)),
      choice("testings", ...legend.map(({ button }) => button)),
    ),
    host,
    nothing,
    below,
    details,
  );
  const say = announcer(root);

  const indexOf = (name) => dots.findIndex((point) => point.name === name);
  function choose(index) {
    chosen = dots[index].name;
    paint();
  }
  function onKey(event) {
    if (dots.length === 0) return;
    const at = Math.max(indexOf(chosen), 0);
    if (event.key === "Enter") {
      event.preventDefault();
      return follow(at);
    }
    const next = nextDot(event.key, at, places);
    if (next === null) return;
    event.preventDefault();
    choose(next);
  }
  /** The dot under a finger or a mouse: the nearest one, if it is near. */
  function under(event, near) {
    const box = plot.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const far = places.map(([left, top]) => Math.hypot(left - x, top - y));
    const index = far.indexOf(Math.min(...far));
    return index >= 0 && far[index] <= near ? index : -1;
  }
  function pointed(event) {
    const index = under(event, 14);
    host.classList.toggle("cnn-map-over", index >= 0);
    if (index >= 0 && dots[index].name !== chosen) choose(index);
  }
  function clicked(event) {
    const touch = event.pointerType === "touch" || event.pointerType === "pen";
    const index = under(event, touch ? 28 : 14);
    if (index < 0) return;
    // a finger hides the dot: the first tap tells which one it is, the second one opens it
    if (touch && dots[index].name !== chosen) choose(index);
    else follow(index);
  }
  function follow(index) {
    chosen = dots[index].name;
    paint();
    link.click();
  }

  function paint() {
    const state = now();
    for (const { name, control } of selects) control.value = state[name];
    for (const { name, button } of toggles) {
      setAttribute(button, "aria-pressed", String(state[name]));
    }
    const all = visible(model.get("points"), { ...state, hidden: [] });
    for (const { testing, word, button } of legend) {
      const count = all.filter((point) => point.testing === testing).length;
      button.hidden = count === 0;
      setAttribute(button, "aria-pressed", String(!state.hidden.includes(testing)));
      setText(word, text("testing_count", { testing: text(testingKey(testing)), count }));
    }
    dots = visible(model.get("points"), state);
    host.hidden = below.hidden = details.hidden = dots.length === 0;
    nothing.hidden = dots.length > 0;
    if (dots.length === 0) {
      places = [];
      return;
    }
    if (indexOf(chosen) < 0) chosen = null;
    plot.replaceChildren(picture(state, plot.clientWidth || 640));
    readOut(state);
    fillTable(state);
  }

  function picture(state, width) {
    const { x, y, log_x: logX, log_y: logY } = state;
    const height = clamp(Math.round(width * 0.62), 290, 470);
    const frame = { left: 58, right: width - 12, top: 26, bottom: height - 42 };
    const spanX = reach(dots.map((point) => point[x]), logX && x !== "year");
    const spanY = reach(dots.map((point) => point[y]), logY && y !== "year");
    const toX = scaleOf(spanX, [frame.left, frame.right], logX && x !== "year");
    const toY = scaleOf(spanY, [frame.bottom, frame.top], logY && y !== "year");
    places = dots.map((point) => [toX(point[x]), toY(point[y])]);
    const svg = draw("svg", {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "presentation",
    });
    const marks = (span, log, quantity, most) => {
      const found = log && quantity !== "year" ? logTicks(...span, most) : ticks(...span, most);
      return quantity === "year" ? found.filter(Number.isInteger) : found;
    };
    const quiet = { "aria-hidden": "true" };
    for (const mark of marks(spanY, logY, y, 7)) {
      svg.append(
        draw("path", { d: `M${frame.left} ${toY(mark)}H${frame.right}`, class: "cnn-rule" }),
        draw(
          "text",
          { x: frame.left - 7, y: toY(mark) + 4, "text-anchor": "end", ...quiet },
          inWords(mark, y),
        ),
      );
    }
    for (const mark of marks(spanX, logX, x, width < 460 ? 4 : 7)) {
      svg.append(
        draw("path", { d: `M${toX(mark)} ${frame.top}V${frame.bottom}`, class: "cnn-rule" }),
        draw(
          "text",
          { x: toX(mark), y: frame.bottom + 18, "text-anchor": "middle", ...quiet },
          inWords(mark, x),
        ),
      );
    }
    const side = { class: "cnn-axis-name", ...quiet };
    svg.append(
      draw("path", { d: `M${frame.left} ${frame.bottom}H${frame.right}`, class: "cnn-axis" }),
      draw("text", { x: 2, y: 13, ...side }, text(y)),
      draw("text", { x: frame.right, y: height - 6, "text-anchor": "end", ...side }, text(x)),
    );

    const named = new Map(); // the names that are written, most important first
    if (chosen !== null) named.set(chosen, true);
    if (state.fronts) {
      order.forEach((testing, i) => {
        const best = frontOf(dots.filter((point) => point.testing === testing), x, y);
        if (best.length < 2) return;
        const line = best.map((p, k) => `${k ? "L" : "M"}${toX(p[x])} ${toY(p[y])}`).join("");
        svg.append(draw("path", { d: line, class: `cnn-map-front cnn-colour-${i}` }));
        for (const point of best) named.set(point.name, true);
      });
    }
    const items = [...named.keys()].map((name) => {
      const i = indexOf(name);
      return { x: places[i][0], y: places[i][1], text: dots[i].label };
    });
    placed(items, places, width).forEach((place, i) => {
      if (!place) return;
      const [left, base, anchor] = place;
      svg.append(
        draw(
          "text",
          { x: left, y: base, "text-anchor": anchor, class: "cnn-map-name", ...quiet },
          items[i].text,
        ),
      );
    });
    dots.forEach((point, i) => {
      const kind = order.indexOf(point.testing);
      const here = point.name === chosen;
      const label = text("option", {
        label: point.label,
        year: point.year,
        x: text(x),
        y: text(y),
        x_value: inWords(point[x], x),
        y_value: inWords(point[y], y),
        testing: testingOf(point),
      });
      const shape = draw("path", {
        d: SHAPES[kind](here ? 7.5 : 5),
        transform: `translate(${places[i][0]} ${places[i][1]})`,
        class: `cnn-map-dot cnn-colour-${kind}${here ? " cnn-map-here" : ""}`,
        id: `${prefix}-${point.name}`,
        role: "option",
        "aria-selected": String(here),
        "aria-label": label,
        "data-network": point.name,
      });
      svg.append(shape);
    });
    return svg;
  }

  const prefix = uniqueId("map");
  function readOut(state) {
    const { x, y } = state;
    const words_ = { count: dots.length, x: text(x), y: text(y), keys: text("keys") };
    setAttribute(host, "aria-label", text("plot", words_));
    setAttribute(host, "aria-activedescendant", chosen === null ? null : `${prefix}-${chosen}`);
    link.hidden = chosen === null;
    if (chosen === null) return setText(readout, text("keys"));
    const point = dots[indexOf(chosen)];
    const alike = dots.filter((other) => other.testing === point.testing);
    const best = frontOf(alike, x, y).some(({ name }) => name === chosen);
    const line = text("option", {
      label: point.label,
      year: point.year,
      x: text(x),
      y: text(y),
      x_value: inWords(point[x], x),
      y_value: inWords(point[y], y),
      testing: testingOf(point),
    });
    setText(readout, best ? `${line} ${text("on_front")}` : line);
    setText(link, text("open", { number: numberOf(point) }));
    setAttribute(link, "href", pageOf(point.chapter, location.pathname));
  }

  function fillTable({ x }) {
    const columns = ["year", "parameters", "macs", "activations", "time", "top1", "top5"];
    const heads = ["network", ...columns, "testing", "side", "chapter"];
    const rows = [...dots]
      .sort((a, b) => a[x] - b[x])
      .map((point) => {
        const number = String(numberOf(point));
        const href = pageOf(point.chapter, location.pathname);
        const cells = columns.map((name) => {
          const { low, high } = point;
          const spread = { median: readable(point.time, 1), low: readable(low, 1), high: readable(high, 1) };
          return name === "time" ? text("quartiles", spread) : inWords(point[name], name);
        });
        return make(
          "tr",
          { "data-row": point.name },
          make("th", { scope: "row" }, point.label),
          ...cells.map((cell) => make("td", {}, cell)),
          make("td", {}, testingOf(point)),
          make("td", {}, text("pixels", { side: point.side })),
          make("td", {}, make("a", { href, "aria-label": text("open", { number }) }, number)),
        );
      });
    table.replaceChildren(
      make("thead", {}, make("tr", {}, ...heads.map((key) => make("th", { scope: "col" }, text(key))))),
      make("tbody", {}, ...rows),
    );
    scroller.update();
  }

  const redraw = onceATurn(paint);
  for (const trait of traits) model.on(`change:${trait}`, redraw);
  el.append(root);
  paint();
  let drawnAt = plot.clientWidth;
  const observer = new ResizeObserver(() => {
    if (plot.clientWidth === drawnAt) return;
    drawnAt = plot.clientWidth;
    redraw();
  });
  observer.observe(plot);

  return () => {
    say.stop();
    observer.disconnect();
    scroller.stop();
    for (const trait of traits) model.off(`change:${trait}`, redraw);
  };
}

export default { render };
