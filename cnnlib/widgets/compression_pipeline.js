// Deep Compression by two sliders: bytes of the file after every stage, and the error they cost.
// The functions above the line are plain arithmetic on what was stored; below it is the page.
import {
  announcer,
  clamp,
  make,
  onceATurn,
  readable,
  setAttribute,
  setText,
  uniqueId,
  words,
} from "./common.js";
import { deviation, draw, mean, powersOfTen, scaleOf, ticks } from "./chart.js";

export const UNSHARED = 32;
export const PARTS = ["values", "gaps", "codebooks", "tables", "rest", "header"];

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** The numbers of bits that can be chosen: those of the cells, and 32 for not sharing. */
export function choices(record) {
  return [...record.levels[0].cells.map(({ bits }) => bits), UNSHARED];
}

/** What was measured at a setting: bytes after every stage (null: not done), errors, parts. */
export function measured(record, level, bits) {
  const at = record.levels[level];
  const cell = at.cells.find((one) => one.bits === bits) ?? null;
  return {
    stages: {
      dense: record.dense,
      sparse: at.sparse,
      plain: cell && cell.plain,
      huffman: cell && sum(cell.parts),
    },
    bytes: cell ? sum(cell.parts) : at.sparse,
    parts: cell && cell.parts,
    errors: {
      dense: record.errors,
      cut: at.cut,
      retrained: at.errors,
      final: cell ? cell.errors : at.errors,
    },
  };
}

/** Every setting of a network as { level, bits, bytes, error }. */
export function settings(record) {
  return record.levels.flatMap((_, level) =>
    choices(record).map((bits) => {
      const { bytes, errors } = measured(record, level, bits);
      return { level, bits, bytes, error: mean(errors.final) };
    }),
  );
}

/** The setting that lies nearest to a place, by the distances that `far` gives. */
export function nearestSetting(all, far) {
  return all.reduce((best, one) => (far(one) < far(best) ? one : best));
}

