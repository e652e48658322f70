// Line charts of the interactives: the mean over seeds and single seeds, read off by a cursor.
// The functions above the line are plain arithmetic; below it is the page.
import {
  announcer,
  clamp,
  make,
  onceATurn,
  readable,
  scrollable,
  setAttribute,
  setText,
  uniqueId,
} from "./common.js";

export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation of a sample (divided by n - 1); null for fewer than two values. */
export function deviation(values) {
  if (values.length < 2) return null;
  const middle = mean(values);
  return Math.sqrt(
    values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1),
  );
}

/** Round numbers between two others, about `count` of them. */
export function ticks(low, high, count = 5) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}

/** Powers of ten between two positive numbers, at most `most` of them. */
export function powersOfTen(low, high, most = 6) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const every = Math.max(1, Math.ceil((last - first + 1) / most));
  const powers = [];
  for (let power = last; power >= first; power -= every) powers.unshift(10 ** power);
  return powers;
}

/** A function that maps [low, high] to [from, to], linearly or by the logarithm. */
export function scaleOf([low, high], [from, to], log = false) {
  const place = log ? Math.log10 : (value) => value;
  const length = place(high) - place(low) || 1;
  return (value) => from + ((to - from) * (place(value) - place(low))) / length;
}

/** What an axis must span: from 0 where nothing is negative, or whole powers of ten. */
export function span(values, log = false) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (log)
    return [low, high].map((value, i) => 10 ** Math[i ? "ceil" : "floor"](Math.log10(value)));
  const all = ticks(Math.min(low, 0), high);
  const step = all.length > 1 ? all[1] - all[0] : 1;
  return [
    Math.floor(Math.min(low, 0) / step + 1e-9) * step,
    Math.ceil(high / step - 1e-9) * step || 1,
  ];
}

/** The index of the value that lies nearest to an aim. */
export function nearest(values, aim) {
  return values.reduce(
    (best, value, i) => (Math.abs(value - aim) < Math.abs(values[best] - aim) ? i : best),
    0,
  );
}

/** Places moved apart until they are `gap` from each other, in order, inside [low, high]. */
export function apart(places, gap, low, high) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  const moved = [...places];
  let before = low - gap;
  for (const i of order) before = moved[i] = Math.max(moved[i], before + gap);
  let after = high + gap;
  for (const i of order.reverse()) after = moved[i] = Math.min(moved[i], after - gap);
  return moved;
}

const RAISED = {
  "-": "\u207b",
  0: "⁰",
  1: "¹",
  2: "²",
  3: "³",
  4: "⁴",
  5: "⁵",
  6: "⁶",
  7: "⁷",
  8: "⁸",
  9: "⁹",
};

/** 0.00012 as 1.2·10⁻⁴; a power of ten without its 1. */
export function scientific(value, digits = 2) {
  if (value === 0) return "0";
  const [factor, power] = value.toExponential(digits - 1).split("e");
  const raised = [...String(Number(power))].map((sign) => RAISED[sign]).join("");
  const front = Number(factor) === 1 ? "" : `${factor.replace("-", "\u2212")}·`;
  return Number(power) === 0 ? factor : `${front}10${raised}`;
}

/** A value as a reader wants it: "12.3 %", "0.457" or "1.2·10⁻⁴". */
export function written(value, kind) {
  if (kind === "percent") return `${(100 * value).toFixed(1).replace("-", "\u2212")} %`;
  return kind === "log" ? scientific(value) : readable(value);
}

/** The values of all seeds of a line at one place; empty where the line has no point there. */
export function valuesAt(line, x) {
  const place = line.x.findIndex((value) => Math.abs(value - x) < 1e-6);
  return place < 0 ? [] : line.seeds.map((seed) => seed[place]);
}

/** All places where some line has a point, in order, each once. */
export function placesOf(lines) {
  const all = lines.flatMap((line) => line.x).sort((a, b) => a - b);
  return all.filter((x, i) => i === 0 || x - all[i - 1] > 1e-6);
}

/** Mean and standard deviation in words: "12.3 ± 0.4 %", "12.3 %", or a dash. */
export function summary(values, kind) {
  if (values.length === 0) return "–";
  const sd = deviation(values);
  const middle = mean(values);
  if (sd === null || kind === "log") return written(middle, kind);
  if (kind !== "percent") return `${readable(middle)} ± ${readable(sd)}`;
  return `${written(middle, kind).replace(" %", "")} ± ${(100 * sd).toFixed(1)} %`;
}

