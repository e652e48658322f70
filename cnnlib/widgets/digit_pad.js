// The drawing pad: a digit drawn by hand, read by a network that runs right here (network.js).
// The functions above the line are plain arithmetic; below it is the page.
import {
  announcer,
  arrowStep,
  inkOf,
  make,
  onThemeChange,
  onceATurn,
  readable,
  setAttribute,
  setText,
  setUsable,
  uniqueId,
  words,
} from "./common.js";
import { decodeHalf, prepare, run, softmax } from "./network.js";

export const MNIST = 28; // side of a digit of MNIST
const BOX = 20; // side of the box that its ink is fitted into

/** The rectangle { top, left, height, width } around all ink, or null where there is none. */
export function inkBox(ink, side, threshold = 25) {
  let [top, left, bottom, right] = [side, side, -1, -1];
  for (let r = 0; r < side; r++) {
    for (let c = 0; c < side; c++) {
      if (ink[r * side + c] <= threshold) continue;
      top = Math.min(top, r);
      bottom = Math.max(bottom, r);
      left = Math.min(left, c);
      right = Math.max(right, c);
    }
  }
  return bottom < 0 ? null : { top, left, height: bottom - top + 1, width: right - left + 1 };
}

/** Shares of the pixels from..to (fractions allowed) along one side: [[pixel, share], ...]. */
function shares(from, to) {
  const list = [];
  for (let pixel = Math.floor(from); pixel < to; pixel++) {
    const share = Math.min(pixel + 1, to) - Math.max(pixel, from);
    if (share > 1e-9) list.push([pixel, share]);
  }
  return list;
}

/** The part `box` of a picture at another size; each new pixel is the mean of what it covers. */
export function shrunk(ink, side, box, height, width) {
  const result = new Float32Array(height * width);
  const [down, across] = [box.height / height, box.width / width];
  for (let i = 0; i < height; i++) {
    const lines = shares(box.top + i * down, box.top + (i + 1) * down);
    for (let j = 0; j < width; j++) {
      const columns = shares(box.left + j * across, box.left + (j + 1) * across);
      let sum = 0;
      for (const [r, tall] of lines) {
        for (const [c, wide] of columns) sum += ink[r * side + c] * tall * wide;
      }
      result[i * width + j] = sum / (down * across);
    }
  }
  return result;
}

/**
 * A drawing (side x side values from 0 to 255) as MNIST's digits were made: cropped, fitted into
 * 20 x 20 with its proportions kept, and moved so that its centre of mass is the centre of 28 x 28.
 * Returns 784 values from 0 to 255, or null for an empty drawing.
 */
export function toMnist(ink, side) {
  const box = inkBox(ink, side);
  if (!box) return null;
  const scale = BOX / Math.max(box.height, box.width);
  const height = Math.max(1, Math.round(box.height * scale));
  const width = Math.max(1, Math.round(box.width * scale));
  const small = shrunk(ink, side, box, height, width);

  let [mass, row, column] = [0, 0, 0];
  small.forEach((value, i) => {
    mass += value;
    row += value * Math.floor(i / width);
    column += value * (i % width);
  });
  const place = (centre, length) =>
    Math.min(Math.max(Math.round(MNIST / 2 - centre), 0), MNIST - length);
  const [top, left] = [place(row / mass, height), place(column / mass, width)];

  const digit = new Float32Array(MNIST * MNIST);
  small.forEach((value, i) => {
    digit[(top + Math.floor(i / width)) * MNIST + left + (i % width)] = value;
  });
  return digit;
}

/** 784 values from 0 to 255 as the network wants them: padded to size x size, from low to high. */
export function toInput(digit, size, low, high) {
  const input = new Float32Array(size * size).fill(low);
  const border = Math.floor((size - MNIST) / 2);
  for (let r = 0; r < MNIST; r++) {
    for (let c = 0; c < MNIST; c++) {
      input[(r + border) * size + c + border] = low + (digit[r * MNIST + c] / 255) * (high - low);
    }
  }
  return input;
}

/** Columns for a row of units: 84 as 7 x 12 (LeNet-5's bitmaps), others in a wide rectangle. */
export function columnsFor(count) {
  if (count === 84) return 7;
  const aim = Math.ceil(Math.sqrt(2 * count));
  for (let columns = aim; columns < 2 * aim; columns++) if (count % columns === 0) return columns;
  return aim;
}

