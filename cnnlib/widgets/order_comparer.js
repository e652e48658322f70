// The order comparer: one residual unit in numbers, step by step, and measured curves of a network.
// The functions above the line are plain arithmetic (tested against PyTorch); below it is the page.
import {
  announcer,
  make,
  onceATurn,
  readable,
  scrollable,
  setAttribute,
  setText,
  setUsable,
  words,
} from "./common.js";
import { LinePlot, scientific } from "./chart.js";

const AROUND = 0.8; // factor of a 1×1 convolution on the shortcut
const GATE = 0.5; // factor of the convolution from which a gate is computed
const EPSILON = 1e-5; // what PyTorch's batch normalisation adds to the variance
export const FLOOR = 1e-20; // smaller numbers are drawn here

/** Batch normalisation of a batch of numbers, as it is before training. */
export function normalized(values) {
  const middle = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / values.length;
  return values.map((value) => (value - middle) / Math.sqrt(variance + EPSILON));
}

const ACTIVATIONS = {
  BN: normalized,
  ReLU: (values) => values.map((value) => Math.max(value, 0)),
};

/** The opening of a gate for each number, between 0 and 1. */
export function gates(values, bias) {
  return values.map((value) => 1 / (1 + Math.exp(-(GATE * value + bias))));
}

/**
 * All steps of one unit: { op, lane, around, branch }. `around` are the numbers on the shortcut
 * path after the step, `branch` those on the residual branch (null before it begins and after the
 * sum); `lane` is where the step happens: "start", "branch", "path" (the way from one unit's x to
 * the next, which should be clean) or "sum".
 *
 * place: the activations [first, between, last, after] of the order; shortcut: a name such as
 * "identity" or "exclusive_gating_6"; weights: the factors of the two convolutions.
 */
export function unitSteps(place, shortcut, x, weights) {
  const [first, between, last, after] = place;
  let [around, branch] = [x, x];
  const steps = [{ op: "input", lane: "start", around, branch: null }];
  const onBranch = (op, values) => {
    branch = values;
    steps.push({ op, lane: "branch", around, branch });
  };
  const onPath = (op, values) => {
    around = values;
    steps.push({ op, lane: "path", around, branch });
  };
  const scaled = (values, factor) => values.map((value) => value * factor);

  for (const name of first) onBranch(name, ACTIVATIONS[name](branch));
  onBranch("first", scaled(branch, weights[0]));
  for (const name of between) onBranch(name, ACTIVATIONS[name](branch));
  onBranch("second", scaled(branch, weights[1]));
  for (const name of last) onBranch(name, ACTIVATIONS[name](branch));

  if (shortcut === "scaling") {
    onPath("half", scaled(around, 0.5));
    onBranch("half", scaled(branch, 0.5));
  } else if (shortcut === "conv") {
    onPath("around", scaled(around, AROUND));
    if (last.length > 0) onPath("BN", normalized(around));
  } else if (shortcut === "dropout") {
    onPath(
      "dropout",
      around.map((value, i) => (i % 2 === 0 ? 2 * value : 0)),
    );
  } else if (shortcut.includes("gating")) {
    const g = gates(around, shortcut.endsWith("_6") ? -6 : 0);
    onPath(
      "open",
      around.map((value, i) => (1 - g[i]) * value),
    );
    if (shortcut.startsWith("exclusive")) {
      onBranch(
        "gate",
        branch.map((value, i) => g[i] * value),
      );
    }
  }
  around = around.map((value, i) => value + branch[i]);
  branch = null;
  steps.push({ op: "sum", lane: "sum", around, branch });
  for (const name of after) onPath(name, ACTIVATIONS[name](around));
  return steps;
}

/** What leaves the unit. */
export function resultOf(steps) {
  return steps.at(-1).around;
}

/** The operations between a unit's x and the next unit's. */
export function onThePath(steps) {
  return steps.filter(({ lane }) => lane === "path").map(({ op }) => op);
}

/** How a measure changes on its way: forward for the signal, backward for gradients. */
export function factorOf(measure, values) {
  const [first, last] = [values[0], values.at(-1)];
  return measure === "signal" ? last / first : first / last;
}

/** A measured curve and the clean one to compare it with, as lines of a chart. */
export function linesOf(flows, pairs, measure, nameOf) {
  return pairs.map(([order, shortcut], i) => {
    const values = flows[order][shortcut][measure];
    return {
      name: nameOf(order, shortcut),
      x: values.map((_, unit) => unit + 1),
      seeds: [values.map((value) => Math.max(value, FLOOR))],
      colour: i === 0 ? 1 : 4,
      dash: i,
    };
  });
}

