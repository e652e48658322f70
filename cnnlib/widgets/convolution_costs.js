// The bill of a convolution of every kind, and of MobileNet at every width and resolution.
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

export const KINDS = ["full", "grouped", "separable", "depthwise", "pointwise"];
const BYTES = 4; // of a number in float32

/** { macs, parameters, moved } of one convolution of C maps into C that keeps their size. */
function single(channels, size, kernel, groups) {
  const parameters = (channels * channels * kernel * kernel) / groups;
  return {
    macs: parameters * size * size,
    parameters,
    moved: 2 * channels * size * size + parameters,
  };
}

/**
 * What a kind of convolution costs for one image: { macs, parameters, moved, intensity }; of the
 * separable one also what of each its depthwise part takes, in `first`.
 */
export function costOf(kind, { channels, size, kernel, groups }) {
  const depthwise = single(channels, size, kernel, channels);
  const pointwise = single(channels, size, 1, 1);
  const cost = {
    full: () => single(channels, size, kernel, 1),
    grouped: () => single(channels, size, kernel, groups),
    depthwise: () => depthwise,
    pointwise: () => pointwise,
    separable: () => ({
      macs: depthwise.macs + pointwise.macs,
      parameters: depthwise.parameters + pointwise.parameters,
      moved: depthwise.moved + pointwise.moved,
      first: depthwise,
    }),
  }[kind]();
  return { ...cost, intensity: cost.macs / (BYTES * cost.moved) };
}

/** The stored microseconds of a kind for one image, or null. */
export function timeOf(kind, { channels, size, kernel, groups, order, batch }, times, choices) {
  const table = times.find(
    (t) =>
      t.kind === kind &&
      t.kernel === (kind === "pointwise" ? 1 : kernel) &&
      t.groups === (kind === "grouped" ? groups : null) &&
      t.layout === order &&
      t.batch === batch,
  );
  const row = table?.microseconds[choices.size.indexOf(size)];
  return row?.[choices.channels.indexOf(channels)] ?? null;
}

/** { macs, parameters } of MobileNet: table 1 as (width, stride), 1,000 classes. */
export function networkOf(rows, alpha, side, classes = 1000) {
  const widths = rows.map(([width]) => Math.max(1, Math.floor(width * alpha)));
  let size = Math.ceil(side / rows[0][1]);
  let parameters = 27 * widths[0] + 2 * widths[0]; // 3 x 3 weights of 3 colours; scale and shift
  let macs = 27 * widths[0] * size * size;
  rows.slice(1).forEach(([, stride], i) => {
    const [before, width] = [widths[i], widths[i + 1]];
    size = Math.ceil(size / stride);
    macs += (9 * before + before * width) * size * size;
    parameters += 9 * before + 2 * before + before * width + 2 * width;
  });
  const last = widths.at(-1);
  return { macs: macs + last * classes, parameters: parameters + (last + 1) * classes };
}