// ------------------------------------------------------------------------------------- the page

export const DASHES = [null, "7 4", "2 3.5", "10 3 2 3"];
const MARKERS = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (r) => `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0 ${-1.2 * r}L${1.15 * r} ${0.9 * r}H${-1.15 * r}z`,
  (r) => `M0 ${-1.35 * r}L${1.35 * r} 0 0 ${1.35 * r} ${-1.35 * r} 0z`,
  (r) => `M0 ${1.2 * r}L${1.15 * r} ${-0.9 * r}H${-1.15 * r}z`,
  (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
  (r) => `M0 ${-1.3 * r}V${1.3 * r}M${-1.3 * r} 0H${1.3 * r}`,
  (r) => `M${-r} ${-1.2 * r}h${2 * r}L${-r} ${1.2 * r}h${2 * r}z`,
];
export const COLOURS = MARKERS.length; // colour and marker go together

/** An SVG element; attributes that are null are left out. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const path = (points) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function marker(line, x, y, r = 4) {
  return draw("path", {
    d: MARKERS[line.colour % COLOURS](r),
    transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
    class: `cnn-marker${line.hollow ? " cnn-hollow" : ""}`,
  });
}

/** A short piece of a line with its marker, for legends. */
function swatch(line) {
  return draw(
    "svg",
    {
      class: `cnn-swatch cnn-colour-${line.colour % COLOURS}`,
      viewBox: "0 0 36 14",
      width: 36,
      height: 14,
      "aria-hidden": "true",
    },
    draw("path", {
      d: "M1 7H35",
      class: "cnn-line",
      "stroke-dasharray": DASHES[line.dash % DASHES.length],
    }),
    marker(line, 18, 7),
  );
}

/**
 * A chart with a cursor, a readout and a table, all of the same lines.
 *
 * `text` gives the words (the labels of chart.py). `draw(spec)` shows
 * { lines: [{ name, x, seeds, colour, dash, hollow }], xLabel, yLabel, kind, all, singles, guide,
 * label, heading }: kind is "percent", "number" or "log"; `all` are the values that the axis must span;
 * `singles` says whether every seed is drawn; `guide` is a dotted level { y, name };
 * `heading` is another label than "at_mean" for the readout.
 */
export class LinePlot {
  constructor(text) {
    this.text = text;
    this.cursor = null; // the x that is read off; null for the last one
    this.picked = null; // the name of the line that is brought out
    this.plot = make("div", { class: "cnn-plot" });
    this.host = make(
      "div",
      {
        class: "cnn-chart",
        role: "slider",
        tabindex: "0",
        "aria-orientation": "horizontal",
        onpointermove: (event) => {
          if (event.pointerType === "mouse" || event.buttons) this.point(event);
        },
        onpointerdown: (event) => this.point(event),
        onkeydown: (event) => this.press(event),
      },
      this.plot,
    );
    this.heading = make("p", { class: "cnn-title cnn-readout-title" });
    this.rows = make("div", { class: "cnn-readout" });
    this.table = make("table", { class: "cnn-numbers" });
    this.scroll = make("div", { class: "cnn-scroll" }, this.table);
    this.summary = make("summary", {}, text("table"));
    this.help = make("span", { id: uniqueId("chart"), class: "cnn-spoken" }, text("chart_keys"));
    this.host.setAttribute("aria-describedby", this.help.id);
    this.details = make(
      "details",
      { class: "cnn-details", ontoggle: () => this.scroller.update() },
      this.summary,
      this.scroll,
    );
    this.element = make(
      "div",
      { class: "cnn-lineplot" },
      this.help,
      this.host,
      this.heading,
      this.rows,
      this.details,
    );
    this.say = announcer(this.element);
    this.scroller = scrollable(this.scroll, text("table"));
    this.redraw = onceATurn(() => this.paint());
    this.observer = new ResizeObserver(() => {
      // In the next frame: what is drawn changes the height, which is being observed.
      if (this.width !== this.plot.clientWidth) requestAnimationFrame(this.redraw);
    });
    this.observer.observe(this.plot);
  }

