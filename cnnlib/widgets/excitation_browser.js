// Mean excitations of every class, block by block: where the classes come apart.
// The functions above the line are plain arithmetic (tested in node); below it is the page.
import { announcer, make, onceATurn, setAttribute, setText, words } from "./common.js";
import { COLOURS, LinePlot, deviation, mean } from "./chart.js";

/** The columns of a table of rows. */
export function columnsOf(table) {
  return table[0].map((_, channel) => table.map((row) => row[channel]));
}

/** Standard deviation of the class means, averaged over the channels. */
export function spreadOf(table) {
  return mean(columnsOf(table).map(deviation));
}

/** Root of the mean squared difference of two rows. */
export function distanceOf(one, other) {
  return Math.sqrt(mean(one.map((value, i) => (value - other[i]) ** 2)));
}

/** All pairs of classes as [first, second, distance], most alike first. */
export function pairsOf(table) {
  const pairs = [];
  for (let i = 0; i < table.length; i++) {
    for (let k = i + 1; k < table.length; k++) pairs.push([i, k, distanceOf(table[i], table[k])]);
  }
  return pairs.sort((a, b) => a[2] - b[2]);
}

/** The channels in the order in which they are drawn: "number", "mean" or "spread". */
export function orderOf(table, how) {
  const columns = columnsOf(table);
  const channels = columns.map((_, channel) => channel);
  if (how === "number") return channels;
  const key = how === "mean" ? mean : (column) => -deviation(column);
  const keys = columns.map(key);
  return channels.sort((a, b) => keys[a] - keys[b] || a - b);
}

/** The lines of a chart: the mean of all classes, and each class that is shown. */
export function linesOf(table, order, shown, names, allName) {
  const x = order.map((_, place) => place + 1);
  const columns = columnsOf(table);
  const line = (name, values, colour, dash, hollow = false) => ({
    name,
    x,
    seeds: [order.map((channel) => values[channel])],
    colour,
    dash,
    hollow,
  });
  const all = line(allName, columns.map(mean), 4, 2, true);
  const free = [...Array(COLOURS).keys()].filter((colour) => colour !== 4); // 4 is the mean's
  const classes = shown.map((i) => {
    const round = Math.floor(i / free.length);
    return line(names[i], table[i], free[i % free.length], round, round > 0);
  });
  return [...classes, all];
}

// ------------------------------------------------------------------------------------- the page

const SCALE = 1000; // excitations travel as whole thousandths
const ORDERS = ["number", "mean", "spread"];

