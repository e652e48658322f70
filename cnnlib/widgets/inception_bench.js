// The bill of an Inception module: naive and with reductions, at widths that the reader chooses.
// The functions above the line are plain arithmetic (tested against cnnlib.inspection); below it is
// the page.
import {
  announcer,
  make,
  onceATurn,
  readable,
  setAttribute,
  setText,
  uniqueId,
  words,
} from "./common.js";

export const BRANCHES = ["1x1", "3x3", "5x5", "pool"];
export const WIDTHS = ["n1x1", "n3x3_reduce", "n3x3", "n5x5_reduce", "n5x5", "pool_proj"];
export const QUANTITIES = ["macs", "parameters", "maps"];

/** { macs, parameters } of a convolution with bias that keeps the size of its maps. */
export function convolution(origin, maps, kernel, size) {
  const weights = origin * maps * kernel * kernel;
  return { macs: weights * size * size, parameters: weights + maps };
}

/**
 * What every branch costs: { naive, reduced }, each an object of branches with macs, parameters,
 * maps, and of the first two the part that its 1 × 1 reduction or projection takes.
 */
export function costs({ in_channels: origin, size, widths, wide_kernel: wide }) {
  const [one, reduce3, three, reduce5, five, projection] = widths;
  const branch = (maps, reduction, main) => {
    const nothing = { macs: 0, parameters: 0 };
    const [first, second] = [reduction ?? nothing, main ?? nothing];
    return {
      macs: first.macs + second.macs,
      parameters: first.parameters + second.parameters,
      maps,
      reduction: { ...first, maps: 0 },
    };
  };
  const direct = (maps, kernel) => branch(maps, null, convolution(origin, maps, kernel, size));
  const reduced = (width, maps, kernel) =>
    branch(maps, convolution(origin, width, 1, size), convolution(width, maps, kernel, size));
  return {
    naive: {
      "1x1": direct(one, 1),
      "3x3": direct(three, 3),
      "5x5": direct(five, wide),
      pool: branch(origin, null, null),
    },
    reduced: {
      "1x1": direct(one, 1),
      "3x3": reduced(reduce3, three, 3),
      "5x5": reduced(reduce5, five, wide),
      pool: branch(projection, convolution(origin, projection, 1, size), null),
    },
  };
}

/** The sum of a quantity over the branches of a module. */
export function total(branches, quantity) {
  return BRANCHES.reduce((sum, name) => sum + branches[name][quantity], 0);
}

/** { branch, share } of the branch that has most of a quantity; null where all have none. */
export function payer(branches, quantity) {
  const sum = total(branches, quantity);
  if (sum === 0) return null;
  const branch = BRANCHES.reduce((a, b) =>
    branches[b][quantity] > branches[a][quantity] ? b : a,
  );
  return { branch, share: branches[branch][quantity] / sum };
}

/** The name of the preset whose numbers these are, or null. */
export function presetOf({ in_channels, size, widths }, presets) {
  const same = (preset) =>
    preset.in_channels === in_channels &&
    preset.size === size &&
    preset.widths.every((width, i) => width === widths[i]);
  return Object.keys(presets).find((name) => same(presets[name])) ?? null;
}

/** A whole number with commas, as the book prints them: 128049152 -> "128,049,152". */
export function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

// ------------------------------------------------------------------------------------- the page

const FORMS = ["naive", "reduced"];