  stop() {
    this.observer.disconnect();
    this.scroller.stop();
    this.say.stop();
  }

  draw(spec) {
    this.spec = spec;
    this.places = placesOf(spec.lines);
    if (!spec.lines.some(({ name }) => name === this.picked)) this.picked = null;
    this.paint();
    this.fillTable();
  }

  get at() {
    return this.cursor === null ? this.places.length - 1 : nearest(this.places, this.cursor);
  }

  point(event) {
    if (this.places.length === 0) return;
    const box = this.plot.getBoundingClientRect();
    const [low, high] = [this.places[0], this.places.at(-1)];
    const { left, right } = this.frame;
    const share = (event.clientX - box.left - left) / (right - left || 1);
    this.move(nearest(this.places, low + share * (high - low)));
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.places.length === 0) return;
    const last = this.places.length - 1;
    const steps = {
      ArrowLeft: -1,
      ArrowDown: -1,
      ArrowRight: 1,
      ArrowUp: 1,
      PageDown: -5,
      PageUp: 5,
    };
    if (event.key in steps) this.move(clamp(this.at + steps[event.key], 0, last));
    else if (event.key === "Home") this.move(0);
    else if (event.key === "End") this.move(last);
    else return;
    event.preventDefault();
  }

  move(index) {
    const place = this.places[index];
    if (place === this.cursor) return;
    this.cursor = place;
    this.redraw();
  }

  /** Brings one line out, or none. */
  pick(name) {
    this.picked = this.picked === name ? null : name;
    this.redraw();
  }

  paint() {
    if (!this.spec) return;
    const { lines } = this.spec;
    setAttribute(this.host, "aria-label", this.spec.label);
    this.host.hidden = this.heading.hidden = lines.length === 0;
    this.details.hidden = lines.length === 0;
    this.width = this.plot.clientWidth;
    if (lines.length > 0) this.plot.replaceChildren(this.picture(this.width || 640));
    this.fillReadout();
  }

  picture(width) {
    const { lines, xLabel, yLabel, kind, all, singles, guide } = this.spec;
    const log = kind === "log";
    const height = clamp(Math.round(width * 0.52), 230, 360);
    const named = width >= 560 && lines.length <= 10; // names beside the ends of the lines
    const longest = Math.max(...lines.map(({ name }) => name.length));
    const frame = {
      left: 52,
      right: width - (named ? 16 + 7 * Math.min(longest, 26) : 10),
      top: 24,
      bottom: height - 40,
    };
    this.frame = frame;
    const [low, high] = span(guide ? [...all, guide.y] : all, log);
    const y = scaleOf([low, high], [frame.bottom, frame.top], log);
    const x = scaleOf([this.places[0], this.places.at(-1)], [frame.left + 6, frame.right - 6]);
    const svg = draw("svg", {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      "aria-hidden": "true",
    });

    for (const value of log ? powersOfTen(low, high) : ticks(low, high)) {
      svg.append(
        draw("path", { d: `M${frame.left} ${y(value)}H${frame.right}`, class: "cnn-rule" }),
        draw(
          "text",
          { x: frame.left - 7, y: y(value) + 4, "text-anchor": "end" },
          kind === "percent" ? `${readable(100 * value)} %` : written(value, kind),
        ),
      );
    }
    for (const value of ticks(this.places[0], this.places.at(-1), width < 420 ? 4 : 8)) {
      svg.append(
        draw("path", { d: `M${x(value)} ${frame.bottom}v5`, class: "cnn-rule" }),
        draw(
          "text",
          { x: x(value), y: frame.bottom + 18, "text-anchor": "middle" },
          readable(value),
        ),
      );
    }
    svg.append(
      draw("path", { d: `M${frame.left} ${frame.bottom}H${frame.right}`, class: "cnn-axis" }),
      draw("text", { x: 2, y: 13, class: "cnn-axis-name" }, yLabel),
      draw(
        "text",
        { x: frame.right, y: height - 6, "text-anchor": "end", class: "cnn-axis-name" },
        xLabel,
      ),
    );
    if (guide) {
      svg.append(
        draw("path", { d: `M${frame.left} ${y(guide.y)}H${frame.right}`, class: "cnn-guide" }),
      );
    }
    const here = x(this.places[this.at]);
    svg.append(
      draw("path", { d: `M${here} ${frame.top}V${frame.bottom}`, class: "cnn-plot-cursor" }),
    );

    const ends = lines.map((line) => y(mean(line.seeds.map((seed) => seed.at(-1)))));
    const labelled = apart(ends, 14, frame.top, frame.bottom);
    lines.forEach((line, i) => {
      const faded = this.picked !== null && this.picked !== line.name;
      const group = draw("g", {
        class: `cnn-colour-${line.colour % COLOURS}${faded ? " cnn-faded" : ""}`,
      });
      const dash = DASHES[line.dash % DASHES.length];
      const at = (values) => line.x.map((place, k) => [x(place), y(values[k])]);
      if (singles && line.seeds.length > 1) {
        for (const seed of line.seeds) {
          group.append(draw("path", { d: path(at(seed)), class: "cnn-single" }));
        }
      }
      const middle = at(line.x.map((_, k) => mean(line.seeds.map((seed) => seed[k]))));
      group.append(draw("path", { d: path(middle), class: "cnn-line", "stroke-dasharray": dash }));
      const every = Math.ceil(middle.length / 26);
      middle.forEach(([left, top], k) => {
        if (k % every === 0 || left === here)
          group.append(marker(line, left, top, left === here ? 6 : 4));
      });
      if (named) {
        const [endX, endY] = middle.at(-1);
        group.append(
          draw("path", {
            d: path([
              [endX + 6, endY],
              [endX + 12, labelled[i]],
            ]),
            class: "cnn-leader",
          }),
          draw("text", { x: endX + 15, y: labelled[i] + 4, class: "cnn-line-name" }, line.name),
        );
      }
      svg.append(group);
    });
    if (guide) {
      const place = { x: frame.left + 10, y: y(guide.y) - 6 };
      svg.append(draw("text", { ...place, class: "cnn-guide-name" }, guide.name));
    }
    return svg;
  }

  fillReadout() {
    const { lines, kind, xLabel } = this.spec;
    if (lines.length === 0) return this.rows.replaceChildren();
    const place = this.places[this.at];
    const seeds = Math.max(...lines.map((line) => line.seeds.length));
    const x = `${xLabel} ${readable(place, 2)}`;
    const where = this.text(seeds > 1 ? (this.spec.heading ?? "at_mean") : "at", { x, seeds });
    setText(this.heading, where);
    const said = [];
    lines.forEach((line, i) => {
      let row = this.rows.children[i];
      if (!row) {
        row = make(
          "button",
          { type: "button", class: "cnn-readout-row" },
          make("span", { class: "cnn-readout-swatch" }),
          make("span", { class: "cnn-readout-name" }),
          make("span", { class: "cnn-readout-value" }),
        );
        row.addEventListener("click", () => this.pick(row.dataset.line));
        this.rows.append(row);
      }
      const value = summary(valuesAt(line, place), kind);
      row.dataset.line = line.name;
      row.classList.toggle("cnn-faded", this.picked !== null && this.picked !== line.name);
      setAttribute(row, "aria-pressed", String(this.picked === line.name));
      row.children[0].replaceChildren(swatch(line));
      setText(row.children[1], line.name);
      setText(row.children[2], value);
      said.push(`${line.name}: ${value}`);
    });
    while (this.rows.children.length > lines.length) this.rows.lastChild.remove();
    for (const [name, value] of [
      ["aria-valuemin", 0],
      ["aria-valuemax", this.places.length - 1],
      ["aria-valuenow", this.at],
      ["aria-valuetext", `${where}. ${said.join("; ")}`],
    ]) {
      setAttribute(this.host, name, String(value));
    }
  }

  fillTable() {
    const { lines, kind, xLabel } = this.spec;
    const head = [xLabel, ...lines.map(({ name }) => name)];
    this.table.replaceChildren(
      make("caption", {}, this.spec.label),
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make(
        "tbody",
        {},
        ...this.places.map((place) =>
          make(
            "tr",
            {},
            make("th", { scope: "row" }, readable(place, 2)),
            ...lines.map((line) => make("td", {}, summary(valuesAt(line, place), kind))),
          ),
        ),
      ),
    );
    this.scroller.update();
  }
}
