// Wire a small cell, see how good it is, and follow where a search went.
// The functions above the line are plain (tested against cnnlib.search); below it is the page.
import {
  announcer,
  clamp,
  make,
  onceATurn,
  setAttribute,
  setText,
  uniqueId,
  words,
} from "./common.js";

export const EDGES = [
  [0, 1],
  [0, 2],
  [1, 2],
  [1, 3],
  [2, 3],
];
export const LETTERS = "-icp";
const NAMES = { "-": "none", i: "identity", c: "conv", p: "avg" }; // in the keys of the labels
const [CODE, EXPRESSION, PARAMETERS, MACS, ENCODINGS, CONVOLUTIONS, ACCURACIES] = [
  0, 1, 2, 3, 4, 5, 6,
]; // places in a row

/** A code as a number from 0 to 1023: its letters as digits, the first edge's first. */
export function numberOf(code) {
  return [...code].reduce((sum, letter) => LETTERS.length * sum + LETTERS.indexOf(letter), 0);
}

/** The code with another letter at one edge. */
export function changed(code, edge, letter) {
  return code.slice(0, edge) + letter + code.slice(edge + 1);
}

/** The operation that comes after this one, round and round. */
export function following(letter) {
  return LETTERS[(LETTERS.indexOf(letter) + 1) % LETTERS.length];
}

/** The 15 codes that differ at one edge. */
export function neighbours(code) {
  return EDGES.flatMap((_, edge) =>
    [...LETTERS].filter((letter) => letter !== code[edge]).map((l) => changed(code, edge, l)),
  );
}

export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation of a sample; 0 for one value. */
export function deviation(values) {
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return Math.sqrt(squares / Math.max(1, values.length - 1));
}

/** 0.66249 as "66.2"; a half is rounded up, as in cell_editor.py. */
export function percent(value) {
  return (Math.floor(1000 * value + 0.5) / 10).toFixed(1);
}

/** The neighbour with the best rank among those that `allowed(row)`, or null if none is better. */
export function bestChange(code, encodings, rows, allowed = () => true) {
  const here = encodings[numberOf(code)];
  const better = neighbours(code)
    .map((other) => [encodings[numberOf(other)], other])
    .filter(([place]) => place < here && allowed(rows[place]));
  if (better.length === 0) return null;
  return better.reduce((best, other) => (other[0] < best[0] ? other : best))[1];
}

/**
 * Where a search stands after some evaluations: { tried, number, best } with the places of the rows
 * that were tried, the last step and the step with the highest accuracy seen, each [code, accuracy].
 */
export function standing(steps, evaluations, encodings) {
  const done = steps.slice(0, evaluations);
  const best = done.reduce((a, b) => (b[1] > a[1] ? b : a));
  const tried = [...new Set(done.map(([code]) => encodings[numberOf(code)]))];
  return { tried, last: done.at(-1), best };
}

/**
 * Sideways places of dots, so that none covers another of its column: from 0 (the left of the first
 * column) to 1 (the right of the last). `values` are the heights, `columns` the column of each dot.
 */
export function spread(values, columns, count, gap = 0.006) {
  const placed = Array.from({ length: count }, () => []);
  return values.map((value, i) => {
    const others = placed[columns[i]].filter(([height]) => Math.abs(height - value) < gap);
    const taken = new Set(others.map(([, slot]) => slot));
    let slot = 0;
    while (taken.has(slot)) slot = slot > 0 ? -slot : 1 - slot; // 0, 1, -1, 2, -2, ...
    placed[columns[i]].push([value, slot]);
    return (columns[i] + 0.5 + clamp(slot * 0.085, -0.46, 0.46)) / count;
  });
}

/** A whole number with commas, as the book prints them. */
export function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

// ------------------------------------------------------------------------------------- the page

const PLACES = [
  [30, 100],
  [180, 30],
  [180, 170],
  [330, 100],
]; // of the nodes in the drawing
const BOX = [86, 30]; // of an operation in the drawing
const HEIGHT = 300; // of the map, in pixels
const MARGIN = { left: 34, right: 8, top: 8, bottom: 40 };

