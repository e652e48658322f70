// A residual network as its paths: blocks are taken out, paths go, the measured error rises.
// The functions above the line are plain arithmetic (tested in node); below it is the page.
import {
  announcer,
  clamp,
  make,
  onceATurn,
  scrollable,
  setAttribute,
  setText,
  setUsable,
  uniqueId,
  words,
} from "./common.js";
import { LinePlot, draw, mean, summary } from "./chart.js";

/** Number of bits that are set. */
export function bits(mask) {
  let count = 0;
  for (let rest = mask; rest > 0; rest >>= 1) count += rest & 1;
  return count;
}

/** How many choices of k out of n there are. */
export function choose(n, k) {
  let count = 1;
  for (let i = 1; i <= k; i++) count = (count * (n - k + i)) / i;
  return Math.round(count);
}

/** All paths through n blocks, each as the set of blocks that it passes: short ones first. */
export function pathsOf(n) {
  return Array.from({ length: 2 ** n }, (_, mask) => mask).sort(
    (a, b) => bits(a) - bits(b) || a - b,
  );
}

/** Whether a path survives: it passes no block that was taken out. */
export function whole(path, deleted) {
  return (path & deleted) === 0;
}

/** How many paths through n blocks are left, by the number of blocks that they pass. */
export function lengthsLeft(n, deleted) {
  const left = n - bits(deleted);
  return Array.from({ length: n + 1 }, (_, k) => (k <= left ? choose(left, k) : 0));
}

/** The numbers, from 1, of the blocks in a set. */
export function numbersOf(mask) {
  return Array.from({ length: 31 }, (_, i) => i + 1).filter((number) => mask & (1 << (number - 1)));
}

/** For each seed the mean error over all sets of so many blocks. */
export function meansWithout(table, count) {
  return table.map((errors) => mean(errors.filter((_, mask) => bits(mask) === count)));
}

/** Where path number `at` leads by an arrow key; columns are lengths. Null for other keys. */
export function stepTo(key, at, paths) {
  const length = bits(paths[at]);
  const column = (wanted) => paths.findIndex((path) => bits(path) === wanted);
  const rank = at - column(length);
  const across = (wanted) => {
    const start = column(wanted);
    if (start < 0) return at;
    const end = paths.findLastIndex((path) => bits(path) === wanted);
    return Math.min(start + rank, end);
  };
  if (key === "ArrowUp") return Math.min(at + 1, paths.length - 1);
  if (key === "ArrowDown") return Math.max(at - 1, 0);
  if (key === "ArrowRight") return across(length + 1);
  if (key === "ArrowLeft") return across(length - 1);
  if (key === "Home") return 0;
  if (key === "End") return paths.length - 1;
  return null;
}

/** The lines of one picture of the deep networks, for a chart. */
export function deepLines(view, deep, names) {
  const places = (length, first) => Array.from({ length }, (_, i) => i + first);
  if (view === "gradients") {
    const n = deep.gradients[0].length - 1;
    const x = places(n + 1, 0);
    const all = deep.gradients.map((run) => run.map((norm, k) => norm * choose(n, k)));
    return [
      { name: names.one_path, x, seeds: deep.gradients, colour: 0, dash: 0 },
      { name: names.all_paths, x, seeds: all, colour: 1, dash: 1 },
    ];
  }
  return ["residual", "plain"].map((network, i) => {
    const found = deep[view][network];
    const line = { name: names[network], colour: i, dash: i };
    if (view === "single") return { ...line, x: places(found[0].length, 1), seeds: found };
    const counts = Object.keys(found).map(Number);
    const draws = found[counts[0]].map((_, draw) => counts.map((count) => found[count][draw]));
    return { ...line, x: counts, seeds: draws };
  });
}

/** Where the blocks of the drawing lie: left and right end and middle of each, and the ends. */
export function layout(width, stages) {
  const n = stages.reduce((sum, count) => sum + count, 0);
  const [margin, between] = [22, 14];
  const step = Math.min(112, (width - 2 * margin - between * (stages.length - 1)) / n);
  const blocks = [];
  let left = margin;
  stages.forEach((count, stage) => {
    if (stage > 0) left += between;
    for (let i = 0; i < count; i++, left += step) {
      blocks.push({
        left,
        middle: left + step / 2,
        right: left + step,
        first: stage > 0 && i === 0,
      });
    }
  });
  return { blocks, start: 4, end: left + margin - 4, side: Math.min(46, step - 10) };
}