// ------------------------------------------------------------------------------------- the page

const MEASURES = ["signal", "gradient", "direct"];
const CLEAN = ["full", "identity"];

function render({ model, el }) {
  const text = words(model);
  const get = (name) => model.get(name);
  const change = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const anew = (values) => change({ ...values, step: 0, passed: 0 });
  const orders = new Map(get("orders"));
  const panel = (order) => "abcde"[[...orders.keys()].indexOf(order)];
  let start = get("numbers"); // what "start over" goes back to

  // --- what is chosen --------------------------------------------------------------------------

  const toggle = (name, value, shown, act) =>
    make("button", { type: "button", [`data-${name}`]: value, onclick: act }, shown);
  const group = (title, buttons) =>
    make(
      "div",
      { class: "cnn-choice", role: "group", "aria-label": title },
      make("span", { class: "cnn-title" }, title),
      make("div", { class: "cnn-choice-buttons" }, ...buttons),
    );
  const orderButtons = [...orders.keys()].map((order) =>
    toggle("order", order, text(`order_${order}`), () => anew({ order, numbers: start })),
  );
  const shortcut = make(
    "select",
    {
      "data-setting": "shortcut",
      onchange: () => anew({ shortcut: shortcut.value, numbers: start }),
    },
    ...get("shortcuts").map((value) => make("option", { value }, text(`shortcut_${value}`))),
  );
  const measureButtons = MEASURES.map((measure) =>
    toggle("measure", measure, text(`measure_${measure}`), () => change({ measure })),
  );

  // --- one unit --------------------------------------------------------------------------------

  const steps = () =>
    unitSteps(orders.get(get("order")), get("shortcut"), get("numbers"), get("weights"));
  const current = () => Math.min(get("step"), steps().length - 1);

  function field(label, value, onvalue) {
    const input = make("input", {
      type: "number",
      step: "any",
      "aria-label": label,
      onchange: () => {
        const number = input.valueAsNumber;
        if (Number.isFinite(number) && Math.abs(number) <= 1e6) onvalue(number);
        input.value = value();
      },
    });
    input.update = () => {
      if (document.activeElement !== input) input.value = value();
    };
    return input;
  }
  const plain = (value) => String(Number(value.toPrecision(4)));
  const inputs = [0, 1, 2].map((i) =>
    field(
      text("number", { place: i + 1 }),
      () => plain(get("numbers")[i]),
      (number) => {
        start = get("numbers").map((old, k) => (k === i ? number : old));
        anew({ numbers: start });
      },
    ),
  );
  const factors = ["first_weight", "second_weight"].map((name, i) =>
    field(
      text(name),
      () => plain(get("weights")[i]),
      (number) => change({ weights: get("weights").map((old, k) => (k === i ? number : old)) }),
    ),
  );
  const fields = make(
    "div",
    { class: "cnn-orders-fields" },
    make(
      "div",
      { class: "cnn-field", role: "group", "aria-label": text("numbers") },
      make("span", {}, text("numbers")),
      make("span", { class: "cnn-orders-inputs" }, ...inputs),
    ),
    ...factors.map((input, i) =>
      make("label", { class: "cnn-field" }, text(["first_weight", "second_weight"][i]), input),
    ),
  );

  const verdict = make("p", { class: "cnn-orders-path" });
  const unitTitle = make("p", { class: "cnn-title cnn-orders-title" });
  const body = make("tbody");
  const table = make(
    "table",
    { class: "cnn-orders-steps" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ...["step", "shortcut", "residual"].map((name) =>
          make("th", { scope: "col" }, text(`head_${name}`)),
        ),
      ),
    ),
    body,
  );
  const scroll = make("div", { class: "cnn-scroll" }, table);
  const button = (name, act) =>
    make("button", { type: "button", class: `cnn-orders-${name}`, onclick: act }, text(name));
  const go = (aim) => () => {
    change({ step: Math.min(Math.max(aim(), 0), steps().length - 1) });
    sayStep();
  };
  const buttons = {
    previous: button(
      "previous",
      go(() => current() - 1),
    ),
    next: button(
      "next",
      go(() => current() + 1),
    ),
    all: button(
      "all",
      go(() => steps().length - 1),
    ),
    again: button("again", () => {
      change({ numbers: resultOf(steps()), passed: get("passed") + 1 });
      sayStep();
    }),
    restart: button("restart", () => anew({ numbers: start })),
  };

  // --- many units ------------------------------------------------------------------------------

  const plot = new LinePlot(text);
  const factor = make("p", { class: "cnn-orders-factor" });
  const floor = make("p", { class: "cnn-orders-floor" });
  const units = get("flows")[CLEAN[0]][CLEAN[1]].signal.length;
  const root = make(
    "div",
    { class: "cnn-widget cnn-orders", role: "group", "aria-label": text("name") },
    make(
      "div",
      { class: "cnn-choices" },
      group(text("order"), orderButtons),
      make("label", { class: "cnn-field" }, text("shortcut"), shortcut),
    ),
    verdict,
    unitTitle,
    fields,
    scroll,
    make("div", { class: "cnn-orders-buttons" }, ...Object.values(buttons)),
    make("p", { class: "cnn-title cnn-orders-title" }, text("measured", { units })),
    make("div", { class: "cnn-choices" }, group(text("measure"), measureButtons)),
    plot.element,
    factor,
    floor,
  );
  const say = announcer(root);
  const scroller = scrollable(scroll, text("unit"));

  const list = (values) =>
    values === null ? "" : values.map((value) => readable(value, 2)).join("  ");
  function sayStep() {
    const { op, around, branch } = steps()[current()];
    const said = { step: text(`op_${op}`), around: list(around), branch: list(branch) };
    say(text(branch === null ? "said_sum" : "said", said));
  }

  function drawUnit() {
    const all = steps();
    const here = current();
    const blocked = onThePath(all).map((op) => text(`op_${op}`));
    setText(
      verdict,
      blocked.length > 0 ? text("path_blocked", { what: blocked.join(", ") }) : text("path_clean"),
    );
    verdict.classList.toggle("cnn-orders-blocked", blocked.length > 0);
    setText(
      unitTitle,
      get("passed") > 0 ? text("unit_again", { times: get("passed") + 1 }) : text("unit"),
    );
    body.replaceChildren(
      ...all.map(({ op, lane, around, branch }, i) => {
        const later = i > here;
        const row = make(
          "tr",
          { class: `cnn-orders-on-${lane}${later ? " cnn-orders-later" : ""}`, "data-op": op },
          make("th", { scope: "row" }, text(`op_${op}`)),
          make("td", {}, later ? "" : list(around)),
          make("td", {}, later ? "" : list(branch)),
        );
        setAttribute(row, "aria-current", i === here ? "step" : null);
        return row;
      }),
    );
    for (const input of [...inputs, ...factors]) input.update();
    setUsable(buttons.previous, here > 0);
    setUsable(buttons.next, here < all.length - 1);
    setUsable(buttons.all, here < all.length - 1);
    setUsable(buttons.restart, here > 0 || get("passed") > 0);
    scroller.update();
  }

  function drawChart() {
    const measure = get("measure");
    const chosen = [get("order"), get("shortcut")];
    const same = chosen.every((value, i) => value === CLEAN[i]);
    const name = (order, kind) =>
      text("line", { panel: panel(order), shortcut: text(`shortcut_${kind}`) });
    const lines = linesOf(get("flows"), same ? [chosen] : [chosen, CLEAN], measure, name);
    const flows = Object.values(get("flows")).flatMap((kinds) => Object.values(kinds));
    plot.draw({
      lines,
      xLabel: text("axis_units"),
      yLabel: text(`axis_${measure}`),
      kind: "log",
      // All curves, not only those that are shown: the axis stays while the reader compares.
      all: flows.flatMap((flow) => flow[measure].map((value) => Math.max(value, FLOOR))),
      singles: false,
      label: text("chart", { measure: text(`axis_${measure}`) }),
    });
    const values = get("flows")[chosen[0]][chosen[1]][measure];
    const change = scientific(factorOf(measure, values));
    setText(factor, text(`factor_${measure}`, { factor: change }));
    const low = values.some((value) => value < FLOOR);
    floor.hidden = !low;
    setText(floor, low ? text("floor") : "");
  }

  function drawAll() {
    for (const [name, list] of [
      ["order", orderButtons],
      ["measure", measureButtons],
    ]) {
      for (const button of list) {
        setAttribute(button, "aria-pressed", String(button.dataset[name] === get(name)));
      }
    }
    shortcut.value = get("shortcut");
    drawUnit();
    drawChart();
  }

  const redraw = onceATurn(drawAll);
  const traits = ["order", "shortcut", "measure", "numbers", "weights", "step", "passed"];
  for (const trait of traits) model.on(`change:${trait}`, redraw);
  el.append(root);
  drawAll();

  return () => {
    plot.stop();
    say.stop();
    scroller.stop();
    for (const trait of traits) model.off(`change:${trait}`, redraw);
  };
}

export default { render };
