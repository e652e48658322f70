// The convolution stepper: an editable image and kernel, and their convolution one value at a time.
// The functions above the line are plain arithmetic (tested against PyTorch); below it is the page.
import {
  announcer,
  arrowStep,
  clamp,
  make,
  onceATurn,
  readable,
  scrollable,
  setAttribute,
  setText,
  setUsable,
  uniqueId,
  words,
} from "./common.js";

/** Output length along one side, rounded down as PyTorch does; below 1 the kernel does not fit. */
export function outputLength(length, kernel, stride, padding) {
  return Math.floor((length + 2 * padding - kernel) / stride) + 1;
}

/** [rows, columns] of a matrix. */
export function shapeOf(matrix) {
  return [matrix.length, matrix[0].length];
}

/** The image with `padding` rings of zeros around it. */
export function padded(image, padding) {
  const [rows, columns] = shapeOf(image);
  return Array.from({ length: rows + 2 * padding }, (_, r) =>
    Array.from({ length: columns + 2 * padding }, (_, c) => image[r - padding]?.[c - padding] ?? 0),
  );
}

/**
 * The convolution as networks use it (the kernel is not flipped), with the window of each value.
 * Rows of { value, top, left }; no rows where the kernel does not fit.
 */
export function convolve(image, kernel, stride, padding) {
  const x = padded(image, padding);
  const [rows, columns] = [0, 1].map((side) =>
    Math.max(0, outputLength(shapeOf(image)[side], shapeOf(kernel)[side], stride, padding)),
  );
  if (rows === 0 || columns === 0) return [];
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => {
      const [top, left] = [i * stride, j * stride];
      let value = 0;
      kernel.forEach((row, u) =>
        row.forEach((weight, v) => (value += x[top + u][left + v] * weight)),
      );
      return { value, top, left };
    }),
  );
}

/**
 * Which positions along one padded side no window reaches.
 * atEnd: how many at the end, because the stride does not divide evenly; between: whether the
 * stride jumps over some; reaches(position): whether a window covers it.
 */
export function coverage(length, kernel, stride, padding) {
  const steps = outputLength(length, kernel, stride, padding);
  const end = (steps - 1) * stride + kernel;
  return {
    atEnd: length + 2 * padding - end,
    between: steps > 1 && stride > kernel,
    reaches: (position) => position < end && position % stride < kernel,
  };
}

/** A matrix of another size: values keep their place, new cells repeat their nearest neighbour. */
export function resizedImage(image, rows, columns) {
  const [oldRows, oldColumns] = shapeOf(image);
  return Array.from({ length: rows }, (_, r) =>
    Array.from(
      { length: columns },
      (_, c) => image[Math.min(r, oldRows - 1)][Math.min(c, oldColumns - 1)],
    ),
  );
}

/** A kernel of another size around the same centre: the rim is cut off, or filled with zeros. */
export function resizedKernel(kernel, rows, columns) {
  const [oldRows, oldColumns] = shapeOf(kernel);
  const [down, right] = [Math.floor((rows - oldRows) / 2), Math.floor((columns - oldColumns) / 2)];
  return Array.from({ length: rows }, (_, r) =>
    Array.from({ length: columns }, (_, c) => kernel[r - down]?.[c - right] ?? 0),
  );
}

/** The number in a text such as "-1.5", "−1,5" or "1/9"; null where there is none. */
export function parseNumber(text) {
  const plain = text.trim().replace("\u2212", "-").replace(",", ".");
  const match = /^([-+]?(?:\d+\.?\d*|\.\d+))(?:\s*\/\s*(\d+\.?\d*))?$/.exec(plain);
  if (!match) return null;
  const value = Number(match[1]) / (match[2] === undefined ? 1 : Number(match[2]));
  return Number.isFinite(value) ? value : null;
}