function render({ model, el }) {
  const text = words(model);
  const now = () => ({
    in_channels: model.get("in_channels"),
    size: model.get("size"),
    widths: model.get("widths"),
    wide_kernel: model.get("wide_kernel"),
  });
  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
    draw.now();
    sayResult();
  }

  // --- choices ---------------------------------------------------------------------------------

  function choice(name, options, act) {
    const select = make("select", { "data-setting": name, onchange: () => act(select.value) });
    for (const [value, word] of options) select.append(make("option", { value }, word));
    const field = make("label", { class: "cnn-field" }, make("span", {}, text(name)), select);
    return { select, field };
  }
  const presets = model.get("presets");
  const names = Object.keys(presets).map((name) => [name, text("preset_of_table", { name })]);
  const preset = choice("module", [["own", text("preset_own")], ...names], (name) => {
    if (presets[name]) change({ ...presets[name], widths: [...presets[name].widths] });
    else draw.now(); // "own widths" is what the sliders make, not something to go to
  });
  const kernel = choice(
    "wide_kernel",
    [3, 5, 7].map((side) => [String(side), text("window", { side })]),
    (side) => change({ wide_kernel: Number(side) }),
  );
  const quantity = choice(
    "quantity",
    QUANTITIES.map((name) => [name, text(name)]),
    (name) => change({ quantity: name }),
  );

  // --- sliders ---------------------------------------------------------------------------------

  const ranges = model.get("ranges");
  function slider(name, [low, high], step, read, write) {
    // not an <output>: a label belongs to the first such element in it, and not to the slider
    const shown = make("span", { class: "cnn-bench-value", "aria-hidden": "true" });
    const word = make("span", {});
    const input = make("input", {
      type: "range",
      min: String(low),
      max: String(high),
      step: String(step),
      "data-slider": name,
      oninput: () => write(Number(input.value)),
    });
    const title = make("span", { class: "cnn-bench-word" }, word, shown);
    const field = make("label", { class: "cnn-field cnn-bench-slider" }, title, input);
    const update = () => {
      setText(word, text(name, { side: model.get("wide_kernel") }));
      setText(shown, String(read()));
      if (input.value !== String(read())) input.value = String(read());
    };
    return { field, update };
  }
  const single = (name, step) =>
    slider(name, ranges[name], step, () => model.get(name), (value) => change({ [name]: value }));
  const coming = [single("in_channels", 8), single("size", 7)];
  const branches = WIDTHS.map((name, i) =>
    slider(
      name,
      ranges.width,
      8,
      () => model.get("widths")[i],
      (value) => change({ widths: model.get("widths").map((w, j) => (i === j ? value : w)) }),
    ),
  );
  const group = (name, sliders) => {
    const title = make("p", { class: "cnn-title", id: uniqueId(name) }, text(name));
    const rows = sliders.map(({ field }) => field);
    return make("div", { role: "group", "aria-labelledby": title.id, class: "cnn-bench-group" },
      title, make("div", { class: "cnn-bench-sliders" }, ...rows));
  };

  // --- bars: one panel for each form, one scale for both ------------------------------------

  function panel(form) {
    const title = make("p", { class: "cnn-title", id: uniqueId(form) }, text(form));
    const bars = BRANCHES.map((branch) => {
      const name = make("span", { class: "cnn-bench-branch" });
      const reduction = make("span", { class: "cnn-bench-reduction" });
      const rest = make("span", { class: "cnn-bench-rest" });
      const bar = make("span", { class: "cnn-bench-bar", "aria-hidden": "true" }, reduction, rest);
      const number = make("span", { class: "cnn-bench-number" });
      const row = make("li", { "data-branch": branch }, name, bar, number);
      return { branch, row, name, reduction, rest, number };
    });
    const sum = make("p", { class: "cnn-bench-total" });
    const most = make("p", { class: "cnn-bench-most" });
    const list = make("ul", { "aria-labelledby": title.id }, ...bars.map(({ row }) => row));
    const box = make("div", { class: "cnn-bench-panel", "data-form": form }, title, list, sum, most);
    return { form, bars, sum, most, box };
  }
  const panels = FORMS.map(panel);
  const swatch = make("span", { class: "cnn-bench-swatch", "aria-hidden": "true" });
  const legend = make("p", { class: "cnn-bench-legend" }, swatch, text("reduction_part"));

  // --- the whole bill --------------------------------------------------------------------------

  const cells = {};
  const rows = QUANTITIES.map((name) => {
    cells[name] = ["naive", "reduced", "ratio"].map((column) =>
      make("td", { "data-cell": `${name} ${column}` }),
    );
    return make("tr", {}, make("th", { scope: "row" }, text(name)), ...cells[name]);
  });
  const head = ["number", "naive", "reduced", "ratio"].map((key) =>
    make("th", { scope: "col" }, text(key)),
  );
  const bill = make(
    "table",
    { class: "cnn-bench-bill" },
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...rows),
  );
  const warning = make("p", { class: "cnn-bench-warning" }, text("warning"));

  const root = make(
    "div",
    { class: "cnn-widget cnn-bench", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-settings" }, preset.field, kernel.field, quantity.field),
    group("coming_in", coming),
    group("widths", branches),
    make("div", { class: "cnn-bench-panels" }, ...panels.map(({ box }) => box)),
    legend,
    bill,
    warning,
  );
  const say = announcer(root);

  const ratioText = (above, below) => readable(above / below, 2);
  /** Millions with one decimal above a million, else the number itself. */
  const short = (number) =>
    number < 1e6 ? grouped(number) : text("millions", { number: (number / 1e6).toFixed(1) });
  function branchText(branch) {
    if (branch === "pool") return text("branch_pool");
    if (branch === "1x1") return text("n1x1");
    return text("window", { side: branch === "3x3" ? 3 : model.get("wide_kernel") });
  }
  function sayResult() {
    const [bills, unit] = [costs(now()), model.get("quantity")];
    const [naive, reduced] = FORMS.map((form) => total(bills[form], unit));
    say(
      text("spoken", {
        quantity: text(unit),
        naive: short(naive),
        reduced: short(reduced),
        ratio: ratioText(naive, reduced),
      }),
    );
  }

  function drawAll() {
    const bills = costs(now());
    const unit = model.get("quantity");
    preset.select.value = presetOf(now(), presets) ?? "own";
    kernel.select.value = String(model.get("wide_kernel"));
    quantity.select.value = unit;
    for (const { update } of [...coming, ...branches]) update();

    const largest = Math.max(
      ...FORMS.flatMap((form) => BRANCHES.map((name) => bills[form][name][unit])),
    );
    for (const { form, bars, sum, most } of panels) {
      const found = payer(bills[form], unit);
      for (const { branch, row, name, reduction, rest, number } of bars) {
        const cost = bills[form][branch];
        const part = cost.reduction[unit];
        setText(name, branchText(branch));
        setText(number, short(cost[unit]));
        reduction.style.width = `${(100 * part) / largest}%`;
        rest.style.width = `${(100 * (cost[unit] - part)) / largest}%`;
        row.classList.toggle("cnn-bench-payer", found?.branch === branch);
      }
      setText(sum, `${text("total")}: ${grouped(total(bills[form], unit))}`);
      const percent = found && Math.round(100 * found.share);
      const line = found && text("most", { branch: branchText(found.branch), percent });
      setText(most, line ?? text("free"));
    }
    for (const name of QUANTITIES) {
      const [naive, reduced] = FORMS.map((form) => total(bills[form], name));
      setText(cells[name][0], grouped(naive));
      setText(cells[name][1], grouped(reduced));
      setText(cells[name][2], text("times", { ratio: ratioText(naive, reduced) }));
    }
    legend.hidden = unit === "maps";
    warning.hidden = total(bills.naive, "macs") >= total(bills.reduced, "macs");
    setAttribute(root, "data-quantity", unit);
  }

  const draw = onceATurn(drawAll);
  draw.now = drawAll;
  const traits = ["in_channels", "size", "widths", "wide_kernel", "quantity"];
  for (const trait of traits) model.on(`change:${trait}`, draw);
  drawAll();
  el.append(root);

  return () => {
    say.stop();
    for (const trait of traits) model.off(`change:${trait}`, draw);
  };
}

export default { render };