/** Smallest and largest value, and where the largest is. */
export function extent(values) {
  let [low, high, at] = [Infinity, -Infinity, 0];
  values.forEach((value, i) => {
    if (value < low) low = value;
    if (value > high) [high, at] = [value, i];
  });
  return { low, high, at };
}

// ------------------------------------------------------------------------------------- the page

const SIDE = 560; // pixels of the canvas; about twice its size on the screen, for sharp lines
const PEN = 44; // in these pixels: about as thick as the strokes of MNIST
const COARSE = 14; // cells per side of the grid on which the keyboard draws
const SURE = 0.6; // below this probability the second guess is named as well

function render({ model, el }) {
  const text = words(model);
  const size = model.get("size");
  const program = prepare(model.get("ops"), decodeHalf(model.get("weights")));
  const classify = (input) => run(program, input, [1, size, size]);

  // --- what is on the pad: strokes, or a ready image; every change can be undone ---------------

  const EMPTY = { strokes: [], image: null };
  let drawing = EMPTY; // image: 784 values (0 to 255), or size * size values for the network
  const history = [];
  const keep = () => history.push(drawing);
  const isEmpty = () => drawing.strokes.length === 0 && drawing.image === null;

  // --- the pad ---------------------------------------------------------------------------------

  const canvas = make("canvas", { width: SIDE, height: SIDE, "aria-hidden": "true" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const cursor = make("span", { class: "cnn-cursor", "aria-hidden": "true" });
  const hint = make("span", { class: "cnn-hint", "aria-hidden": "true" }, text("pad_hint"));
  const help = make("p", { class: "cnn-help", id: uniqueId("help") }, text("pad_help"));
  const pen = make("p", { class: "cnn-pen", "aria-hidden": "true" });
  const pad = make(
    "div",
    {
      class: "cnn-surface",
      tabindex: "0",
      role: "application",
      "aria-label": text("pad"),
      "aria-describedby": help.id,
    },
    canvas,
    hint,
    cursor,
  );

  function paintPad() {
    context.clearRect(0, 0, SIDE, SIDE);
    const ink = `rgb(${inkOf(root).join(",")})`;
    const { strokes, image } = drawing;
    if (image) {
      const side = Math.sqrt(image.length);
      const scale = SIDE / side;
      const { low, high } = extent(image);
      context.fillStyle = ink;
      image.forEach((value, i) => {
        context.globalAlpha = high > low ? (value - low) / (high - low) : 0;
        context.fillRect((i % side) * scale, Math.floor(i / side) * scale, scale, scale);
      });
      context.globalAlpha = 1;
    }
    context.strokeStyle = ink;
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    for (const points of strokes) {
      context.beginPath();
      // A little to the left: a line of no length would not even be a dot.
      context.moveTo(points[0][0] * SIDE - 0.1, points[0][1] * SIDE);
      for (const [x, y] of points) context.lineTo(x * SIDE, y * SIDE);
      context.stroke();
    }
    hint.hidden = !isEmpty();
  }

  /** What the network gets, or null while nothing is drawn. */
  function networkInput() {
    const { strokes, image } = drawing;
    const asIs = image !== null && image.length !== MNIST * MNIST;
    if (asIs) return Float32Array.from(image);
    let digit = image;
    if (!image && strokes.length > 0) {
      const pixels = context.getImageData(0, 0, SIDE, SIDE).data;
      digit = toMnist(
        Uint8Array.from({ length: SIDE * SIDE }, (_, i) => pixels[4 * i + 3]),
        SIDE,
      );
    }
    return digit && toInput(digit, size, model.get("low"), model.get("high"));
  }

  function startStroke(point) {
    keep();
    drawing = { strokes: [...drawing.strokes, [point]], image: null };
    refresh();
  }
  function extendStroke(point) {
    drawing.strokes.at(-1).push(point);
    refresh();
  }
  function endStroke() {
    refresh();
    publish();
  }
  function replace(next) {
    penIsDown = false;
    keep();
    drawing = next;
    refresh.now();
    publish();
  }
  function undo() {
    if (history.length === 0) return;
    penIsDown = false;
    drawing = history.pop();
    refresh.now();
    publish();
  }

  let pointer = null;
  const pointOf = (event) => {
    const area = canvas.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button > 0) return;
    pointer = event.pointerId;
    penIsDown = false;
    pad.setPointerCapture(pointer);
    startStroke(pointOf(event));
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId === pointer) extendStroke(pointOf(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      endStroke();
    });
  }

  let cell = [Math.floor(COARSE / 4), Math.floor(COARSE / 2)];
  let penIsDown = false;
  const cellCentre = () => [(cell[1] + 0.5) / COARSE, (cell[0] + 0.5) / COARSE];
  pad.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const aim = arrowStep(event.key, cell, [COARSE, COARSE]);
    if (aim) {
      cell = aim;
      say(text("position", { row: cell[0] + 1, column: cell[1] + 1 }));
      if (penIsDown) extendStroke(cellCentre());
    } else if (event.key === " " || event.key === "Enter") {
      penIsDown = !penIsDown;
      if (penIsDown) startStroke(cellCentre());
      else endStroke();
      say(penIsDown ? text("pen_down") : [text("pen_up"), spoken].join(". "));
    } else if (event.key === "Backspace" || event.key === "Delete") {
      undo();
    } else if (event.key === "Escape" && penIsDown) {
      penIsDown = false;
      endStroke();
    } else return;
    event.preventDefault();
    paintCursor();
  });
  pad.addEventListener("blur", () => {
    if (!penIsDown) return;
    penIsDown = false;
    endStroke();
    paintCursor();
  });
  function paintCursor() {
    const [x, y] = cellCentre();
    cursor.style.left = `${100 * x}%`;
    cursor.style.top = `${100 * y}%`;
    cursor.classList.toggle("cnn-pen-down", penIsDown);
    setText(pen, text(penIsDown ? "pen_down" : "pen_up"));
  }

  const clear = make(
    "button",
    { type: "button", class: "cnn-clear", onclick: () => isEmpty() || replace(EMPTY) },
    text("clear"),
  );
  const undoButton = make(
    "button",
    { type: "button", class: "cnn-undo", onclick: undo },
    text("undo"),
  );

  // --- examples --------------------------------------------------------------------------------

  const view = model.get("examples");
  const bytes = view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : [];
  const examples = Array.from({ length: bytes.length / MNIST ** 2 }, (_, i) =>
    Array.from(bytes.slice(i * MNIST ** 2, (i + 1) * MNIST ** 2)),
  );
  const thumbnails = examples.map((image, i) => {
    const picture = make("canvas", { width: MNIST, height: MNIST, "aria-hidden": "true" });
    const label = text("example", { number: i + 1 });
    const choose = () => replace({ strokes: [], image });
    const button = make(
      "button",
      { type: "button", class: "cnn-example", "aria-label": label, title: label, onclick: choose },
      picture,
    );
    return { button, paint: (ink) => paintMap(picture, image, MNIST, { low: 0, high: 255 }, ink) };
  });
  const exampleTitle = make(
    "p",
    { class: "cnn-title", id: uniqueId("examples") },
    text("examples"),
  );
  const exampleGroup = make(
    "div",
    { class: "cnn-examples", role: "group", "aria-labelledby": exampleTitle.id },
    exampleTitle,
    ...thumbnails.map(({ button }) => button),
  );
  exampleGroup.hidden = thumbnails.length === 0;

  // --- the answer ------------------------------------------------------------------------------

  const verdict = make("p", { class: "cnn-verdict" });
  const barsTitle = make("p", { class: "cnn-title", id: uniqueId("bars") }, text("scores"));
  const list = make("ul", { class: "cnn-bars", role: "list", "aria-labelledby": barsTitle.id });
  let bars = [];
  function makeBars(count) {
    bars = Array.from({ length: count }, (_, digit) => {
      const fill = make("span", { class: "cnn-fill" });
      const percent = make("span", { class: "cnn-percent" });
      const row = make(
        "li",
        {},
        make("span", { class: "cnn-digit" }, String(digit)),
        make("span", { class: "cnn-bar", "aria-hidden": "true" }, fill),
        percent,
      );
      list.append(row);
      return { row, fill, percent };
    });
  }
  const percentOf = (probability) => (100 * probability).toFixed(0);

  let spoken = text("nothing");
  let answer = { prediction: -1, scores: [] };
  function showAnswer(result) {
    if (!result) {
      answer = { prediction: -1, scores: [] };
      spoken = text("nothing");
      setText(verdict, spoken);
      for (const { row, fill, percent } of bars) {
        row.classList.remove("cnn-best");
        fill.style.width = "0";
        setText(percent, "");
      }
      return;
    }
    const probabilities = softmax(result.scores);
    const order = probabilities
      .map((_, i) => i)
      .sort((a, b) => probabilities[b] - probabilities[a]);
    const [digit, second] = order;
    const sure = probabilities[digit] >= SURE;
    const reads = text(sure ? "reads" : "unsure", { digit, second });
    answer = { prediction: digit, scores: Array.from(result.scores), probabilities };
    spoken = text("spoken", { reads, percent: percentOf(probabilities[digit]) });
    setText(verdict, reads);
    bars.forEach(({ row, fill, percent }, i) => {
      row.classList.toggle("cnn-best", i === digit);
      fill.style.width = `${100 * probabilities[i]}%`;
      setText(percent, text("percent", { percent: percentOf(probabilities[i]) }));
    });
  }

  // --- inside the network: one tab per stage ---------------------------------------------------

  function paintMap(target, values, columns, { low, high }, ink) {
    const picture = target.getContext("2d");
    const pixels = picture.createImageData(columns, Math.ceil(values.length / columns));
    values.forEach((value, i) => {
      const strength = high > low ? (value - low) / (high - low) : 0;
      pixels.data.set([...ink, Math.round(255 * strength)], 4 * i);
    });
    picture.putImageData(pixels, 0, 0);
  }

  const stageTitle = (name) => {
    const key = `stage_${name}`;
    if (key in model.get("labels")) return text(key);
    return name.length <= 3 ? name.toUpperCase() : name;
  };
  const panel = make("div", {
    class: "cnn-maps",
    role: "tabpanel",
    id: uniqueId("maps"),
    tabindex: "0",
  });
  const about = make("p", { class: "cnn-about" });
  const scale = make("span", { class: "cnn-scale-text" });
  const legend = make(
    "p",
    { class: "cnn-legend" },
    make("span", { class: "cnn-scale", "aria-hidden": "true" }),
    scale,
  );
  const gallery = make("div", { class: "cnn-gallery" });
  panel.append(about, gallery, legend);
  const tablist = make("div", { class: "cnn-tabs", role: "tablist", "aria-label": text("stages") });
  let stages = [];
  let chosen = 0;

  function makeTabs() {
    stages.forEach(({ name, shape }, i) => {
      const tab = make(
        "button",
        {
          type: "button",
          role: "tab",
          id: uniqueId("tab"),
          "aria-controls": panel.id,
          "data-stage": name,
          onclick: () => choose(i),
          onkeydown: (event) => {
            const last = stages.length - 1;
            const aims = { ArrowRight: i === last ? 0 : i + 1, ArrowLeft: i === 0 ? last : i - 1 };
            const aim = { ...aims, Home: 0, End: last }[event.key];
            if (aim === undefined) return;
            event.preventDefault();
            choose(aim);
            tablist.children[aim].focus();
          },
        },
        make("span", { class: "cnn-stage-name" }, stageTitle(name)),
        make(
          "span",
          { class: "cnn-stage-shape" },
          shape.filter((n, k) => k === 0 || n > 1).join("×"),
        ),
      );
      tablist.append(tab);
    });
  }
  function choose(i) {
    chosen = i;
    paintStage();
  }

  /** The pictures of a stage: { columns, values, label } each; a vector is one picture. */
  function picturesOf({ name, shape, values }) {
    const stage = stageTitle(name);
    const [count, rows = 1, columns = 1] = shape;
    const digits = (number) => readable(number, 2);
    if (name === "input") {
      const { low, high } = extent(values);
      const label = text("picture", { stage, rows, columns, low: digits(low), high: digits(high) });
      return { about: text("about_input"), pictures: [{ columns, values, label }] };
    }
    if (rows * columns === 1) {
      const { low, high, at } = extent(values);
      const seen = { stage, count, number: at + 1, low: digits(low), high: digits(high) };
      const comparesCodes = count === 84 && program.at(-1).op === "rbf";
      const about = text(comparesCodes ? "about_codes" : "about_units", { count });
      return {
        about,
        pictures: [{ columns: columnsFor(count), values, label: text("units", seen) }],
      };
    }
    const area = rows * columns;
    const pictures = Array.from({ length: count }, (_, map) => {
      const part = values.subarray(map * area, (map + 1) * area);
      const { low, high, at } = extent(part);
      const place = { row: Math.floor(at / columns) + 1, column: (at % columns) + 1 };
      const seen = { stage, number: map + 1, low: digits(low), high: digits(high), ...place };
      return { columns, values: part, label: text("map", seen) };
    });
    return { about: text("about_maps", { count, rows, columns }), pictures };
  }

  function paintScores({ values }) {
    gallery.classList.add("cnn-gallery-scores");
    gallery.replaceChildren(
      ...Array.from(values, (value, digit) =>
        make("span", { class: "cnn-score" }, text("score", { digit, value: readable(value, 2) })),
      ),
    );
    setText(about, text("about_scores"));
    legend.hidden = true;
  }

  function paintStage() {
    [...tablist.children].forEach((tab, i) => {
      setAttribute(tab, "aria-selected", i === chosen ? "true" : "false");
      setAttribute(tab, "tabindex", i === chosen ? "0" : "-1");
    });
    setAttribute(panel, "aria-labelledby", tablist.children[chosen].id);
    const stage = stages[chosen];
    if (chosen === stages.length - 1) return paintScores(stage);

    const { about: sentence, pictures } = picturesOf(stage);
    const range = extent(stage.values);
    const ink = inkOf(root);
    setText(about, sentence);
    setText(scale, text("scale", { low: readable(range.low, 2), high: readable(range.high, 2) }));
    legend.hidden = false;
    gallery.classList.remove("cnn-gallery-scores");
    // The canvases stay while the drawing grows; only another stage makes new ones.
    if (gallery.dataset.stage !== stage.name || gallery.children.length !== pictures.length) {
      gallery.replaceChildren(...pictures.map(() => make("canvas", { role: "img" })));
    }
    gallery.dataset.stage = stage.name;
    gallery.classList.toggle("cnn-gallery-one", pictures.length === 1);
    pictures.forEach(({ columns, values, label }, i) => {
      const target = gallery.children[i];
      const rows = Math.ceil(values.length / columns);
      if (target.width !== columns) target.width = columns;
      if (target.height !== rows) target.height = rows;
      setAttribute(target, "aria-label", label);
      paintMap(target, values, columns, range, ink);
    });
  }

  // --- putting it together ---------------------------------------------------------------------

  const insideTitle = make("p", { class: "cnn-title" }, text("inside"));
  const root = make(
    "div",
    { class: "cnn-widget cnn-pad", role: "group", "aria-label": text("name") },
    make(
      "div",
      { class: "cnn-columns" },
      make(
        "div",
        { class: "cnn-draw" },
        pad,
        make("div", { class: "cnn-tools" }, clear, undoButton, pen),
        help,
      ),
      exampleGroup,
      make("div", { class: "cnn-answer" }, verdict, barsTitle, list),
    ),
    make("div", { class: "cnn-inside-network" }, insideTitle, tablist, panel),
  );
  const say = announcer(root, 600);

  function look() {
    const input = networkInput();
    const blank = new Float32Array(size * size).fill(model.get("low"));
    const started = performance.now();
    const result = classify(input ?? blank);
    root.dataset.milliseconds = (performance.now() - started).toFixed(1);
    stages = [{ name: "input", shape: [1, size, size], values: input ?? blank }, ...result.stages];
    return input ? result : null;
  }

  function refreshNow() {
    paintPad();
    const result = look();
    showAnswer(result);
    root.dataset.prediction = answer.prediction;
    setUsable(clear, !isEmpty());
    setUsable(undoButton, history.length > 0);
    paintStage();
    paintCursor();
  }
  const refresh = onceATurn(refreshNow);
  refresh.now = refreshNow;

  /** Tells listeners and the kernel, if there is one: at the end of a stroke, not on the way. */
  function publish() {
    refresh.now();
    if (!penIsDown) say(spoken);
    model.set("prediction", answer.prediction);
    model.set("scores", answer.scores);
    model.save_changes();
  }

  function paintAll() {
    const ink = inkOf(root);
    for (const { paint } of thumbnails) paint(ink);
    paintPad();
    paintStage();
  }

  /** For kernels (the trait `input`) and tests (the event): classify an image without drawing. */
  function take(image) {
    if (image.length !== MNIST ** 2 && image.length !== size ** 2) {
      throw new Error(
        `an image must have ${MNIST ** 2} or ${size ** 2} values, got ${image.length}`,
      );
    }
    replace({ strokes: [], image: Array.from(image) });
  }
  root.addEventListener("cnn-classify", (event) => {
    take(event.detail.image);
    Object.assign(event.detail, answer, { stages });
  });
  const onInput = () => model.get("input").length > 0 && take(model.get("input"));
  model.on("change:input", onInput);

  look();
  makeBars(stages.at(-1).values.length);
  makeTabs();
  el.append(root);
  refresh.now();
  paintAll();
  const stopTheme = onThemeChange(onceATurn(paintAll));

  return () => {
    say.stop();
    stopTheme();
    model.off("change:input", onInput);
  };
}

export default { render };
