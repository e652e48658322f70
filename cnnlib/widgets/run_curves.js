// Curves of stored runs: which of them are shown, and by which of their measures.
// The functions above the line are plain (tested in node); below it is the page.
import { make, onceATurn, setAttribute, setText, words } from "./common.js";
import { LinePlot } from "./chart.js";

/** The values of each facet, in the order in which they come; numbers by their size. */
export function valuesOf(curves) {
  const found = {};
  for (const { facets } of curves) {
    for (const [name, value] of Object.entries(facets)) {
      found[name] ??= [];
      if (!found[name].includes(value)) found[name].push(value);
    }
  }
  for (const values of Object.values(found)) {
    if (values.every((value) => value.trim() !== "" && !Number.isNaN(Number(value)))) {
      values.sort((a, b) => Number(a) - Number(b));
    }
  }
  return found;
}

/** The names of the facets in which the curves differ. */
export function severalOf(values) {
  return Object.keys(values).filter((name) => values[name].length > 1);
}

/** The curves of which every facet is on, as lines of a chart, in the order of the buttons. */
export function linesOf(curves, shown, measure) {
  const values = valuesOf(curves);
  const several = severalOf(values);
  const names = several.length > 0 ? several : Object.keys(values);
  const placeOf = ({ facets }) => several.map((name) => values[name].indexOf(facets[name]));
  const byPlace = (a, b) =>
    a.find((index, i) => index !== b[i]) - b.find((index, i) => index !== a[i]);
  return curves
    .filter(({ facets }) => Object.keys(facets).every((name) => shown[name].includes(facets[name])))
    .map((curve) => ({ ...curve, place: placeOf(curve) }))
    .sort((a, b) => byPlace(a.place, b.place) || 0)
    .map(({ facets, seeds, x, place }) => {
      const [colour = 0, dash = 0, third = 0] = place;
      return {
        name: names.map((name) => facets[name]).join(", "),
        x: x[measure],
        seeds: seeds[measure],
        colour,
        dash,
        hollow: third > 0,
      };
    });
}

/** The values of a facet after one of them was pressed, in their usual order. */
export function toggled(chosen, value, all) {
  return all.filter((other) => (other === value) !== chosen.includes(other));
}

// ------------------------------------------------------------------------------------- the page

function render({ model, el }) {
  const text = words(model);
  const get = (name) => model.get(name);
  const change = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const values = valuesOf(get("curves"));
  const several = severalOf(values);

  const group = (name, buttons) =>
    make(
      "div",
      { class: "cnn-choice", role: "group", "aria-label": name },
      make("span", { class: "cnn-title" }, name),
      make("div", { class: "cnn-choice-buttons" }, ...buttons),
    );
  const facetButtons = several.flatMap((name) =>
    values[name].map((value) =>
      make(
        "button",
        {
          type: "button",
          "data-facet": name,
          "data-value": value,
          onclick: () => {
            const chosen = toggled(get("shown")[name], value, values[name]);
            change({ shown: { ...get("shown"), [name]: chosen } });
          },
        },
        value,
      ),
    ),
  );
  const measureButtons = get("measures").map(([key, name]) =>
    make(
      "button",
      { type: "button", "data-measure": key, onclick: () => change({ measure: key }) },
      name,
    ),
  );
  const singles = make(
    "button",
    {
      type: "button",
      class: "cnn-curves-seeds",
      onclick: () => change({ singles: !get("singles") }),
    },
    text("singles"),
  );
  const hasSeeds = get("curves").some(({ seeds }) =>
    Object.values(seeds).some((runs) => runs.length > 1),
  );
  const groups = several.map((name) =>
    group(
      name,
      facetButtons.filter((button) => button.dataset.facet === name),
    ),
  );
  if (measureButtons.length > 1) groups.push(group(text("measure"), measureButtons));
  if (hasSeeds) groups.push(make("div", { class: "cnn-choice cnn-choice-last" }, singles));

  const plot = new LinePlot(text);
  const nothing = make("p", { class: "cnn-nothing", role: "status" });
  const root = make(
    "div",
    { class: "cnn-widget cnn-curves", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-choices" }, ...groups),
    nothing,
    plot.element,
  );

  function drawAll() {
    const measure = get("measure");
    const [, name, kind] = get("measures").find(([key]) => key === measure);
    for (const button of facetButtons) {
      const on = get("shown")[button.dataset.facet].includes(button.dataset.value);
      setAttribute(button, "aria-pressed", String(on));
    }
    for (const button of measureButtons) {
      setAttribute(button, "aria-pressed", String(button.dataset.measure === measure));
    }
    setAttribute(singles, "aria-pressed", String(get("singles")));
    const lines = linesOf(get("curves"), get("shown"), measure);
    nothing.hidden = lines.length > 0;
    setText(nothing, lines.length > 0 ? "" : text("nothing"));
    plot.draw({
      lines,
      xLabel: get("x_label"),
      yLabel: name,
      kind,
      // All curves, not only those that are on: the axis stays while the reader compares.
      all: get("curves").flatMap(({ seeds }) => seeds[measure].flat()),
      singles: get("singles"),
      label: text("chart", { measure: name, x: get("x_label") }),
    });
  }

  const redraw = onceATurn(drawAll);
  const traits = ["measure", "shown", "singles"];
  for (const trait of traits) model.on(`change:${trait}`, redraw);
  el.append(root);
  drawAll();

  return () => {
    plot.stop();
    for (const trait of traits) model.off(`change:${trait}`, redraw);
  };
}

export default { render };