function render({ model, el }) {
  const text = words(model);
  const get = (name) => model.get(name);
  const change = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const names = get("classes");
  const seeds = get("means").map((units) =>
    units.map((table) => table.map((row) => row.map((value) => value / SCALE))),
  );
  const three = (value) => value.toFixed(3);

  const group = (title, kind, ...buttons) =>
    make(
      "div",
      { class: `cnn-choice cnn-excitation-${kind}`, role: "group", "aria-label": title },
      make("span", { class: "cnn-title" }, title),
      make("div", { class: "cnn-choice-buttons" }, ...buttons),
    );
  const press = (name, value, shown, act) =>
    make("button", { type: "button", [`data-${name}`]: value, onclick: act }, shown);

  // --- what is chosen --------------------------------------------------------------------------

  const unitButtons = seeds[0].map((_, i) => {
    const bar = make("span", { class: "cnn-excitation-bar" });
    const lane = make("span", { class: "cnn-excitation-lane", "aria-hidden": "true" }, bar);
    const name = make("span", {}, text("block", { number: i + 1 }));
    const number = make("span", { class: "cnn-excitation-number" });
    const button = press("unit", i, lane, () => {
      change({ unit: i });
      sayUnit();
    });
    button.append(name, " ", number);
    return { button, bar, number };
  });
  const units = make(
    "div",
    { class: "cnn-excitation-units", role: "group", "aria-label": text("blocks") },
    ...unitButtons.map(({ button }) => button),
  );
  const seedButtons = seeds.map((_, i) =>
    press("seed", i, text("seed_number", { number: i }), () => change({ seed: i })),
  );
  const classButtons = names.map((name, i) =>
    press("class", i, name, () => {
      const shown = get("shown");
      const now = shown.includes(i) ? shown.filter((k) => k !== i) : [...shown, i];
      change({ shown: now.sort((a, b) => a - b) });
    }),
  );
  const everyClass = press("classes", "all", text("every_class"), () =>
    change({ shown: names.map((_, i) => i) }),
  );
  const noClass = press("classes", "none", text("no_class"), () => change({ shown: [] }));
  const orderButtons = ORDERS.map((how) =>
    press("order", how, text(`order_${how}`), () => change({ order: how })),
  );

  const title = make("p", { class: "cnn-title cnn-excitation-title" });
  const plot = new LinePlot(text);
  const facts = ["spread", "alike", "apart"].map((kind) =>
    make("p", { class: "cnn-excitation-fact", "data-fact": kind }),
  );
  const others = [group(text("order"), "orders", ...orderButtons)];
  if (seeds.length > 1) others.unshift(group(text("seed"), "seeds", ...seedButtons));
  const root = make(
    "div",
    { class: "cnn-widget cnn-excitations", role: "group", "aria-label": text("name") },
    make("p", { class: "cnn-title", "aria-hidden": "true" }, text("blocks")),
    units,
    make("div", { class: "cnn-choices" },
      group(text("classes"), "classes", ...classButtons, everyClass, noClass),
      ...others),
    title,
    plot.element,
    make("div", { class: "cnn-excitation-facts" }, ...facts),
  );
  const say = announcer(root);

  const tableNow = () => seeds[get("seed")][get("unit")];
  function sayUnit() {
    const table = tableNow();
    const [i, k] = pairsOf(table)[0];
    say(
      text("said", {
        number: get("unit") + 1,
        spread: three(spreadOf(table)),
        first: names[i],
        second: names[k],
      }),
    );
  }

  function drawAll() {
    const [unit, seed, shown, order] = ["unit", "seed", "shown", "order"].map(get);
    const table = tableNow();
    const spreads = seeds[seed].map(spreadOf);
    // One scale for all networks, so that they can be compared.
    const largest = Math.max(...seeds.flatMap((tables) => tables.map(spreadOf)));
    unitButtons.forEach(({ button, bar, number }, i) => {
      bar.style.height = `${(100 * spreads[i]) / largest}%`;
      setText(number, three(spreads[i]));
      setAttribute(button, "aria-pressed", String(i === unit));
    });
    seedButtons.forEach((button, i) => setAttribute(button, "aria-pressed", String(i === seed)));
    classButtons.forEach((button, i) =>
      setAttribute(button, "aria-pressed", String(shown.includes(i))),
    );
    for (const button of orderButtons) {
      setAttribute(button, "aria-pressed", String(button.dataset.order === order));
    }
    setText(title, text("title", { number: unit + 1, channels: table[0].length }));
    plot.draw({
      lines: linesOf(table, orderOf(table, order), shown, names, text("all_classes")),
      xLabel: text(`x_${order}`),
      yLabel: text("excitation"),
      kind: "number",
      all: [0, 1], // the whole range of a sigmoid: small differences look small
      singles: false,
      label: text("chart", { number: unit + 1 }),
    });
    const pairs = pairsOf(table);
    const named = ([i, k, distance]) => ({
      first: names[i],
      second: names[k],
      distance: three(distance),
    });
    const times = (spreads[unit] / spreads[0]).toFixed(1);
    setText(facts[0], text("spread", { spread: three(spreads[unit]), times }));
    setText(facts[1], text("alike", named(pairs[0])));
    setText(facts[2], text("apart", named(pairs.at(-1))));
  }

  const redraw = onceATurn(drawAll);
  const traits = ["unit", "seed", "shown", "order"];
  for (const trait of traits) model.on(`change:${trait}`, redraw);
  el.append(root);
  drawAll();

  return () => {
    plot.stop();
    say.stop();
    for (const trait of traits) model.off(`change:${trait}`, redraw);
  };
}

export default { render };