/** A whole number with commas: 825320 -> "825,320". */
export function withCommas(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

// ------------------------------------------------------------------------------------- the page

const STAGES = ["dense", "sparse", "plain", "huffman"];
const ERRORS = ["dense", "cut", "retrained", "final"];

function render({ model, el }) {
  const text = words(model);
  const records = model.get("networks");
  const record = () => records[model.get("network")];
  const now = () => measured(record(), model.get("level"), model.get("bits"));
  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
    redraw.now();
    sayResult();
  }

  // --- choices ---------------------------------------------------------------------------------

  const select = make("select", { "data-setting": "network", onchange: () => go() });
  records.forEach(({ name }, i) => select.append(make("option", { value: String(i) }, name)));
  function go() {
    const network = Number(select.value);
    const last = records[network].levels.length - 1;
    const bits = choices(records[network]);
    change({
      network,
      level: Math.min(model.get("level"), last),
      bits: bits.includes(model.get("bits")) ? model.get("bits") : bits.at(-1),
    });
  }
  const networkField = make(
    "label",
    { class: "cnn-field" },
    make("span", {}, text("network")),
    select,
  );

  function slider(name, act) {
    const value = make("span", { class: "cnn-pipeline-value" });
    const input = make("input", {
      type: "range",
      min: 0,
      step: 1,
      "data-slider": name,
      "aria-label": text(name),
      oninput: () => act(Number(input.value)),
    });
    const word = make("span", { class: "cnn-pipeline-word" }, text(name), value);
    const field = make("div", { class: "cnn-pipeline-slider" }, word, input);
    const update = (place, count, shown) => {
      input.max = count - 1;
      if (input.value !== String(place)) input.value = place;
      setText(value, shown);
      setAttribute(input, "aria-valuetext", shown);
    };
    return { field, update };
  }
  const level = slider("level", (place) => change({ level: place }));
  const bits = slider("bits", (place) => change({ bits: choices(record())[place] }));

  // --- bytes, errors, parts --------------------------------------------------------------------

  const bars = STAGES.map((stage) => {
    const pieces = ["weights", "places", "others"].map((kind) =>
      make("span", { class: `cnn-pipeline-piece cnn-pipeline-${kind}` }),
    );
    const number = make("span", { class: "cnn-pipeline-number" });
    const factor = make("span", { class: "cnn-pipeline-factor" });
    const bar = make("span", { class: "cnn-pipeline-bar", "aria-hidden": "true" }, ...pieces);
    const row = make(
      "li",
      { "data-stage": stage },
      make("span", {}, text(`stage_${stage}`)),
      bar,
      number,
      factor,
    );
    return { stage, row, pieces, number, factor };
  });
  const lines = ERRORS.map((name) => {
    const number = make("td", { "data-error": name });
    return { name, number, row: make("tr", {}, make("th", { scope: "row" }, text(`error_${name}`)), number) };
  });
  const kept = make("p", { class: "cnn-pipeline-kept" });
  const uses = PARTS.map((part, i) => {
    const number = make("td", { "data-part": part });
    return { i, number, row: make("tr", {}, make("th", { scope: "row" }, text(`part_${part}`)), number) };
  });
  const titled = (name, ...children) => {
    const title = make("p", { class: "cnn-title", id: uniqueId(name) }, text(name));
    return make("div", { class: "cnn-pipeline-group", role: "group", "aria-labelledby": title.id },
      title, ...children);
  };
  const table = (...rows) => make("table", { class: "cnn-pipeline-table" }, make("tbody", {}, ...rows));
  const partsGroup = titled("parts", table(...uses.map(({ row }) => row)));

  // --- the curve -------------------------------------------------------------------------------

  const plot = make("div", {
    class: "cnn-plot cnn-pipeline-plot",
    "aria-hidden": "true", // every point of it is reached by the two sliders
    onpointerdown: (event) => pick(event),
  });
  let places = null;
  function pick(event) {
    if (!places) return;
    const box = plot.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const far = (one) => Math.hypot(places.x(one.bytes) - x, places.y(one.error) - y);
    const best = nearestSetting(places.all, far);
    if (far(best) < 30) change({ level: best.level, bits: best.bits });
  }
  function paint() {
    const width = plot.clientWidth || 640;
    const height = clamp(Math.round(width * 0.5), 230, 330);
    const all = settings(record());
    const bytes = [...all.map((one) => one.bytes), record().dense];
    const frame = { left: 46, right: width - 12, top: 26, bottom: height - 42 };
    const highest = Math.max(...all.map(({ error }) => error));
    const x = scaleOf([0.85 * Math.min(...bytes), 1.15 * Math.max(...bytes)], [frame.left, frame.right], true);
    const y = scaleOf([0, 1.05 * highest], [frame.bottom, frame.top]);
    places = { all, x, y };
    const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
    for (const value of ticks(0, 1.05 * highest)) {
      svg.append(
        draw("path", { d: `M${frame.left} ${y(value)}H${frame.right}`, class: "cnn-rule" }),
        draw("text", { x: frame.left - 6, y: y(value) + 4, "text-anchor": "end" },
          `${readable(100 * value)} %`),
      );
    }
    const [low, high] = [Math.min(...bytes), Math.max(...bytes)];
    const steps = width < 560 ? [1] : [1, 2, 5];
    const powers = powersOfTen(10 ** Math.floor(Math.log10(low)), high);
    const marks = powers.flatMap((power) => steps.map((step) => step * power));
    for (const value of marks.filter((mark) => mark > 0.85 * low && mark < 1.15 * high)) {
      const anchor = x(value) > frame.right - 30 ? "end" : "middle";
      svg.append(
        draw("path", { d: `M${x(value)} ${frame.bottom}v5`, class: "cnn-rule" }),
        draw("text", { x: x(value), y: frame.bottom + 18, "text-anchor": anchor }, withCommas(value)),
      );
    }
    svg.append(
      draw("path", { d: `M${frame.left} ${frame.bottom}H${frame.right}`, class: "cnn-axis" }),
      draw("text", { x: 2, y: 14, class: "cnn-axis-name" }, text("axis_error")),
      draw("text", { x: frame.right, y: height - 6, "text-anchor": "end", class: "cnn-axis-name" },
        text("axis_size")),
    );
    record().levels.forEach((_, at) => {
      const mine = all.filter((one) => one.level === at);
      const d = mine.map((one, i) => `${i ? "L" : "M"}${x(one.bytes)} ${y(one.error)}`).join("");
      const here = at === model.get("level") ? " cnn-pipeline-here" : "";
      svg.append(draw("path", { d, class: `cnn-pipeline-line${here}` }));
      for (const one of mine) {
        const place = { cx: x(one.bytes), cy: y(one.error), r: here ? 4 : 3 };
        svg.append(draw("circle", { ...place, class: `cnn-pipeline-dot${here}` }));
      }
    });
    const start = { cx: x(record().dense), cy: y(mean(record().errors)) };
    svg.append(draw("circle", { ...start, r: 5, class: "cnn-pipeline-start" }));
    svg.append(draw("text", { x: start.cx, y: start.cy + 20, "text-anchor": "end" }, text("before")));
    const { bytes: size, errors } = now();
    const ring = { cx: x(size), cy: y(mean(errors.final)) };
    svg.append(draw("circle", { ...ring, r: 9, class: "cnn-pipeline-ring" }));
    const left = ring.cx > (frame.left + frame.right) / 2;
    svg.append(
      draw("text", { x: ring.cx + (left ? -14 : 14), y: ring.cy - 11, class: "cnn-axis-name",
        "text-anchor": left ? "end" : "start" }, text("here")),
    );
    plot.replaceChildren(svg);
  }

  // --- all together ----------------------------------------------------------------------------

  const root = make(
    "div",
    { class: "cnn-widget cnn-pipeline", role: "group", "aria-label": text("name") },
    make("div", { class: "cnn-pipeline-settings" }, networkField, level.field, bits.field),
    titled("stages", make("ul", {}, ...bars.map(({ row }) => row)),
      make("p", { class: "cnn-pipeline-legend" }, text("legend")), kept),
    titled("curve", plot),
    make("div", { class: "cnn-pipeline-tables" },
      titled("errors", table(...lines.map(({ row }) => row))), partsGroup),
  );
  const say = announcer(root);
  const percent = (errors) => {
    const sd = deviation(errors);
    const middle = (100 * mean(errors)).toFixed(1);
    if (sd === null) return text("percent", { number: middle });
    return text("mean_sd", { mean: middle, sd: (100 * sd).toFixed(1) });
  };
  function sayResult() {
    const { bytes, errors } = now();
    const factor = readable(record().dense / bytes, 1);
    say(text("spoken", { bytes: withCommas(bytes), factor, error: percent(errors.final) }));
  }

  function drawAll() {
    const found = now();
    const [at, wide] = [model.get("level"), model.get("bits")];
    select.value = String(model.get("network"));
    const { levels } = record();
    level.update(at, levels.length, text("percent", { number: readable(100 * levels[at].level) }));
    const steps = choices(record());
    const word = wide === UNSHARED ? text("bits_own") : text("bits_shared", { bits: wide });
    bits.update(steps.indexOf(wide), steps.length, word);

    const largest = Math.max(found.stages.dense, found.stages.sparse);
    for (const { stage, row, pieces, number, factor } of bars) {
      const bytes = found.stages[stage];
      row.classList.toggle("cnn-pipeline-not", bytes === null);
      setText(number, bytes === null ? text("not_done") : withCommas(bytes));
      const times = bytes === null ? "" : text("factor", { number: readable(record().dense / bytes, 1) });
      setText(factor, times);
      let shares = [bytes ?? 0, 0, 0];
      if (stage === "huffman" && found.parts) {
        const [values, gaps, ...others] = found.parts;
        shares = [values, gaps, sum(others)];
      }
      pieces.forEach((piece, i) => (piece.style.width = `${(100 * shares[i]) / largest}%`));
    }
    setText(kept, text("kept", { percent: readable(100 * levels[at].kept, 1) }));
    for (const { name, number } of lines) setText(number, percent(found.errors[name]));
    partsGroup.hidden = found.parts === null;
    for (const { i, number } of uses) setText(number, found.parts ? withCommas(found.parts[i]) : "");
    paint();
  }

  const redraw = onceATurn(drawAll);
  redraw.now = drawAll;
  const traits = ["network", "level", "bits"];
  for (const trait of traits) model.on(`change:${trait}`, redraw);
  let width = 0;
  const observer = new ResizeObserver(() => {
    // In the next frame: what is drawn changes the height, which is being observed.
    if (width !== plot.clientWidth) requestAnimationFrame(paint);
    width = plot.clientWidth;
  });
  el.append(root);
  drawAll();
  observer.observe(plot);

  return () => {
    say.stop();
    observer.disconnect();
    for (const trait of traits) model.off(`change:${trait}`, redraw);
  };
}

export default { render };
