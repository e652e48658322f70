// Cover a part of a photograph and read what the network says; browse the patches of a unit.
import {
  announcer,
  arrowStep,
  clamp,
  make,
  onceATurn,
  readable,
  setAttribute,
  setText,
  uniqueId,
  words,
} from "./common.js";

const SIDE = 224; // of a photograph, in pixels
const BLUE = [20, 60, 255];
const ORANGE = [255, 120, 0];
const TILE = 112; // of a patch on the page, in CSS pixels at most

/** The cell [row, column] under a point, given in shares of the picture's width and height. */
export function cellAt(x, y, cells) {
  return [y, x].map((share) => clamp(Math.floor(share * cells), 0, cells - 1));
}

/** Where the square lies for a cell, cut off at the border: first and last pixel, exclusive. */
export function squareOf([row, column], cells, patch, side = SIDE) {
  const stride = side / cells;
  const span = (cell) => {
    const start = cell * stride + Math.floor((stride - patch) / 2);
    return [clamp(start, 0, side), clamp(start + patch, 0, side)];
  };
  const [[top, bottom], [left, right]] = [span(row), span(column)];
  return { top, bottom, left, right };
}

/** The map of one photograph and square: probabilities in [0, 1], and the winners' numbers. */
export function readMap(bytes, at, cells) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = cells * cells;
  const shares = Array.from({ length: count }, (_, i) => view.getUint16(at + 2 * i, true) / 1000);
  const winners = Array.from({ length: count }, (_, i) => view.getUint8(at + 2 * count + i));
  return { shares, winners };
}

/**
 * How a cell is coloured: 0 where the class is as probable as uncovered, below 0 where it is less
 * probable, above 0 where it is more so; the largest change of the map, up or down, has strength 1.
 */
export function heatOf(share, uncovered, low, high) {
  const reach = Math.max(uncovered - low, high - uncovered);
  return reach > 0 ? (share - uncovered) / reach : 0;
}

/** Indices of the smallest and of the largest number. */
export function extremes(numbers) {
  let [least, most] = [0, 0];
  numbers.forEach((number, i) => {
    if (number < numbers[least]) least = i;
    if (number > numbers[most]) most = i;
  });
  return { least, most };
}

/** A probability as people read it: "95.1", and "0.0" only for what is nearly 0. */
export function percentText(share) {
  return (100 * share).toFixed(1);
}

/** Grey bytes as the numbers of an ImageData: red, green, blue and opacity of every pixel. */
export function opaque(bytes) {
  const data = new Uint8ClampedArray(4 * bytes.length);
  bytes.forEach((grey, i) => data.set([grey, grey, grey, 255], 4 * i));
  return data;
}

function bytesOf(value) {
  if (value instanceof Uint8Array) return value;
  return new Uint8Array(value.buffer, value.byteOffset ?? 0, value.byteLength);
}