/** A factor as a person writes it: 0.25 stays, but 0.111... is a ninth. */
export function factorText(value) {
  const decimals = readable(value);
  if (Math.abs(Number(value.toFixed(3)) - value) < 1e-12) return decimals;
  for (let below = 2; below <= 25; below++) {
    const above = Math.round(value * below);
    if (Math.abs(above / below - value) < 1e-12) return `${readable(above)}/${below}`;
  }
  return decimals;
}

/** The name of the preset that a kernel equals, or null. */
export function presetOf(kernel, presets) {
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  return Object.keys(presets).find((name) => same(presets[name], kernel)) ?? null;
}

/** The products behind one output value, a text per row of the kernel: "1·(−1) + 0·0 + 8·1". */
export function productRows(image, kernel, padding, { top, left }) {
  const x = padded(image, padding);
  const factor = (value) => (value < 0 ? `(${factorText(value)})` : factorText(value));
  return kernel.map((row, u) =>
    row.map((weight, v) => `${factor(x[top + u][left + v])}·${factor(weight)}`).join(" + "),
  );
}

// ------------------------------------------------------------------------------------- the page

const BEAT = 900; // milliseconds per step while playing
const IMAGE_SIDES = [3, 4, 5, 6, 7, 8, 9, 10];
const KERNEL_SIDES = [1, 2, 3, 4, 5];

/** Tints a cell by its value: the number carries the meaning, the tint helps to see the shape. */
function tint(cell, value, largest) {
  const strength = largest > 0 ? Math.round((34 * Math.abs(value)) / largest) : 0;
  const colour = value < 0 ? "--cnn-contrary" : "--cnn-accent";
  cell.style.setProperty(
    "--cnn-tint",
    `color-mix(in srgb, var(${colour}) ${strength}%, transparent)`,
  );
}

function largestOf(matrix) {
  return Math.max(...matrix.flat().map(Math.abs));
}

/** A grid of cells (role grid) of which one is in the tab order; arrow keys lead to the others. */
class Grid {
  constructor(name, makeCell) {
    this.makeCell = makeCell;
    this.cells = [];
    this.shape = [0, 0];
    this.body = make("div", { class: "cnn-grid", role: "grid" });
    this.title = make("p", { class: "cnn-title", id: uniqueId(name) });
    this.body.setAttribute("aria-labelledby", this.title.id);
    this.panel = make(
      "div",
      { class: `cnn-panel cnn-panel-${name}` },
      this.title,
      make("div", { class: "cnn-scroll" }, this.body),
    );
  }

  /** Makes the cells anew where the size has changed; elsewhere they, and the focus, stay. */
  resize(rows, columns, key = "") {
    if (this.key === `${rows} ${columns} ${key}`) return;
    this.key = `${rows} ${columns} ${key}`;
    this.shape = [rows, columns];
    this.cells = Array.from({ length: rows }, (_, r) =>
      Array.from({ length: columns }, (_, c) => this.makeCell(r, c)),
    );
    const row = (cells) => make("div", { role: "row" }, ...cells);
    this.body.replaceChildren(...this.cells.map(row));
    this.body.style.setProperty("--cnn-columns", columns);
  }

  each(visit) {
    this.cells.forEach((row, r) => row.forEach((cell, c) => visit(cell, r, c)));
  }
}

