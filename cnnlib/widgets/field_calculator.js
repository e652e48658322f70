// The receptive field calculator: a stack of layers, what one unit sees, and what that costs.
// The functions above the line are plain arithmetic (tested against cnnlib.inspection).
import {
  announcer,
  clamp,
  inkOf,
  make,
  onceATurn,
  onThemeChange,
  scrollable,
  setAttribute,
  setText,
  setUsable,
  uniqueId,
  words,
} from "./common.js";

/**
 * What every layer makes and costs, for one image of `side` pixels with `channels` maps:
 * { side, maps, field, jump, start, weights, macs }; a side below 1 means that it does not fit.
 */
export function costs(stack, channels, side) {
  let [maps, field, jump, start] = [channels, 1, 1, 0];
  return stack.map((layer) => {
    const span = layer.dilation * (layer.kernel - 1);
    field += span * jump;
    start -= layer.padding * jump;
    jump *= layer.stride;
    side = Math.floor((side + 2 * layer.padding - span - 1) / layer.stride) + 1;
    let weights = 0;
    if (layer.kind === "conv") {
      weights = (layer.kernel ** 2 * maps * layer.maps) / layer.groups;
      maps = layer.maps;
    }
    return { side, maps, field, jump, start, weights, macs: weights * Math.max(side, 0) ** 2 };
  });
}

/** The one convolution from the input to the last maps that sees as much, with the same stride. */
export function singleKernel(rows, channels) {
  const { field, jump, maps, side } = rows.at(-1);
  const weights = field ** 2 * channels * maps;
  return { field, jump, weights, macs: weights * Math.max(side, 0) ** 2 };
}

/** Along one side: in how many ways each pixel of a unit's field reaches the unit. */
export function ways(stack) {
  let counts = [1];
  for (const { kernel, stride, dilation } of [...stack].reverse()) {
    const spread = new Array((counts.length - 1) * stride + (kernel - 1) * dilation + 1).fill(0);
    counts.forEach((count, place) => {
      for (let tap = 0; tap < kernel; tap++) spread[place * stride + tap * dilation] += count;
    });
    counts = spread;
  }
  return counts;
}

/** The side of the smallest middle square in which half of all ways begin. */
export function halfSquare(counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  for (let inner = counts.length % 2 || 2; inner < counts.length; inner += 2) {
    const first = (counts.length - inner) / 2;
    const part = counts.slice(first, first + inner).reduce((sum, count) => sum + count, 0);
    if ((part / total) ** 2 >= 0.5) return inner;
  }
  return counts.length;
}

/**
 * The field of one unit of the last layer, and inside it those of one unit of each earlier layer,
 * the one under its window that is nearest to the middle: [{ first, field }], in pixels.
 */
export function nested(stack) {
  const rows = costs(stack, 1, 0);
  const squares = [];
  let first = 0;
  for (let at = stack.length - 1; at >= 0; at--) {
    squares.unshift({ first, field: rows[at].field });
    const [inner, jump] = at > 0 ? [rows[at - 1].field, rows[at - 1].jump] : [1, 1];
    const apart = stack[at].dilation * jump;
    const aim = ((rows.at(-1).field - inner) / 2 - first) / apart;
    first += clamp(Math.round(aim), 0, stack[at].kernel - 1) * apart;
  }
  return squares;
}

/** 27 and 49 for three 3×3 beside one 7×7; null where widths, strides or groups get in the way. */
export function perSquaredMaps(stack, channels, field) {
  const plain = ({ kind, stride, maps, groups }) =>
    kind === "conv" && stride === 1 && maps === channels && groups === 1;
  if (!stack.every(plain)) return null;
  return { stack: stack.reduce((sum, { kernel }) => sum + kernel ** 2, 0), single: field ** 2 };
}

/** A whole number with commas; large ones short, as 15.3 G. */
export function large(value) {
  for (const [unit, worth] of [
    ["G", 1e9],
    ["M", 1e6],
  ]) {
    if (value >= 100 * worth) return `${Math.round(value / worth).toLocaleString("en")} ${unit}`;
    if (value >= worth) return `${(value / worth).toPrecision(3)} ${unit}`;
  }
  return value.toLocaleString("en");
}

/** How many times as much, in two digits: 0.55, 4.5, 0.0012. */
export function times(part, whole) {
  return String(Number((part / whole).toPrecision(2)));
}