function render({ model, el }) {
  const text = words(model);
  const get = (name) => model.get(name);
  const change = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const cleanUps = [];

  function choice(name, act) {
    const select = make("select", { "data-setting": name, onchange: () => act(select.value) });
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

  const root = make("div", {
    class: "cnn-widget cnn-inside",
    role: "group",
    "aria-label": text("name"),
  });

  // --- a grey square over a photograph ---------------------------------------------------------

  const record = () => get("photographs")[get("photograph")];
  const titleOf = (name) => get("labels")[`photograph_${name}`] ?? name;
  const here = () => get("place").map((at) => clamp(at, 0, record().cells - 1));
  const current = () => {
    const { maps, cells } = record();
    return readMap(bytesOf(get("maps")), maps[get("square")], cells);
  };
  const covered = () => get("square") > 0;

  function coverPart() {
    const chooser = choice("photograph", (value) => change({ photograph: Number(value) }));
    const sizes = choice("square", (value) => change({ square: Number(value) }));
    const tick = make("input", {
      type: "checkbox",
      "data-setting": "heat",
      onchange: () => change({ heat: tick.checked }),
    });
    const heatLabel = make("label", { class: "cnn-tick" }, tick, make("span", {}, text("heat")));

    const picture = make("img", { class: "cnn-photo", alt: "", width: SIDE, height: SIDE });
    const canvas = make("canvas", { class: "cnn-heat", "aria-hidden": "true" });
    const frame = make("div", { class: "cnn-square", "aria-hidden": "true" });
    const help = make("p", { class: "cnn-note", id: uniqueId("help") });
    const stage = make(
      "div",
      {
        class: "cnn-photo-stage",
        tabindex: "0",
        role: "application",
        "aria-describedby": help.id,
      },
      picture,
      canvas,
      frame,
    );
    const verdict = make("p", { class: "cnn-verdict" });
    const fill = make("div", { class: "cnn-bar-fill" });
    const mark = make("div", { class: "cnn-bar-mark" });
    const bar = make("div", { class: "cnn-bar", "aria-hidden": "true" }, fill, mark);
    const before = make("p", {});
    const winner = make("p", { class: "cnn-winner" });
    const where = make("p", { class: "cnn-note" });
    const low = make("span");
    const high = make("span");
    const middle = make("span");
    const meaning = make("span", { class: "cnn-legend-text" });
    const scale = (kind) => make("span", { class: `cnn-scale-${kind}`, "aria-hidden": "true" });
    const [scaleLow, scaleHigh] = [scale("low"), scale("high")];
    const ends = [low, scaleLow, middle, scaleHigh, high];
    const legend = make("p", { class: "cnn-legend" }, ...ends, meaning);

    const urls = [];
    const urlOf = (number) => {
      const { at, length } = get("photographs")[number];
      urls[number] ??= URL.createObjectURL(
        new Blob([bytesOf(get("pictures")).slice(at, at + length)], { type: "image/jpeg" }),
      );
      return urls[number];
    };
    cleanUps.push(() => urls.forEach((url) => URL.revokeObjectURL(url)));

    function move(aim) {
      const [row, column] = here();
      if (aim[0] === row && aim[1] === column) return;
      change({ place: aim });
      drawAll();
    }
    function point(event) {
      const box = stage.getBoundingClientRect();
      const [x, y] = [
        (event.clientX - box.left) / box.width,
        (event.clientY - box.top) / box.height,
      ];
      move(cellAt(x, y, record().cells));
    }
    let dragging = false;
    stage.addEventListener("pointerdown", (event) => {
      if (!covered()) return;
      dragging = true;
      stage.setPointerCapture(event.pointerId);
      point(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (covered() && (dragging || event.pointerType === "mouse")) point(event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      stage.addEventListener(name, () => {
        dragging = false;
        tell();
      });
    }
    stage.addEventListener("keydown", (event) => {
      if (!covered() || event.ctrlKey || event.metaKey || event.altKey) return;
      const { cells } = record();
      const { least, most } = extremes(current().shares);
      const end = { Home: least, End: most }[event.key];
      const aim =
        end === undefined
          ? arrowStep(event.key, here(), [cells, cells])
          : [Math.floor(end / cells), end % cells];
      if (!aim) return;
      event.preventDefault();
      move(aim);
      tell();
    });

    const say = announcer(root);
    cleanUps.push(say.stop);
    function tell() {
      say([where, verdict, winner].map((element) => element.textContent).join(". "));
    }

    function drawHeat({ shares }) {
      const { cells } = record();
      canvas.width = canvas.height = cells;
      const context = canvas.getContext("2d");
      const { least, most } = extremes(shares);
      const image = context.createImageData(cells, cells);
      const strengthOf = (share) =>
        heatOf(share, record().uncovered, shares[least], shares[most]);
      scaleLow.style.opacity = Math.abs(strengthOf(shares[least]));
      scaleHigh.style.opacity = Math.abs(strengthOf(shares[most]));
      shares.forEach((share, i) => {
        const strength = strengthOf(share);
        const colour = strength < 0 ? BLUE : ORANGE;
        image.data.set([...colour, Math.round(215 * Math.abs(strength))], 4 * i);
      });
      context.putImageData(image, 0, 0);
      setText(low, text("legend_low", { percent: percentText(shares[least]) }));
      setText(middle, text("legend_middle", { percent: percentText(record().uncovered) }));
      setText(high, text("legend_high", { percent: percentText(shares[most]) }));
      setText(meaning, text("legend", { name: record().target }));
    }

    function draw() {
      const { name, target, classes, cells, uncovered, squares } = record();
      const names = get("photographs").map((one, i) => [String(i), titleOf(one.name)]);
      chooser.options(names, String(get("photograph")));
      const sides = squares.map((side) => [String(side), text("pixels", { side })]);
      sizes.options([["0", text("no_square")], ...sides], String(get("square")));
      tick.checked = get("heat");
      if (picture.dataset.number !== String(get("photograph"))) {
        picture.dataset.number = String(get("photograph"));
        picture.src = urlOf(get("photograph"));
      }
      setAttribute(stage, "aria-label", text("stage", { photograph: titleOf(name) }));
      setText(help, text("help"));

      const map = covered() ? current() : null;
      const [row, column] = here();
      const at = row * cells + column;
      const share = map ? map.shares[at] : uncovered;
      frame.hidden = !map;
      canvas.hidden = legend.hidden = !(map && get("heat"));
      if (map) {
        const { top, bottom, left, right } = squareOf([row, column], cells, get("square"));
        const inPercent = (pixels) => `${(100 * pixels) / SIDE}%`;
        frame.style.top = inPercent(top);
        frame.style.left = inPercent(left);
        frame.style.height = inPercent(bottom - top);
        frame.style.width = inPercent(right - left);
        drawHeat(map);
      }
      const place = { row: row + 1, column: column + 1, cells };
      setText(where, map ? text("place", place) : text("uncovered"));
      setText(verdict, text("probability", { name: target, percent: percentText(share) }));
      setText(before, text("before", { percent: percentText(uncovered) }));
      setText(winner, text("winner", { name: map ? classes[map.winners[at]] : record().winner }));
      fill.style.width = `${100 * share}%`;
      mark.style.left = `${100 * uncovered}%`;
      root.dataset.share = String(share);
    }

    const part = make(
      "section",
      { class: "cnn-part", "aria-label": text("cover") },
      make("p", { class: "cnn-title" }, text("cover")),
      make("div", { class: "cnn-settings" }, chooser.label, sizes.label, heatLabel),
      make(
        "div",
        { class: "cnn-side-by-side" },
        make("div", {}, stage, legend),
        make("div", { class: "cnn-answers" }, where, verdict, bar, before, winner, help),
      ),
    );
    return { part, draw };
  }

  // --- patches and projections of a unit -------------------------------------------------------

  function excitePart() {
    const layers = choice("layer", (value) => change({ layer: Number(value), unit: 0 }));
    const units = choice("unit", (value) => change({ unit: Number(value) }));
    const patches = make("div", { class: "cnn-tiles" });
    const projections = make("div", { class: "cnn-tiles" });
    const field = make("p", { class: "cnn-note" });
    const sheet = make("p", { class: "cnn-note" });
    const tile = ({ rows, columns }, bytes, kind, label, side) => {
      const canvas = make("canvas", {
        class: `cnn-tile cnn-${kind}`,
        width: columns,
        height: rows,
        role: "img",
        "aria-label": label,
      });
      const data = new ImageData(opaque(bytes), columns, rows);
      canvas.getContext("2d").putImageData(data, 0, 0);
      canvas.style.setProperty("--cnn-wide", columns / side);
      canvas.style.setProperty("--cnn-tall", rows / side);
      return canvas;
    };

    function draw() {
      const list = get("layers");
      const layer = list[clamp(get("layer"), 0, list.length - 1)];
      const chosen = clamp(get("unit"), 0, layer.units.length - 1);
      const unit = layer.units[chosen];
      layers.options(
        list.map(({ name }, i) => [String(i), name]),
        String(list.indexOf(layer)),
      );
      units.options(
        layer.units.map((one, i) => [String(i), text("unit_number", { number: one.unit })]),
        String(chosen),
      );
      const bytes = bytesOf(get("tiles"));
      const side = Math.max(layer.rows, layer.columns);
      const tilesOf = (kind, label) =>
        unit.patches.map((patch, i) => {
          const count = patch.rows * patch.columns;
          const start = patch.at + (kind === "projection" ? count : 0);
          const values = { number: i + 1, value: readable(patch.value, 2), ...patch };
          values.value = readable(patch.value, 2);
          return tile(patch, bytes.slice(start, start + count), kind, text(label, values), side);
        });
      patches.replaceChildren(...tilesOf("patch", "patch"));
      projections.replaceChildren(...tilesOf("projection", "projection"));
      const { name, rows, columns } = layer;
      setText(field, text("field", { layer: name, rows, columns }));
      setText(sheet, text("sheet"));
    }

    const part = make(
      "section",
      { class: "cnn-part", "aria-label": text("excite") },
      make("p", { class: "cnn-title" }, text("excite")),
      make("div", { class: "cnn-settings" }, layers.label, units.label),
      make("p", { class: "cnn-row-title" }, text("patch_row")),
      patches,
      make("p", { class: "cnn-row-title" }, text("projection_row")),
      projections,
      field,
      sheet,
    );
    root.style.setProperty("--cnn-tile", `${TILE}px`);
    const most = Math.max(...get("layers").flatMap(({ units }) => units[0].patches.length));
    root.style.setProperty("--cnn-count", most);
    return { part, draw };
  }

  const parts = [];
  if (get("photographs").length > 0) parts.push(coverPart());
  if (get("layers").length > 0) parts.push(excitePart());
  root.append(...parts.map(({ part }) => part));

  function drawAll() {
    for (const { draw } of parts) draw();
  }
  const draw = onceATurn(drawAll);
  const traits = ["photograph", "square", "place", "heat", "layer", "unit", "labels"];
  for (const trait of traits) model.on(`change:${trait}`, draw);
  drawAll();
  el.append(root);
  return () => {
    for (const trait of traits) model.off(`change:${trait}`, draw);
    for (const cleanUp of cleanUps) cleanUp();
  };
}

export default { render };