/** A whole number with commas, as the book prints them: 128049152 -> "128,049,152". */
export function withCommas(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A positive number with three digits, without an exponent: 8.77, 87.7, 877, 8770. */
export function threeDigits(number) {
  if (number >= 100) return withCommas(Math.round(number));
  return readable(number, number >= 10 ? 1 : 2);
}

// ------------------------------------------------------------------------------------- the page

function render({ model, el }) {
  const text = words(model);
  const choices = model.get("choices");
  const NAMES = ["channels", "size", "kernel", "groups", "order", "batch"];
  const now = () => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));
  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
    draw.now();
    sayResult();
  }

  // --- controls --------------------------------------------------------------------------------

  function choice(name, word, number = false) {
    const select = make("select", {
      "data-setting": name,
      onchange: () => change({ [name]: number ? Number(select.value) : select.value }),
    });
    for (const value of choices[name]) {
      select.append(make("option", { value: String(value) }, word(value)));
    }
    const field = make("label", { class: "cnn-field" }, make("span", {}, text(name)), select);
    return { field, update: () => (select.value = String(model.get(name))) };
  }
  /** A slider: of the places of a list, or of a range of numbers with a step. */
  function slider(name, { list, low, high, step, shown }) {
    const value = make("span", { class: "cnn-costs-value", "aria-hidden": "true" });
    const attributes = list
      ? { min: "0", max: String(list.length - 1), step: "1" }
      : { min: String(low), max: String(high), step: String(step) };
    const input = make("input", {
      type: "range",
      ...attributes,
      "data-slider": name,
      oninput: () => {
        const place = Number(input.value);
        change({ [name]: list ? list[place] : place });
      },
    });
    const title = make("span", { class: "cnn-costs-word" }, make("span", {}, text(name)), value);
    const field = make("label", { class: "cnn-field cnn-costs-slider" }, title, input);
    const update = () => {
      const current = model.get(name);
      setText(value, shown(current));
      setAttribute(input, "aria-valuetext", shown(current));
      const place = String(list ? list.indexOf(current) : current);
      if (input.value !== place) input.value = place;
    };
    return { field, update };
  }
  const view = choice("view", (name) => text(`view_${name}`));
  const settings = [
    choice("quantity", (name) => text(name)),
    choice("kernel", (side) => text("window", { side }), true),
    choice("groups", (number) => String(number), true),
    choice("order", (name) => text(`order_${name}`)),
    choice("batch", (number) => String(number), true),
  ];
  const layerSliders = [
    slider("channels", { list: choices.channels, shown: String }),
    slider("size", { list: choices.size, shown: (side) => text("window", { side }) }),
  ];
  const [lowAlpha, highAlpha] = choices.alpha;
  const [lowSide, highSide] = choices.side;
  const networkSliders = [
    slider("alpha", {
      low: lowAlpha,
      high: highAlpha,
      step: 0.05,
      shown: (value) => readable(value, 2),
    }),
    slider("side", {
      low: lowSide,
      high: highSide,
      step: 32,
      shown: (side) => `${side}, ${text("resolution", { rho: readable(side / 224, 3) })}`,
    }),
  ];

  // --- one layer -------------------------------------------------------------------------------

  function bar(name, act) {
    const word = make("span", { class: "cnn-costs-kind" });
    const first = make("span", { class: "cnn-costs-first" });
    const rest = make("span", { class: "cnn-costs-rest" });
    const track = make("span", { class: "cnn-costs-bar", "aria-hidden": "true" }, first, rest);
    const number = make("span", { class: "cnn-costs-number" });
    const row = make("li", { [act]: name }, word, track, number);
    return { name, row, word, first, rest, number };
  }
  const bars = KINDS.map((kind) => bar(kind, "data-kind"));
  const barsTitle = make("p", { class: "cnn-title", id: uniqueId("costs") });
  const list = make("ul", { "aria-labelledby": barsTitle.id }, ...bars.map(({ row }) => row));
  const swatch = make("span", { class: "cnn-costs-swatch", "aria-hidden": "true" });
  const legend = make("p", { class: "cnn-costs-legend" }, swatch, text("part"));
  const verdict = make("p", { class: "cnn-costs-verdict" });
  const formula = make("p", { class: "cnn-costs-formula" });
  const cells = {};
  const bill = make(
    "table",
    { class: "cnn-costs-bill" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ...["kind", ...choices.quantity.map((name) => `column_${name}`)].map((key) =>
          make("th", { scope: "col" }, text(key)),
        ),
      ),
    ),
    make(
      "tbody",
      {},
      ...KINDS.map((kind) => {
        const head = make("th", { scope: "row" });
        const row = choices.quantity.map((name) => make("td", { "data-cell": `${kind} ${name}` }));
        cells[kind] = { head, row };
        return make("tr", {}, head, ...row);
      }),
    ),
  );
  const scroll = make("div", { class: "cnn-scroll" }, bill);
  const scroller = scrollable(scroll, text("name"));
  const layer = make(
    "div",
    { "data-view": "layer" },
    make("div", { class: "cnn-costs-settings" }, ...settings.map(({ field }) => field)),
    make("div", { class: "cnn-costs-sliders" }, ...layerSliders.map(({ field }) => field)),
    make("div", { class: "cnn-costs-panel" }, barsTitle, list, legend),
    verdict,
    formula,
    scroll,
  );

  // --- the whole network -----------------------------------------------------------------------

  const shares = ["network_macs", "network_parameters", "square"].map((name) => {
    const made = bar(name, "data-share");
    setText(made.word, text(name));
    return made;
  });
  const sharesTitle = make("p", { class: "cnn-title", id: uniqueId("shares") }, text("share"));
  const shareList = make(
    "ul",
    { "aria-labelledby": sharesTitle.id },
    ...shares.map(({ row }) => row),
  );
  const counted = make("p", { class: "cnn-costs-counted" });
  const accuracy = make("p", { class: "cnn-costs-accuracy" });
  const networkTime = make("p", { class: "cnn-costs-network-time" });
  const network = make(
    "div",
    { "data-view": "network" },
    make("div", { class: "cnn-costs-sliders" }, ...networkSliders.map(({ field }) => field)),
    make("div", { class: "cnn-costs-panel" }, sharesTitle, shareList),
    counted,
    accuracy,
    networkTime,
  );
  const [processor, torch] = model.get("device");
  const device = make(
    "p",
    { class: "cnn-costs-device" },
    text("device", { device: processor, torch }),
  );

  const root = make(
    "div",
    { class: "cnn-widget cnn-costs", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-costs-settings" }, view.field),
    layer,
    network,
    device,
  );
  const say = announcer(root);

  // --- drawing ---------------------------------------------------------------------------------

  const kindText = (kind) => text(kind, { groups: model.get("groups") });
  const short = (number) =>
    number < 1e6
      ? text("number", { number: withCommas(number) })
      : text("millions", { number: threeDigits(number / 1e6) });
  /** What the bars show of a kind: { value, first, shown }; value null where nothing is known. */
  function quantityOf(kind, unit) {
    const cost = costOf(kind, now());
    const time = timeOf(kind, now(), model.get("times"), choices);
    if (unit === "time" || unit === "speed") {
      if (time === null) return { value: null, shown: text("none") };
      if (unit === "time") {
        return { value: time, shown: text("microseconds", { number: threeDigits(time) }) };
      }
      const speed = cost.macs / time / 1000;
      return { value: speed, shown: text("gmacs", { number: threeDigits(speed) }) };
    }
    const value = cost[unit];
    if (unit === "intensity") return { value, shown: threeDigits(value) };
    return { value, first: cost.first?.[unit] ?? 0, shown: short(value) };
  }
  function plain(kind, unit) {
    const { value } = quantityOf(kind, unit);
    if (value === null) return text("none");
    return unit === "macs" || unit === "parameters" ? withCommas(value) : threeDigits(value);
  }
  function setBar({ first, rest, number }, value, part, largest, shown) {
    first.style.width = `${(100 * (part ?? 0)) / largest}%`;
    rest.style.width = `${(100 * ((value ?? 0) - (part ?? 0))) / largest}%`;
    setText(number, shown);
  }

  function drawLayer() {
    const unit = model.get("quantity");
    const found = KINDS.map((kind) => quantityOf(kind, unit));
    const largest = Math.max(...found.map(({ value }) => value ?? 0)) || 1;
    setText(barsTitle, text(unit));
    bars.forEach((made, i) => {
      setText(made.word, kindText(made.name));
      setBar(made, found[i].value, found[i].first, largest, found[i].shown);
    });
    legend.hidden = unit !== "macs" && unit !== "parameters";
    for (const kind of KINDS) {
      setText(cells[kind].head, kindText(kind));
      choices.quantity.forEach((name, i) => setText(cells[kind].row[i], plain(kind, name)));
    }
    const ratio = (name) => {
      const [full, separable] = ["full", "separable"].map((kind) => quantityOf(kind, name).value);
      return full === null || separable === null ? null : full / separable;
    };
    const [macs, time] = [ratio("macs"), ratio("time")];
    setText(
      verdict,
      time === null
        ? `${text("verdict_counts", { macs: threeDigits(macs) })} ${text("unmeasured")}`
        : text("verdict", { macs: threeDigits(macs), time: threeDigits(time), device: processor }),
    );
    const [channels, kernel] = [model.get("channels"), model.get("kernel")];
    setText(formula, text("formula", { value: readable(1 / channels + 1 / kernel ** 2, 4) }));
  }

  function drawNetwork() {
    const [alpha, side] = [model.get("alpha"), model.get("side")];
    const rows = model.get("rows");
    const [base, here] = [networkOf(rows, 1, 224), networkOf(rows, alpha, side)];
    const values = [
      here.macs / base.macs,
      here.parameters / base.parameters,
      (alpha * side / 224) ** 2,
    ];
    shares.forEach((made, i) => {
      const number = (100 * values[i]).toFixed(1);
      setBar(made, values[i], 0, 1, text("percent", { number }));
    });
    setText(
      counted,
      `${withCommas(here.macs)} ${text("network_macs")}, ` +
        `${withCommas(here.parameters)} ${text("network_parameters")}`,
    );
    const grid = model.get("grid");
    const at = (width, pixels) =>
      grid.find((n) => Math.abs(n.alpha - width) < 1e-9 && n.side === pixels);
    const [one, cell] = [at(1, 224), at(alpha, side)];
    const known = cell?.accuracy ?? null;
    const printed = known === null ? null : text("accuracy", { accuracy: known.toFixed(1) });
    setText(accuracy, printed ?? text("no_accuracy"));
    if (!cell) {
      setText(networkTime, text("no_network_time"));
      return;
    }
    const { plain: eager, optimized } = cell.milliseconds;
    const told = text("network_time", {
      plain: threeDigits(eager),
      optimized: threeDigits(optimized),
    });
    const compared = text("network_ratio", {
      macs: threeDigits(base.macs / here.macs),
      time: threeDigits(one.milliseconds.optimized / optimized),
    });
    setText(networkTime, cell === one ? told : `${told} ${compared}`);
  }

  function sayResult() {
    if (model.get("view") === "network") {
      say(`${counted.textContent}. ${accuracy.textContent} ${networkTime.textContent}`);
      return;
    }
    const unit = model.get("quantity");
    const value = ["full", "separable"].map((kind) =>
      text("spoken", { kind: kindText(kind), value: quantityOf(kind, unit).shown }),
    );
    say(`${text(unit)}. ${value.join(", ")}. ${verdict.textContent}`);
  }

  function drawAll() {
    const shown = model.get("view");
    layer.hidden = shown !== "layer";
    network.hidden = shown !== "network";
    for (const { update } of [view, ...settings, ...layerSliders, ...networkSliders]) update();
    scroller.update();
    drawLayer();
    drawNetwork();
    setAttribute(root, "data-quantity", model.get("quantity"));
  }

  const draw = onceATurn(drawAll);
  draw.now = drawAll;
  const traits = [...NAMES, "quantity", "alpha", "side", "view"];
  for (const trait of traits) model.on(`change:${trait}`, draw);
  drawAll();
  el.append(root);

  return () => {
    say.stop();
    scroller.stop();
    for (const trait of traits) model.off(`change:${trait}`, draw);
  };
}

export default { render };