function render({ model, el }) {
  const text = words(model);
  const get = (name) => model.get(name);
  const change = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const sizeText = ([rows, columns]) => text("size", { rows, columns });

  // --- the numbers: image and kernel, each cell an input --------------------------------------

  /** An editable matrix; `border` cells around it (the padding) are shown but not editable. */
  function editable(name) {
    const border = () => (name === "image" ? get("padding") : 0);
    let active = [0, 0];

    function commit(input, r, c, final) {
      const value = parseNumber(input.value);
      setAttribute(input, "aria-invalid", value === null && final ? "true" : null);
      if (value !== null && value !== get(name)[r][c]) {
        const rows = get(name).map((row) => [...row]);
        rows[r][c] = value;
        change({ [name]: rows });
      }
      if (final) {
        if (value === null) say(text("not_a_number", { text: input.value }));
        input.value = factorText(get(name)[r][c]);
        setAttribute(input, "aria-invalid", null);
      }
    }

    const grid = new Grid(name, (row, column) => {
      const [r, c] = [row - border(), column - border()];
      const [rows, columns] = shapeOf(get(name));
      const place = { row: row + 1, column: column + 1 };
      if (r < 0 || c < 0 || r >= rows || c >= columns) {
        const label = text("padding_cell", place);
        return make(
          "div",
          { role: "gridcell", class: "cnn-cell cnn-padding", "aria-label": label },
          "0",
        );
      }
      const input = make("input", {
        type: "text",
        inputmode: "text", // "numeric" keyboards of phones lack the minus sign
        autocomplete: "off",
        spellcheck: "false",
        tabindex: "-1",
        "aria-label": text("cell", place),
        onfocus: () => {
          active = [r, c];
          draw();
          input.select();
        },
        oninput: () => commit(input, r, c, false),
        onchange: () => commit(input, r, c, true),
        onblur: () => commit(input, r, c, true),
        onkeydown: (event) => {
          const aim = arrowStep(event.key, [r, c], shapeOf(get(name)));
          if (!aim || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
          event.preventDefault();
          grid.inputs[aim[0]][aim[1]].focus();
        },
      });
      grid.inputs[r] ??= [];
      grid.inputs[r][c] = input;
      const weight = make("span", { class: "cnn-weight", "aria-hidden": "true" });
      return make("div", { role: "gridcell", class: "cnn-cell" }, input, weight);
    });
    grid.inputs = [];

    grid.update = () => {
      const matrix = get(name);
      const [rows, columns] = shapeOf(matrix);
      const key = `padding ${border()}`;
      if (grid.key !== `${rows + 2 * border()} ${columns + 2 * border()} ${key}`) grid.inputs = [];
      grid.resize(rows + 2 * border(), columns + 2 * border(), key);
      active = [clamp(active[0], 0, rows - 1), clamp(active[1], 0, columns - 1)];
      grid.inputs.forEach((line, r) =>
        line.forEach((input, c) => {
          const shown = factorText(matrix[r][c]);
          // The number that is being typed stays as it is typed.
          if (document.activeElement !== input && input.value !== shown) input.value = shown;
          setAttribute(input, "tabindex", active[0] === r && active[1] === c ? "0" : "-1");
          input.classList.toggle("cnn-long", shown.length > 4);
          tint(input.parentElement, matrix[r][c], largestOf(matrix));
        }),
      );
      const title = border() > 0 ? "padded_image" : name;
      setText(grid.title, `${text(title)}, ${sizeText(grid.shape)}`);
    };
    return grid;
  }

  const image = editable("image");
  const frame = make("div", { class: "cnn-window", "aria-hidden": "true" });
  image.body.parentElement.append(frame);
  const kernel = editable("kernel");

  // --- the output: tap a cell or use the arrow keys --------------------------------------------

  const output = new Grid("output", (r, c) =>
    make("div", {
      role: "gridcell",
      class: "cnn-cell cnn-result",
      onclick: () => {
        stop();
        goTo(r * output.shape[1] + c);
      },
    }),
  );
  const keysHelp = make("span", { id: uniqueId("keys"), class: "cnn-spoken" });
  output.panel.append(keysHelp);
  output.body.setAttribute("aria-describedby", keysHelp.id);
  output.body.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = output.shape[1];
    const here = [Math.floor(current() / columns), current() % columns];
    const aim = arrowStep(event.key, here, output.shape);
    if (aim) goTo(aim[0] * columns + aim[1]);
    else if (event.key === "Home") goTo(0);
    else if (event.key === "End") goTo(steps() - 1);
    else if (event.key === " ") return (event.preventDefault(), toggle());
    else return;
    event.preventDefault();
    stop();
    // Focus follows the window, and a screen reader reads the cell that it lands on.
    output.cells[Math.floor(current() / columns)][current() % columns].focus();
  });

  // --- steps -----------------------------------------------------------------------------------

  const results = () => convolve(get("image"), get("kernel"), get("stride"), get("padding"));
  const steps = () => results().flat().length;
  const current = () => clamp(get("step"), 0, Math.max(0, steps() - 1));
  let timer = null;

  function goTo(step) {
    change({ step: clamp(step, 0, Math.max(0, steps() - 1)) });
    draw.now();
  }
  function sayCurrent() {
    const columns = output.shape[1];
    const value = results().flat()[current()]?.value;
    if (value === undefined) return;
    const [row, column] = [Math.floor(current() / columns) + 1, (current() % columns) + 1];
    say(text("output_cell", { row, column, value: readable(value) }));
  }
  function stop() {
    if (timer === null) return;
    clearInterval(timer);
    timer = null;
    draw();
  }
  function toggle() {
    if (timer !== null) {
      stop();
      return sayCurrent();
    }
    if (steps() < 2) return;
    if (current() >= steps() - 1) goTo(0);
    timer = setInterval(() => {
      if (current() < steps() - 1) goTo(current() + 1);
      if (current() < steps() - 1) return;
      stop();
      sayCurrent();
    }, BEAT);
    draw();
  }
  const button = (name, icon, act) =>
    make(
      "button",
      {
        type: "button",
        class: `cnn-${name}`,
        "aria-label": text(name),
        title: text(name),
        onclick: act,
      },
      icon,
    );
  const move = (aim) => () => {
    stop();
    goTo(aim());
    sayCurrent();
  };
  const icon = (path) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
    shape.setAttribute("d", path);
    svg.append(shape);
    return svg;
  };
  const ICONS = {
    first: "M4 3v10M12 3L7 8l5 5",
    previous: "M10 3L5 8l5 5",
    next: "M6 3l5 5-5 5",
    last: "M12 3v10M4 3l5 5-5 5",
    play: "M4 3v10l9-5z",
    pause: "M4 3h2v10H4zM10 3h2v10h-2z",
  };
  const buttons = {
    first: button(
      "first",
      icon(ICONS.first),
      move(() => 0),
    ),
    previous: button(
      "previous",
      icon(ICONS.previous),
      move(() => current() - 1),
    ),
    next: button(
      "next",
      icon(ICONS.next),
      move(() => current() + 1),
    ),
    last: button(
      "last",
      icon(ICONS.last),
      move(() => steps() - 1),
    ),
  };
  const playIcon = icon(ICONS.play);
  const playText = make("span");
  const play = make(
    "button",
    { type: "button", class: "cnn-play", onclick: toggle },
    playIcon,
    playText,
  );
  const counter = make("span", { class: "cnn-counter" });

  // --- settings --------------------------------------------------------------------------------

  function choice(name, onchoose) {
    const select = make("select", {
      "data-setting": name,
      onchange: () => {
        stop();
        onchoose(select.value);
      },
    });
    const label = make("label", { class: "cnn-field" }, text(name), select);
    const options = (list, chosen) => {
      const key = JSON.stringify(list);
      if (select.dataset.options !== key) {
        select.dataset.options = key;
        select.replaceChildren(...list.map(([value, shown]) => make("option", { value }, shown)));
      }
      select.value = chosen;
    };
    return { label, options };
  }
  const settings = {
    image_size: choice("image_size", (value) => {
      change({ image: resizedImage(get("image"), ...value.split(" ").map(Number)), step: 0 });
    }),
    preset: choice("preset", (value) => {
      if (value in get("presets")) change({ kernel: get("presets")[value], step: 0 });
    }),
    kernel_size: choice("kernel_size", (value) => {
      change({ kernel: resizedKernel(get("kernel"), ...value.split(" ").map(Number)), step: 0 });
    }),
    stride: choice("stride", (value) => change({ stride: Number(value), step: 0 })),
    padding: choice("padding", (value) => change({ padding: Number(value), step: 0 })),
  };
  const numbers = (list) => list.map((n) => [String(n), String(n)]);
  /** Square sizes, and the present one where it is not square. */
  function sizes(sides, shape) {
    const square = sides.map((n) => [n, n]);
    const all = shape[0] === shape[1] ? square : [shape, ...square];
    return all.map((size) => [size.join(" "), sizeText(size)]);
  }

  // --- putting it together ---------------------------------------------------------------------

  const sum = make("div", { class: "cnn-sum" });
  const formula = make("p", { class: "cnn-formula" });
  const note = make("p", { class: "cnn-note" });
  const problem = make("p", { class: "cnn-problem", role: "alert" });
  const operator = (sign) => make("span", { class: "cnn-operator", "aria-hidden": "true" }, sign);
  const result = make("div", { class: "cnn-pair" }, operator("="), output.panel);
  const root = make(
    "div",
    { class: "cnn-widget cnn-stepper", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-settings" }, ...Object.values(settings).map(({ label }) => label)),
    make(
      "div",
      { class: "cnn-equation" },
      image.panel,
      make("div", { class: "cnn-pair" }, operator("∗"), kernel.panel),
      result,
    ),
    problem,
    make("div", { class: "cnn-steps" }, ...Object.values(buttons), play, counter),
    sum,
    formula,
    note,
  );
  const say = announcer(root);
  const scroller = scrollable(sum, text("sum_region"));

  function drawWindow(here) {
    const [rows, columns] = shapeOf(get("kernel"));
    frame.hidden = !here;
    const inside = (r, c) =>
      here && r >= here.top && r < here.top + rows && c >= here.left && c < here.left + columns;
    if (here) {
      frame.style.setProperty("--cnn-top", here.top);
      frame.style.setProperty("--cnn-left", here.left);
      frame.style.setProperty("--cnn-rows", rows);
      frame.style.setProperty("--cnn-wide", columns);
    }
    image.each((cell, r, c) => {
      cell.classList.toggle("cnn-inside", Boolean(inside(r, c)));
      const weight = cell.querySelector(".cnn-weight");
      if (!weight) return;
      setText(
        weight,
        inside(r, c) ? `×${factorText(get("kernel")[r - here.top][c - here.left])}` : "",
      );
    });
  }

  function drawUnvisited(possible) {
    const sides = [0, 1].map((side) =>
      coverage(
        shapeOf(get("image"))[side],
        shapeOf(get("kernel"))[side],
        get("stride"),
        get("padding"),
      ),
    );
    image.each((cell, r, c) =>
      cell.classList.toggle(
        "cnn-unvisited",
        possible && !(sides[0].reaches(r) && sides[1].reaches(c)),
      ),
    );
    const remarks = [];
    if (sides[0].atEnd > 0) remarks.push(text("unvisited_rows", { rows: sides[0].atEnd }));
    if (sides[1].atEnd > 0) remarks.push(text("unvisited_columns", { columns: sides[1].atEnd }));
    if (remarks.length > 0) remarks.push(text("unvisited_why"));
    if (sides[0].between || sides[1].between) remarks.push(text("skipped"));
    setText(note, possible ? remarks.join(" ") : "");
  }

  function drawFormula() {
    const [stride, padding] = [get("stride"), get("padding")];
    const line = (key, side) => {
      const [size, k] = [shapeOf(get("image"))[side], shapeOf(get("kernel"))[side]];
      const result = readable(Math.max(0, outputLength(size, k, stride, padding)));
      return text(key, { size, kernel: k, stride, padding, result });
    };
    const square = [get("image"), get("kernel")].every((m) => m.length === m[0].length);
    const lines = square
      ? [line("formula", 0)]
      : [line("formula_rows", 0), line("formula_columns", 1)];
    formula.replaceChildren(...lines.map((shown) => make("span", {}, shown)));
  }

  function drawOutput(rows, here) {
    output.resize(rows.length, rows[0].length);
    const flat = rows.flat();
    const largest = Math.max(...flat.map(({ value }) => Math.abs(value)));
    output.each((cell, r, c) => {
      const index = r * rows[0].length + c;
      const { value } = rows[r][c];
      const place = { row: r + 1, column: c + 1, value: readable(value) };
      const done = index <= here;
      setText(cell, done ? readable(value) : "");
      setAttribute(cell, "aria-label", text(done ? "output_cell" : "output_cell_open", place));
      setAttribute(cell, "tabindex", index === here ? "0" : "-1");
      setAttribute(cell, "aria-selected", index === here ? "true" : "false");
      cell.classList.toggle("cnn-long", readable(value).length > 4);
      tint(cell, done ? value : 0, largest);
    });
    setText(output.title, `${text("output")}, ${sizeText(output.shape)}`);
  }

  function drawSum(rows, here) {
    const columns = rows[0].length;
    const place = { row: Math.floor(here / columns) + 1, column: (here % columns) + 1 };
    const products = productRows(get("image"), get("kernel"), get("padding"), rows.flat()[here]);
    const { value } = rows.flat()[here];
    const sign = Number(readable(value).replace("\u2212", "-")) === value ? "=" : "≈";
    sum.replaceChildren(
      make("p", { class: "cnn-title" }, text("sum", place)),
      ...products.map((product, i) =>
        make("p", { class: "cnn-products" }, make("span", {}, i === 0 ? "" : "+"), product),
      ),
      make("p", { class: "cnn-products cnn-total" }, make("span", {}, sign), readable(value)),
    );
    scroller.update();
  }

  function drawAll() {
    const rows = results();
    const possible = rows.length > 0;
    const here = current();
    const imageShape = shapeOf(get("image"));
    const kernelShape = shapeOf(get("kernel"));

    settings.image_size.options(sizes(IMAGE_SIDES, imageShape), imageShape.join(" "));
    settings.kernel_size.options(sizes(KERNEL_SIDES, kernelShape), kernelShape.join(" "));
    settings.stride.options(numbers([1, 2, 3]), String(get("stride")));
    settings.padding.options(numbers([0, 1, 2]), String(get("padding")));
    const presets = Object.keys(get("presets")).map((name) => [name, text(`preset_${name}`)]);
    settings.preset.options(
      [["own", text("preset_own")], ...presets],
      presetOf(get("kernel"), get("presets")) ?? "own",
    );

    image.update();
    kernel.update();
    drawWindow(rows.flat()[here]);
    drawUnvisited(possible);
    drawFormula();
    setText(keysHelp, text("output_keys"));
    for (const element of [result, sum]) element.hidden = !possible;
    problem.hidden = possible;
    const paddedShape = imageShape.map((side) => side + 2 * get("padding"));
    const sizesOf = { kernel: sizeText(kernelShape), image: sizeText(paddedShape) };
    setText(problem, possible ? "" : text("impossible", sizesOf));
    if (possible) {
      drawOutput(rows, here);
      drawSum(rows, here);
    }

    const last = rows.flat().length - 1;
    setUsable(buttons.first, possible && here > 0);
    setUsable(buttons.previous, possible && here > 0);
    setUsable(buttons.next, possible && here < last);
    setUsable(buttons.last, possible && here < last);
    setUsable(play, last > 0);
    const playing = timer !== null;
    setText(playText, text(playing ? "pause" : "play"));
    playIcon.firstChild.setAttribute("d", playing ? ICONS.pause : ICONS.play);
    setText(counter, possible ? text("step", { step: here + 1, steps: last + 1 }) : "");
  }

  const draw = onceATurn(drawAll);
  draw.now = drawAll;
  const traits = ["image", "kernel", "stride", "padding", "step", "labels"];
  for (const trait of traits) model.on(`change:${trait}`, draw);
  drawAll();
  el.append(root);
  scroller.update();

  return () => {
    clearInterval(timer);
    say.stop();
    scroller.stop();
    for (const trait of traits) model.off(`change:${trait}`, draw);
  };
}

export default { render };