// ------------------------------------------------------------------------------------- the page

const HEIGHT = 216; // of the drawing
const ROWS = { residual: 92, plain: 172 }; // heights at which the two networks lie
const VIEWS = ["single", "several", "gradients"];

function render({ model, el }) {
  const text = words(model);
  const get = (name) => model.get(name);
  const change = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const stages = get("stages");
  const n = stages.reduce((sum, count) => sum + count, 0);
  const paths = pathsOf(n);
  const numbers = Array.from({ length: n }, (_, i) => i);
  const networks = ["residual", "plain"];
  let chosen = null; // which path is followed in the drawing, as a place in `paths`

  function toggle(i) {
    change({ deleted: get("deleted") ^ (1 << i) });
    drawAll();
    sayState();
  }

  // --- the two networks ------------------------------------------------------------------------

  const drawing = draw("svg", { "aria-hidden": "true", height: HEIGHT });
  const buttons = numbers.map((i) =>
    make("button", { type: "button", "data-block": i + 1, onclick: () => toggle(i) }, `${i + 1}`),
  );
  // The same blocks in the plain network: for the mouse and the finger; the keyboard has the above.
  const twins = numbers.map((i) =>
    make("div", { class: "cnn-twin", "aria-hidden": "true", onclick: () => toggle(i) }, `${i + 1}`),
  );
  const stage = make("div", { class: "cnn-networks" }, drawing, ...buttons, ...twins);

  function drawNetworks() {
    const width = stage.clientWidth || 640;
    const deleted = get("deleted");
    const { blocks, start, end, side } = layout(width, stages);
    setAttribute(drawing, "width", width);
    setAttribute(drawing, "viewBox", `0 0 ${width} ${HEIGHT}`);
    const parts = [];
    const wire = (d, name = "cnn-wire") => parts.push(draw("path", { d, class: name }));
    const word = (x, y, shown, attributes = {}) =>
      parts.push(draw("text", { x, y, ...attributes }, shown));
    word(0, 14, text("residual"), { class: "cnn-network-name" });
    word(0, ROWS.plain - 34, text("plain"), { class: "cnn-network-name" });
    for (const { left, first } of blocks) {
      if (first) wire(`M${left - 7} 26V${HEIGHT - 6}`, "cnn-border");
    }
    for (const network of networks) {
      const y = ROWS[network];
      wire(`M${start} ${y}H${blocks[0].left}`);
      wire(`M${blocks.at(-1).right} ${y}H${end}`);
      blocks.forEach(({ left, right }, i) => {
        const out = Boolean(deleted & (1 << i));
        wire(`M${left} ${y}H${right}`, out ? "cnn-wire cnn-cut" : "cnn-wire");
        if (i > 0) wire(`M${blocks[i - 1].right} ${y}H${left}`);
        if (network === "residual") {
          wire(`M${left} ${y}C${left} ${y - 62} ${right} ${y - 62} ${right} ${y}`);
        }
      });
    }
    const y = ROWS.residual;
    if (chosen !== null) {
      const path = paths[chosen];
      let d = `M${start} ${y}`;
      blocks.forEach(({ left, right }, i) => {
        d += `H${left}`;
        d += path & (1 << i) ? `H${right}` : `C${left} ${y - 62} ${right} ${y - 62} ${right} ${y}`;
      });
      wire(`${d}H${end}`, whole(path, deleted) ? "cnn-followed" : "cnn-followed cnn-lost");
    }
    for (const { right } of blocks) {
      parts.push(draw("circle", { cx: right, cy: y, r: 5.5, class: "cnn-sum-node" }));
      wire(`M${right - 3} ${y}h6M${right} ${y - 3}v6`, "cnn-plus");
    }
    word(start, HEIGHT - 8, text("images"));
    word(end, HEIGHT - 8, text("classes"), { "text-anchor": "end" });
    drawing.replaceChildren(...parts);

    blocks.forEach(({ middle }, i) => {
      const out = Boolean(deleted & (1 << i));
      for (const [box, network] of [
        [buttons[i], "residual"],
        [twins[i], "plain"],
      ]) {
        box.style.left = `${middle - side / 2}px`;
        box.style.top = `${ROWS[network] - 18}px`;
        box.style.width = `${side}px`;
        box.classList.toggle("cnn-out", out);
      }
      setAttribute(buttons[i], "aria-pressed", String(out));
      setAttribute(buttons[i], "aria-label", text(out ? "block_out" : "block", { number: i + 1 }));
    });
  }

  // --- the paths -------------------------------------------------------------------------------

  const gallery = draw("svg", { "aria-hidden": "true" });
  const host = make(
    "div",
    {
      class: "cnn-gallery-of-paths",
      role: "slider",
      tabindex: "0",
      "aria-orientation": "horizontal",
      "aria-valuemin": "1",
      "aria-valuemax": String(paths.length),
      onpointermove: (event) => {
        if (event.pointerType === "mouse" || event.buttons) point(event);
      },
      onpointerdown: point,
      onpointerleave: (event) => {
        if (event.pointerType === "mouse" && document.activeElement !== host) follow(null);
      },
      onkeydown: (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const aim = chosen === null ? 0 : stepTo(event.key, chosen, paths);
        if (aim === null || stepTo(event.key, 0, paths) === null) return;
        event.preventDefault();
        follow(aim);
      },
    },
    gallery,
  );
  const pathText = make("p", { class: "cnn-path-text" });
  let shape = null; // sizes of the gallery as it was drawn last

  function follow(at) {
    if (at === chosen) return;
    chosen = at;
    redraw();
  }

  function point(event) {
    if (!shape) return;
    const box = gallery.getBoundingClientRect();
    const length = clamp(Math.floor((event.clientX - box.left) / shape.column), 0, n);
    const inside = paths.filter((path) => bits(path) === length);
    const rank = clamp(
      Math.floor((shape.bottom - (event.clientY - box.top)) / shape.row),
      0,
      inside.length - 1,
    );
    follow(paths.indexOf(inside[rank]));
  }

  function drawPaths() {
    const width = Math.min(host.clientWidth || 640, 640);
    const deleted = get("deleted");
    const most = choose(n, Math.floor(n / 2));
    const row = clamp(Math.floor(190 / most), 8, 16);
    const column = width / (n + 1);
    const bottom = most * row + 4;
    const height = bottom + 38;
    shape = { row, column, bottom };
    setAttribute(gallery, "width", width);
    setAttribute(gallery, "height", height);
    setAttribute(gallery, "viewBox", `0 0 ${width} ${height}`);
    const cell = Math.min(11, (column - 10) / n);
    const parts = [];
    const left = lengthsLeft(n, deleted);
    for (let length = 0; length <= n; length++) {
      const middle = (length + 0.5) * column;
      const from = middle - (n * cell) / 2;
      paths
        .filter((path) => bits(path) === length)
        .forEach((path, rank) => {
          const top = bottom - (rank + 1) * row;
          const group = draw("g", {
            class: `cnn-path${whole(path, deleted) ? "" : " cnn-path-cut"}`,
          });
          group.append(
            draw("path", { d: `M${from} ${top + row / 2}H${from + n * cell}`, class: "cnn-skip" }),
          );
          for (const i of numbers) {
            if (!(path & (1 << i))) continue;
            group.append(
              draw("rect", {
                x: from + i * cell + 0.75,
                y: top + 1,
                width: cell - 1.5,
                height: row - 2,
                class: deleted & (1 << i) ? "cnn-passed cnn-missing" : "cnn-passed",
              }),
            );
          }
          parts.push(group);
          if (chosen !== null && paths[chosen] === path) {
            parts.push(
              draw("rect", {
                x: from - 3,
                y: top - 1,
                width: n * cell + 6,
                height: row + 2,
                class: "cnn-chosen",
              }),
            );
          }
        });
      const centred = { x: middle, "text-anchor": "middle" };
      const count = text("count", { left: left[length], all: choose(n, length) });
      parts.push(
        draw("path", {
          d: `M${middle - column / 2 + 3} ${bottom}h${column - 6}`,
          class: "cnn-axis",
        }),
        draw("text", { ...centred, y: bottom + 16, class: "cnn-length" }, `${length}`),
        draw("text", { ...centred, y: bottom + 32 }, count),
      );
    }
    gallery.replaceChildren(...parts);

    const blocks = chosen === null ? [] : numbersOf(paths[chosen]);
    const shown =
      chosen === null
        ? text("lengths", { blocks: n })
        : text("path", {
            blocks: text(["path_none", "path_one"][blocks.length] ?? "path_several", {
              numbers: blocks.join(", "),
            }),
            state: text(whole(paths[chosen], deleted) ? "path_whole" : "path_cut"),
          });
    setText(pathText, shown);
    setAttribute(host, "aria-valuenow", String((chosen ?? 0) + 1));
    setAttribute(host, "aria-valuetext", shown);
    setAttribute(host, "aria-label", `${text("paths")}. ${text("path_keys")}`);
  }

  // --- what was measured -----------------------------------------------------------------------

  const left = make("p", { class: "cnn-paths-left" });
  const measuredTitle = make("p", { class: "cnn-title" });
  const results = networks.map((network, i) => {
    const bar = make("div", { class: "cnn-strip-bar" });
    const dots = get(network).map(() => make("div", { class: "cnn-dot" }));
    const chance = get("chance");
    const level = make("div", { class: "cnn-level" });
    level.hidden = chance === null;
    level.style.left = `${100 * (chance ?? 0)}%`;
    const value = make("span", { class: "cnn-result-value" });
    const strip = make("div", { class: "cnn-strip", "aria-hidden": "true" }, bar, level, ...dots);
    const name = make("span", { class: "cnn-result-name" }, text(network));
    const row = make(
      "div",
      { class: `cnn-paths-result cnn-colour-${i}`, "data-network": network },
      name,
      strip,
      value,
    );
    return { network, bar, dots, value, row };
  });
  const note = make("p", { class: "cnn-paths-help" });
  const putBack = make(
    "button",
    {
      type: "button",
      class: "cnn-put-back",
      onclick: () => {
        change({ deleted: 0 });
        drawAll();
        sayState();
      },
    },
    text("put_back"),
  );
  const table = make("table", { class: "cnn-numbers" });
  const scroll = make("div", { class: "cnn-scroll" }, table);
  const details = make(
    "details",
    { class: "cnn-details", ontoggle: () => scroller.update() },
    make("summary", {}, text("table")),
    scroll,
  );
  const scroller = scrollable(scroll, text("table"));

  const valuesNow = (network) => get(network).map((errors) => errors[get("deleted")]);

  function drawResults() {
    const deleted = get("deleted");
    const alive = 2 ** (n - bits(deleted));
    setText(
      left,
      `${text("left", { left: alive, all: 2 ** n })}; ${text("left_plain", { left: deleted ? 0 : 1 })}.`,
    );
    setUsable(putBack, deleted > 0);
    setText(measuredTitle, text(deleted ? "measured" : "measured_all"));
    for (const { network, bar, dots, value } of results) {
      const values = valuesNow(network);
      bar.style.width = `${100 * mean(values)}%`;
      dots.forEach((dot, i) => (dot.style.left = `${100 * values[i]}%`));
      setText(value, summary(values, "percent"));
    }
    const chance = get("chance");
    const level = chance === null ? "" : ` ┆ ${text("guessing")}: ${Math.round(100 * chance)} %.`;
    setText(note, `${text("seeds")}${level}`);
    const rowOf = (name, count, cells) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, name),
        make("td", {}, `${count}`),
        ...cells.map((values) => make("td", {}, summary(values, "percent"))),
      );
    const heads = ["table_blocks", "table_left", ...networks].map((key) =>
      make("th", { scope: "col" }, text(key)),
    );
    const now = numbersOf(deleted).join(", ") || "0";
    table.replaceChildren(
      make("thead", {}, make("tr", {}, ...heads)),
      make(
        "tbody",
        {},
        rowOf(`${text("now")}: ${now}`, alive, networks.map(valuesNow)),
        ...[...numbers, n].map((count) =>
          rowOf(
            `${count}`,
            2 ** (n - count),
            networks.map((network) => meansWithout(get(network), count)),
          ),
        ),
      ),
    );
  }

  function sayState() {
    const errors = networks.map((name) => `${text(name)} ${summary(valuesNow(name), "percent")}`);
    say(`${left.textContent} ${measuredTitle.textContent}: ${errors.join(", ")}.`);
  }

  // --- the deep networks -----------------------------------------------------------------------

  const views = VIEWS.filter((view) => view in get("deep"));
  const plot = views.length > 0 ? new LinePlot(text) : null;
  const tabs = views.map((view, i) =>
    make(
      "button",
      {
        type: "button",
        role: "tab",
        "data-view": view,
        onclick: () => change({ view }),
        onkeydown: (event) => {
          const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          if (!step) return;
          event.preventDefault();
          const aim = (i + step + views.length) % views.length;
          change({ view: views[aim] });
          tabs[aim].focus();
        },
      },
      text(`view_${view}`),
    ),
  );
  const about = make("p", { class: "cnn-deep-about" });
  const panel = make(
    "div",
    { role: "tabpanel", id: uniqueId("panel") },
    about,
    ...(plot ? [plot.element] : []),
  );
  for (const tab of tabs) tab.setAttribute("aria-controls", panel.id);
  const below = make(
    "div",
    { class: "cnn-deep" },
    make("p", { class: "cnn-title" }, text("deep")),
    make(
      "div",
      { class: "cnn-choice-buttons", role: "tablist", "aria-label": text("deep") },
      ...tabs,
    ),
    panel,
  );
  below.hidden = plot === null;

  function drawDeep() {
    if (!plot) return;
    const view = get("view");
    for (const tab of tabs) {
      const on = tab.dataset.view === view;
      setAttribute(tab, "aria-selected", String(on));
      setAttribute(tab, "tabindex", on ? "0" : "-1");
    }
    const names = Object.fromEntries(
      ["residual", "plain", "one_path", "all_paths"].map((key) => [key, text(key)]),
    );
    const lines = deepLines(view, get("deep"), names);
    const label = text(`about_${view}`, { blocks: lines[0].x.length });
    setText(about, label);
    setAttribute(panel, "aria-label", text(`view_${view}`));
    const chance = get("chance");
    const gradients = view === "gradients";
    plot.draw({
      lines,
      label,
      xLabel: text(`x_${view}`),
      yLabel: text(gradients ? "y_gradients" : "y_error"),
      kind: gradients ? "log" : "percent",
      all: lines.flatMap(({ seeds }) => seeds.flat()),
      singles: view !== "several",
      guide: gradients || chance === null ? null : { y: chance, name: text("guessing") },
      heading: view === "several" ? "at_draws" : "at_mean",
    });
  }

  // --- putting it together ---------------------------------------------------------------------

  const root = make(
    "div",
    { class: "cnn-widget cnn-paths", role: "group", "aria-label": text("name") },
    make("p", { class: "cnn-paths-help" }, text("take_out")),
    stage,
    make("div", { class: "cnn-paths-state" }, left, putBack),
    make("p", { class: "cnn-title" }, text("paths")),
    host,
    pathText,
    measuredTitle,
    ...results.map(({ row }) => row),
    note,
    details,
    below,
  );
  const say = announcer(root);

  function drawAll() {
    drawNetworks();
    drawPaths();
    drawResults();
  }
  const redraw = onceATurn(drawAll);
  const redrawDeep = onceATurn(drawDeep);
  model.on("change:deleted", redraw);
  model.on("change:view", redrawDeep);
  let width = 0;
  const observer = new ResizeObserver(() => {
    if (width === stage.clientWidth) return;
    width = stage.clientWidth;
    requestAnimationFrame(redraw);
  });
  el.append(root);
  drawAll();
  drawDeep();
  observer.observe(stage);

  return () => {
    observer.disconnect();
    say.stop();
    scroller.stop();
    plot?.stop();
    model.off("change:deleted", redraw);
    model.off("change:view", redrawDeep);
  };
}

export default { render };