/** An SVG element; functions become event listeners. */
function shape(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function render({ model, el }) {
  const text = words(model);
  const rows = model.get("rows");
  const encodings = model.get("encodings");
  const searches = Object.fromEntries(model.get("searches"));
  const limit = model.get("max_parameters");
  const worth = rows.map((row) => mean(row[ACCURACIES]));
  const placeOf = (code) => encodings[numberOf(code)];
  const allowed = (row) => !model.get("capped") || row[PARAMETERS] <= limit;

  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
    drawAll();
  }
  function load(code) {
    change({ code });
    const place = placeOf(code);
    const told = { code, mean: percent(worth[place]), rank: place + 1, cells: rows.length };
    say(text("spoken", told));
  }

  // --- the drawing: tap an operation for the next one ------------------------------------------

  const boxes = EDGES.map(([from, to], edge) => {
    const [[x1, y1], [x2, y2]] = [PLACES[from], PLACES[to]];
    const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
    const line = shape("path", { d: `M${x1} ${y1}L${x2} ${y2}`, class: "cnn-cell-line" });
    const size = { x: x - BOX[0] / 2, y: y - BOX[1] / 2, width: BOX[0], height: BOX[1], rx: 6 };
    const word = shape("text", { x, y: y + 4.5, "text-anchor": "middle" });
    const group = shape(
      "g",
      {
        class: "cnn-cell-box",
        "data-edge": edge,
        onclick: () => {
          const code = model.get("code");
          load(changed(code, edge, following(code[edge])));
        },
      },
      shape("rect", size),
      word,
    );
    return { line, group, word };
  });
  const nodes = PLACES.flatMap(([cx, cy], node) => [
    shape("circle", { cx, cy, r: 15, class: "cnn-cell-node" }),
    shape(
      "text",
      { x: cx, y: cy + 4.5, "text-anchor": "middle", class: "cnn-cell-number" },
      String(node),
    ),
  ]);
  const ends = [
    [PLACES[0][0], "in"],
    [PLACES[3][0], "out"],
  ].map(([x, key]) => shape("text", { x, y: 74, "text-anchor": "middle" }, text(key)));
  const drawing = shape(
    "svg",
    { viewBox: "0 0 360 200", role: "img", class: "cnn-cell-drawing" },
    ...boxes.map(({ line }) => line),
    ...nodes,
    ...ends,
    ...boxes.map(({ group }) => group),
  );

  // --- the five choices ------------------------------------------------------------------------

  const choices = EDGES.map(([from, to], edge) => {
    const select = make("select", {
      "data-edge": String(edge),
      onchange: () => load(changed(model.get("code"), edge, select.value)),
    });
    for (const letter of LETTERS) {
      const word = text(`operation_${NAMES[letter]}`);
      select.append(make("option", { value: letter }, word));
    }
    const word = make("span", {}, text("edge", { from, to }));
    return { select, field: make("label", { class: "cnn-field" }, word, select) };
  });
  const title = make("p", { class: "cnn-title", id: uniqueId("edges") }, text("edges"));
  const fields = make(
    "div",
    { class: "cnn-cell-choices", role: "group", "aria-labelledby": title.id },
    ...choices.map(({ field }) => field),
  );

  const random = make("button", { type: "button", onclick: roll }, text("random"));
  const climb = make("button", { type: "button", onclick: step }, text("climb"));
  const top = make("p", { class: "cnn-cell-top" }, text("top"));
  function roll() {
    let code;
    do {
      code = EDGES.map(() => LETTERS[Math.floor(Math.random() * LETTERS.length)]).join("");
    } while (!allowed(rows[placeOf(code)]));
    load(code);
  }
  function step() {
    const next = bestChange(model.get("code"), encodings, rows, allowed);
    top.hidden = next !== null;
    if (next) load(next);
    else say(text("top"));
  }

  const rankWord = make("span", {});
  const rank = make("input", {
    type: "range",
    min: "1",
    max: String(rows.length),
    step: "1",
    "data-slider": "rank",
    oninput: () => load(rows[Number(rank.value) - 1][CODE]),
  });
  const rankField = make(
    "label",
    { class: "cnn-field cnn-cell-slider" },
    make("span", { class: "cnn-cell-word" }, make("span", {}, text("by_rank")), rankWord),
    rank,
  );

  // --- what the table says -------------------------------------------------------------------

  const facts = ["accuracy", "rank", "size", "computes"].map((key) => {
    const value = make("dd", { class: "cnn-cell-value", "data-fact": key });
    const more = make("dd", { class: "cnn-cell-more" });
    return { key, value, more, box: make("div", {}, make("dt", {}, text(key)), value, more) };
  });
  const answers = make("dl", { class: "cnn-cell-facts" }, ...facts.map(({ box }) => box));

  // --- the searches --------------------------------------------------------------------------

  const known = model.get("searches").map(([name]) => name);
  const searchChoice = make("select", {
    "data-setting": "search",
    onchange: () => {
      const steps = searches[searchChoice.value];
      change({ search: searchChoice.value, evaluations: steps ? steps.length : 1 });
      sayStep();
    },
  });
  for (const value of ["", ...known])
    searchChoice.append(make("option", { value }, text(`show_${value || "none"}`)));
  const searchField = make(
    "label",
    { class: "cnn-field" },
    make("span", {}, text("show")),
    searchChoice,
  );
  const countWord = make("span", {});
  const count = make("input", {
    type: "range",
    min: "1",
    step: "1",
    "data-slider": "evaluations",
    oninput: () => {
      change({ evaluations: Number(count.value) });
      sayStep();
    },
  });
  const countField = make(
    "label",
    { class: "cnn-field cnn-cell-slider" },
    make("span", { class: "cnn-cell-word" }, make("span", {}, text("evaluations")), countWord),
    count,
  );
  const cap = make("input", {
    type: "checkbox",
    "data-setting": "capped",
    onchange: () => {
      change({ capped: cap.checked });
    },
  });
  const capText = text("cap", { parameters: grouped(limit) });
  const capField = make("label", { class: "cnn-cell-cap" }, cap, make("span", {}, capText));
  const told = make("p", { class: "cnn-cell-told" });
  function sayStep() {
    if (model.get("search")) say(told.textContent);
  }

  // --- the map: all cells ----------------------------------------------------------------------

  const columns = Math.max(...rows.map((row) => row[CONVOLUTIONS])) + 1;
  const across = spread(worth, rows.map((row) => row[CONVOLUTIONS]), columns);
  // one cell lets nothing through and guesses: it stands on the floor, with its figure beside it
  const low = Math.floor(20 * worth.at(-2)) / 20;
  const high = Math.ceil(20 * Math.max(...worth)) / 20;
  const map = shape("svg", { role: "img", class: "cnn-cell-map", onclick: pick });
  const host = make("div", { class: "cnn-cell-host" }, map);
  const legend = make("p", { class: "cnn-cell-legend" });
  let points = [];
  function pick(event) {
    const box = map.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const open = points.filter(([, , place]) => allowed(rows[place]));
    const near = ([a, b]) => (a - x) ** 2 + (b - y) ** 2;
    const found = open.reduce((best, point) => (near(point) < near(best) ? point : best));
    if (near(found) < 400) load(rows[found[2]][CODE]);
  }

  function drawMap() {
    const width = host.clientWidth || 600;
    const inner = [width - MARGIN.left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
    const right = (share) => MARGIN.left + share * inner[0];
    const down = (value) =>
      MARGIN.top + inner[1] * (1 - Math.max(0, (value - low) / (high - low)));
    setAttribute(map, "viewBox", `0 0 ${width} ${HEIGHT}`);
    setAttribute(map, "height", HEIGHT);
    const parts = [];
    for (let tick = Math.round(20 * low); tick / 20 <= high + 1e-9; tick++) {
      const y = down(tick / 20);
      parts.push(shape("path", { d: `M${MARGIN.left} ${y}H${width - 8}`, class: "cnn-cell-grid" }));
      const at = { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" };
      parts.push(shape("text", at, String(5 * tick)));
    }
    for (let column = 0; column < columns; column++) {
      const at = { x: right((column + 0.5) / columns), y: HEIGHT - 24, "text-anchor": "middle" };
      parts.push(shape("text", at, String(column)));
    }
    const name = { x: right(0.5), y: HEIGHT - 6, "text-anchor": "middle" };
    parts.push(shape("text", name, text("x_axis")));

    const steps = searches[model.get("search")];
    const now = steps && standing(steps, model.get("evaluations"), encodings);
    const tried = new Set(now?.tried);
    points = rows.map((_, place) => [right(across[place]), down(worth[place]), place]);
    const late = []; // drawn above the others
    for (const [cx, cy, place] of points) {
      const kind = [tried.has(place) && "cnn-cell-tried", !allowed(rows[place]) && "cnn-cell-shut"];
      const look = ["cnn-cell-dot", ...kind.filter(Boolean)].join(" ");
      const dot = shape("circle", { cx, cy, r: tried.has(place) ? 5 : 3.5, class: look });
      (tried.has(place) ? late : parts).push(dot);
      if (worth[place] < low) {
        parts.push(shape("text", { x: cx + 8, y: cy - 4 }, percent(worth[place])));
      }
    }
    if (now) {
      const [cx, cy] = points[placeOf(now.best[0])];
      late.push(shape("circle", { cx, cy, r: 9.5, class: "cnn-cell-winner" }));
    }
    const [x, y] = points[placeOf(model.get("code"))];
    const cross = `M${x - 11} ${y}H${x + 11}M${x} ${y - 11}V${y + 11}`;
    map.replaceChildren(...parts, ...late, shape("path", { d: cross, class: "cnn-cell-here" }));
    const about = now ? told.textContent : text("map_plain");
    setAttribute(map, "aria-label", text("map", { cells: rows.length, about }));
    setText(legend, `${text("y_axis")} · ${text(now ? "legend" : "legend_cell")}`);
  }

  // --- all of it -------------------------------------------------------------------------------

  const searchSettings = make(
    "div",
    { class: "cnn-settings cnn-cell-settings" },
    ...(known.length > 0 ? [searchField, countField] : []),
  );
  const root = make(
    "div",
    { class: "cnn-widget cnn-cell", role: "group", "aria-label": text("name") },
    make(
      "div",
      { class: "cnn-cell-editor" },
      make("div", {}, drawing, make("div", { class: "cnn-cell-buttons" }, random, climb), top),
      make("div", {}, title, fields),
    ),
    answers,
    make("div", { class: "cnn-cell-settings" }, rankField, ...(limit > 0 ? [capField] : [])),
    searchSettings,
    told,
    host,
    legend,
  );
  const say = announcer(root);
  top.hidden = true;

  function drawCell(code) {
    const names = [];
    boxes.forEach(({ line, group, word }, edge) => {
      const letter = code[edge];
      setText(word, text(`operation_${NAMES[letter]}`));
      setAttribute(group, "data-letter", letter);
      setAttribute(line, "data-letter", letter);
      choices[edge].select.value = letter;
      if (letter !== "-") {
        names.push(`${EDGES[edge].join(" → ")} ${text(`operation_${NAMES[letter]}`)}`);
      }
    });
    const row = rows[placeOf(code)];
    const edges = names.join(", ") || text("operation_none");
    setAttribute(drawing, "aria-label", text("drawing", { edges, expression: row[EXPRESSION] }));
  }

  function drawFacts(code) {
    const place = placeOf(code);
    const row = rows[place];
    const accuracies = row[ACCURACIES];
    const expression = row[EXPRESSION] === "0" ? text("nothing") : row[EXPRESSION];
    const values = {
      accuracy: [
        text("accuracy_value", { mean: percent(worth[place]), sd: percent(deviation(accuracies)) }),
        text("runs", {
          seeds: accuracies.length,
          accuracies: accuracies.map(percent).join(", "),
        }),
      ],
      rank: [
        text("rank_value", { rank: place + 1, cells: rows.length }),
        text("encodings", { number: row[ENCODINGS], all: encodings.length }),
      ],
      size: [
        text("size_value", { parameters: grouped(row[PARAMETERS]) }),
        text("convolutions", { number: row[CONVOLUTIONS], macs: grouped(row[MACS]) }),
      ],
      computes: [expression, code],
    };
    for (const { key, value, more } of facts) {
      setText(value, values[key][0]);
      setText(more, values[key][1]);
    }
    if (rank.value !== String(place + 1)) rank.value = String(place + 1);
    setText(rankWord, text("rank_of", { rank: place + 1 }));
  }

  function drawSearch() {
    const name = model.get("search");
    const steps = searches[name];
    searchChoice.value = name;
    countField.hidden = told.hidden = !steps;
    if (!steps) return;
    const number = clamp(model.get("evaluations"), 1, steps.length);
    count.max = String(steps.length);
    count.value = String(number);
    setText(countWord, String(number));
    const { last, best } = standing(steps, number, encodings);
    const values = {
      number,
      all: steps.length,
      code: last[0],
      seen: percent(last[1]),
      mean: percent(worth[placeOf(last[0])]),
      best: best[0],
      best_seen: percent(best[1]),
      best_mean: percent(worth[placeOf(best[0])]),
      rank: placeOf(best[0]) + 1,
    };
    setText(told, text("step", values));
  }

  let shown = null;
  function drawAll() {
    const code = model.get("code");
    if (code !== shown) top.hidden = true;
    shown = code;
    cap.checked = model.get("capped");
    drawCell(code);
    drawFacts(code);
    drawSearch();
    drawMap();
  }

  const redraw = onceATurn(drawAll);
  const traits = ["code", "search", "evaluations", "capped"];
  for (const trait of traits) model.on(`change:${trait}`, redraw);
  el.append(root);
  drawAll();
  let width = host.clientWidth;
  const observer = new ResizeObserver(() => {
    if (width === host.clientWidth) return;
    width = host.clientWidth;
    requestAnimationFrame(drawMap); // in the next frame: what is drawn is being observed
  });
  observer.observe(host);

  return () => {
    observer.disconnect();
    say.stop();
    for (const trait of traits) model.off(`change:${trait}`, redraw);
  };
}

export default { render };