/** The name of the preset that a stack equals, or null. */
export function presetOf(stack, channels, side, presets) {
  const key = (layers) =>
    JSON.stringify(
      layers.map((l) => [l.kind, l.kernel, l.stride, l.padding, l.dilation, l.maps, l.groups]),
    );
  const same = ([, preset]) =>
    preset.channels === channels && preset.side === side && key(preset.layers) === key(stack);
  return Object.entries(presets).find(same)?.[0] ?? null;
}

// ------------------------------------------------------------------------------------- the page

const MOST_LAYERS = 24;
const KERNELS = [1, 2, 3, 5, 7, 9, 11];
const STEPS = [1, 2, 4];
const DILATIONS = [1, 2, 4, 8];
const CHANNELS = [16, 64, 128, 256, 512];
const SIDES = [28, 56, 112, 224, 448];
const FINEST_GRID = 40; // pixels along a side up to which lines between them help
const SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function render({ model, el }) {
  const text = words(model);
  const get = (name) => model.get(name);
  const change = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
    redraw.now();
  };
  const current = () => clamp(get("chosen"), 0, get("stack").length - 1);
  const rowsOf = () => costs(get("stack"), get("channels"), get("side"));

  // --- changing the stack ----------------------------------------------------------------------

  const half = ({ kernel, dilation }) => Math.floor((dilation * (kernel - 1)) / 2);
  const same = (layer) => layer.padding === half(layer);

  function changeLayer(values) {
    const stack = get("stack").map((layer, at) => {
      if (at !== current()) return layer;
      const next = { ...layer, ...values };
      // Padding goes with the kernel, unless the reader has just set it.
      if (!("padding" in values) && same(layer) && layer.padding > 0) next.padding = half(next);
      if (next.kind === "conv") next.maps ??= rowsOf()[at].maps;
      else Object.assign(next, { maps: null, dilation: 1, groups: 1 });
      return next;
    });
    change({ stack });
  }
  function changeKind(kind) {
    if (kind === "pool") changeLayer({ kind, kernel: 2, stride: 2, padding: 0 });
    else changeLayer({ kind, kernel: 3, stride: 1, padding: 1 });
  }
  function add() {
    const stack = [...get("stack")];
    if (stack.length >= MOST_LAYERS) return;
    const { maps } = rowsOf()[current()];
    const layer = { kind: "conv", kernel: 3, stride: 1, padding: 1, dilation: 1, maps, groups: 1 };
    stack.splice(current() + 1, 0, layer);
    change({ stack, chosen: current() + 1 });
    saySelf();
  }
  function remove() {
    if (get("stack").length < 2) return;
    const stack = get("stack").filter((_, at) => at !== current());
    change({ stack, chosen: Math.min(current(), stack.length - 1) });
    saySelf();
  }
  function goTo(at, focus = false) {
    change({ chosen: clamp(at, 0, get("stack").length - 1) });
    if (focus) list.querySelectorAll("button")[current()].focus();
    saySelf();
  }

  // --- controls --------------------------------------------------------------------------------

  function choice(name, onchoose) {
    const select = make("select", { "data-setting": name, onchange: () => onchoose(select.value) });
    const label = make("label", { class: "cnn-field" }, text(name), select);
    const options = (pairs, chosen) => {
      const key = JSON.stringify(pairs);
      if (select.dataset.options !== key) {
        select.dataset.options = key;
        select.replaceChildren(...pairs.map(([value, shown]) => make("option", { value }, shown)));
      }
      select.value = chosen;
    };
    return { label, select, options };
  }
  const withPresent = (list, present) =>
    (list.includes(present) ? list : [...list, present].sort((a, b) => a - b)).map((n) => [n, n]);

  const settings = {
    preset: choice("preset", (name) => {
      const preset = get("presets")[name];
      if (!preset) return;
      const { layers, channels, side } = preset;
      change({ stack: layers, channels, side, chosen: layers.length - 1 });
      saySelf();
    }),
    channels: choice("channels", (value) => {
      const channels = Number(value);
      if (!channels) return;
      const widen = (layer) => (layer.kind === "conv" ? { ...layer, maps: channels } : layer);
      change({ channels, stack: get("stack").map((layer) => ({ ...widen(layer), groups: 1 })) });
    }),
    side: choice("side", (value) => change({ side: Number(value) })),
  };
  const editor = {
    kind: choice("kind", changeKind),
    kernel: choice("kernel", (value) => changeLayer({ kernel: Number(value) })),
    stride: choice("stride", (value) => changeLayer({ stride: Number(value) })),
    dilation: choice("dilation", (value) => changeLayer({ dilation: Number(value) })),
    padding: choice("padding", (value) => changeLayer({ padding: Number(value) })),
  };
  const button = (name, act) =>
    make("button", { type: "button", class: `cnn-${name}`, onclick: act }, text(name));
  const addButton = button("add", add);
  const removeButton = button("remove", remove);
  const step = (name, path, aim) => {
    const icon = draw("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
    icon.append(draw("path", { d: path }));
    const attributes = {
      type: "button",
      class: `cnn-${name}`,
      "aria-label": text(name),
      title: text(name),
      onclick: () => goTo(aim()),
    };
    return make("button", attributes, icon);
  };
  const steps = [
    step("first", "M4 3v10M12 3L7 8l5 5", () => 0),
    step("previous", "M10 3L5 8l5 5", () => current() - 1),
    step("next", "M6 3l5 5-5 5", () => current() + 1),
    step("last", "M12 3v10M4 3l5 5-5 5", () => get("stack").length - 1),
  ];
  const counter = make("span", { class: "cnn-counter" });

  // --- the picture -----------------------------------------------------------------------------

  const canvas = make("canvas", { role: "img" });
  const overlay = draw("svg", { "aria-hidden": "true" });
  const picture = make("div", { class: "cnn-picture" }, canvas, overlay);
  const sees = make("p", { class: "cnn-sees" });

  function drawPicture() {
    const stack = get("stack");
    const part = stack.slice(0, current() + 1);
    const whole = nested(stack);
    const squares = nested(part);
    // All steps share one view, as wide as the whole stack sees, so that growth is growth.
    const view = Math.max(whole.at(-1).field + 2, 9);
    const origin = whole[current()].first + Math.floor((view - whole.at(-1).field) / 2);
    const counts = ways(part);

    canvas.width = canvas.height = view;
    const context = canvas.getContext("2d");
    const [red, green, blue] = inkOf(picture);
    const image = context.createImageData(view, view);
    const most = Math.max(...counts);
    for (let row = 0; row < counts.length; row++) {
      for (let column = 0; column < counts.length; column++) {
        const share = (counts[row] / most) * (counts[column] / most);
        const at = 4 * ((origin + row) * view + origin + column);
        const alpha = share > 0 ? 28 + 200 * share : 0;
        image.data.set([red, green, blue, alpha], at);
      }
    }
    context.putImageData(image, 0, 0);

    overlay.setAttribute("viewBox", `0 0 ${view} ${view}`);
    overlay.replaceChildren();
    if (view <= FINEST_GRID) {
      const lines = Array.from({ length: view + 1 }, (_, n) => `M${n} 0V${view}M0 ${n}H${view}`);
      overlay.append(draw("path", { class: "cnn-lines", d: lines.join("") }));
    }
    squares.forEach(({ first, field }, at) =>
      overlay.append(
        draw("rect", {
          class: at === current() ? "cnn-square cnn-outer" : "cnn-square",
          x: origin + first,
          y: origin + first,
          width: field,
          height: field,
        }),
      ),
    );

    const row = rowsOf()[current()];
    const middle = counts[Math.floor((counts.length - 1) / 2)] ** 2;
    const shown = { field: row.field, number: current() + 1, jump: row.jump };
    const touched = counts.filter((count) => count > 0).length ** 2;
    setAttribute(
      canvas,
      "aria-label",
      text("picture", { ...shown, middle: large(middle), corner: large(counts[0] ** 2) }),
    );
    const sentences = [text("sees", shown)];
    if (touched < row.field ** 2) {
      const pixels = row.field ** 2;
      sentences.push(text("holes", { touched: large(touched), pixels: large(pixels) }));
    } else if (row.field > 1) sentences.push(text("half", { inner: halfSquare(counts) }));
    setText(sees, sentences.join(" "));
  }

  // --- the layers ------------------------------------------------------------------------------

  const help = make("p", { class: "cnn-spoken", id: uniqueId("help") }, text("help"));
  const heads = ["layer", "output", "field", "weights", "macs"].map((key) =>
    make("th", { scope: "col" }, text(key)),
  );
  const list = make("tbody");
  const foot = make("tr");
  const table = make(
    "table",
    { class: "cnn-layers", "aria-label": text("stack"), "aria-describedby": help.id },
    make("thead", {}, make("tr", {}, ...heads)),
    list,
    make("tfoot", {}, foot),
  );
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const aims = {
      ArrowUp: current() - 1,
      ArrowDown: current() + 1,
      Home: 0,
      End: get("stack").length - 1,
    };
    if (!(event.key in aims)) return;
    event.preventDefault();
    goTo(aims[event.key], true);
  });

  function nameOf(layer) {
    const parts = [text(layer.kind, layer)];
    const usual = layer.kind === "pool" ? layer.kernel : 1;
    if (layer.stride !== usual) parts.push(text("stride_mark", layer));
    if (layer.dilation > 1) parts.push(text("dilation_mark", layer));
    if (layer.groups > 1) parts.push(text("groups_mark", layer));
    if (layer.kind === "conv" && layer.kernel > 1 && layer.padding === 0)
      parts.push(text("padding_mark", layer));
    return parts.join(", ");
  }
  const cell = (shown) => make("td", {}, shown);

  function drawLayers(rows) {
    const stack = get("stack");
    while (list.children.length > stack.length) list.lastChild.remove();
    while (list.children.length < stack.length) {
      const at = list.children.length;
      const press = make("button", { type: "button", onclick: () => goTo(at) });
      list.append(make("tr", {}, make("th", { scope: "row" }, press)));
    }
    [...list.children].forEach((line, at) => {
      const press = line.querySelector("button");
      setText(press, nameOf(stack[at]));
      setAttribute(press, "aria-pressed", at === current() ? "true" : "false");
      setAttribute(press, "tabindex", at === current() ? "0" : "-1");
      const { side, maps, field, weights, macs } = rows[at];
      while (line.children.length > 1) line.lastChild.remove();
      line.append(
        cell(side < 1 ? "–" : text("shape", { maps, side })),
        cell(text("square", { side: field })),
        cell(stack[at].kind === "conv" ? large(weights) : "–"),
        cell(stack[at].kind === "conv" ? large(macs) : "–"),
      );
    });
    const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
    foot.replaceChildren(
      make("th", { scope: "row" }, text("total")),
      cell(""),
      cell(text("square", { side: rows.at(-1).field })),
      cell(large(sum("weights"))),
      cell(large(sum("macs"))),
    );
  }

  // --- beside one kernel -----------------------------------------------------------------------

  const comparison = make("table", { class: "cnn-beside" });
  const verdict = make("p", { class: "cnn-verdict" });
  const formula = make("p", { class: "cnn-formula" });
  const problem = make("p", { class: "cnn-problem", role: "alert" });

  function drawBeside(rows) {
    const stack = get("stack");
    const one = singleKernel(rows, get("channels"));
    const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
    const [weights, macs] = [sum("weights"), sum("macs")];
    const layers = stack.filter(({ kind }) => kind === "conv").length;
    const line = (name, ...cells) =>
      make("tr", {}, make("th", { scope: "row" }, name), ...cells.map(cell));
    const head = ["", text("weights"), text("macs"), text("nonlinearities")].map((shown) =>
      shown ? make("th", { scope: "col" }, shown) : make("td"),
    );
    comparison.replaceChildren(
      make("caption", {}, text("beside")),
      make("thead", {}, make("tr", {}, ...head)),
      make(
        "tbody",
        {},
        line(text("your_stack"), large(weights), large(macs), String(layers)),
        line(text("single", one), large(one.weights), large(one.macs), "1"),
      ),
    );
    const shares = { weights: times(weights, one.weights), macs: times(macs, one.macs) };
    setText(verdict, `${text("share", shares)} ${text("note")}`);
    const square = perSquaredMaps(stack, get("channels"), one.field);
    formula.hidden = !square;
    if (square) setText(formula, text("formula", square));
  }

  // --- putting it together ---------------------------------------------------------------------

  const legend = make("p", { class: "cnn-title" });
  const edit = make(
    "div",
    { class: "cnn-edit", role: "group" },
    legend,
    make("div", { class: "cnn-settings" }, ...Object.values(editor).map(({ label }) => label)),
    make("div", { class: "cnn-steps" }, addButton, removeButton),
  );
  const frame = make("div", { class: "cnn-scroll" }, table);
  legend.id = uniqueId("edit");
  edit.setAttribute("aria-labelledby", legend.id);
  const root = make(
    "div",
    { class: "cnn-widget cnn-fields", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-settings" }, ...Object.values(settings).map(({ label }) => label)),
    make(
      "div",
      { class: "cnn-columns" },
      make(
        "div",
        { class: "cnn-shown" },
        picture,
        make("div", { class: "cnn-steps" }, ...steps, counter),
        sees,
      ),
      make("div", { class: "cnn-built" }, help, frame, edit),
    ),
    problem,
    make("div", { class: "cnn-scroll" }, comparison),
    verdict,
    formula,
  );
  // For tests and the curious: what is computed, as numbers.
  root.addEventListener("cnn-costs", ({ detail }) => (detail.rows = rowsOf()));
  const say = announcer(root);
  const saySelf = () => say(`${nameOf(get("stack")[current()])}. ${sees.textContent}`);

  function drawControls() {
    const stack = get("stack");
    const layer = stack[current()];
    const names = Object.keys(get("presets")).map((name) => [name, text(`preset_${name}`)]);
    const preset = presetOf(stack, get("channels"), get("side"), get("presets"));
    const own = preset ? [] : [["own", text("preset_own")]];
    settings.preset.options([...own, ...names], preset ?? "own");
    const even = stack.every(({ kind, maps }) => kind === "pool" || maps === get("channels"));
    const widths = withPresent(CHANNELS, get("channels"));
    const uneven = [["0", text("channels_own")], ...CHANNELS.map((n) => [n, n])];
    settings.channels.options(even ? widths : uneven, even ? String(get("channels")) : "0");
    const sides = withPresent(SIDES, get("side"));
    settings.side.options(
      sides.map(([side]) => [side, text("square", { side })]),
      String(get("side")),
    );

    setText(legend, text("edit", { number: current() + 1 }));
    const kinds = ["conv", "pool"].map((kind) => [kind, text(`kind_${kind}`)]);
    editor.kind.options(kinds, layer.kind);
    for (const [name, list] of [
      ["kernel", KERNELS],
      ["stride", STEPS],
      ["dilation", DILATIONS],
    ]) {
      editor[name].options(withPresent(list, layer[name]), String(layer[name]));
    }
    editor.dilation.label.hidden = layer.kind === "pool";
    const paddings = [
      ["0", text("padding_none")],
      [String(half(layer)), text("padding_half")],
      [String(layer.padding), text("padding_other", layer)],
    ];
    const known = paddings.filter(
      ([value], at) => paddings.findIndex(([other]) => other === value) === at,
    );
    editor.padding.options(known, String(layer.padding));
    setUsable(addButton, stack.length < MOST_LAYERS);
    setUsable(removeButton, stack.length > 1);
    const ends = [current() > 0, current() > 0];
    const more = current() < stack.length - 1;
    steps.forEach((press, at) => setUsable(press, [...ends, more, more][at]));
    setText(counter, text("step", { number: current() + 1, layers: stack.length }));
  }

  function drawAll() {
    const rows = rowsOf();
    drawControls();
    drawLayers(rows);
    drawPicture();
    const wrong = rows.findIndex(({ side }) => side < 1);
    problem.hidden = wrong < 0;
    for (const element of [comparison, verdict, formula]) element.hidden = wrong >= 0;
    if (wrong >= 0) {
      const side = wrong > 0 ? rows[wrong - 1].side : get("side");
      setText(problem, text("too_small", { number: wrong + 1, side }));
    } else drawBeside(rows);
  }

  const redraw = onceATurn(drawAll);
  redraw.now = drawAll;
  const traits = ["stack", "channels", "side", "chosen", "presets", "labels"];
  for (const trait of traits) model.on(`change:${trait}`, redraw);
  el.append(root);
  drawAll();
  const stopTheme = onThemeChange(redraw);
  const scroller = scrollable(frame, text("stack"));
  scroller.update();

  return () => {
    say.stop();
    stopTheme();
    scroller.stop();
    for (const trait of traits) model.off(`change:${trait}`, redraw);
  };
}

export default { render };
