// What the interactives share. No framework, no network: small helpers around the DOM.

let lastId = 0;

/** An id that is unique on the page, for aria-controls, aria-describedby and the like. */
export function uniqueId(name) {
  lastId += 1;
  return `cnn-${name}-${lastId}`;
}

/**
 * Makes an element. Attributes whose value is null or false are left out; functions become event
 * listeners (`onclick`); children may be elements or texts.
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Sets an attribute, or removes it where the value is null or false. */
export function setAttribute(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Greys a button out but leaves it focusable: a button that vanishes takes the focus with it. */
export function setUsable(button, usable) {
  setAttribute(button, "aria-disabled", usable ? null : "true");
}

/** Sets a text only where it changes, so that nothing is read out or laid out twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Fills "{row} of {rows}" with the values of an object; an unknown name stays as it is. */
export function fill(template, values = {}) {
  return template.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

/** A function (key, values) => text over the labels of a model. */
export function words(model) {
  return (key, values) => fill(model.get("labels")[key], values);
}

/** A number as a reader writes it: at most `digits` decimals, no trailing zeros, a real minus. */
export function readable(value, digits = 3) {
  const text = String(Number(value.toFixed(digits)));
  return (text === "-0" ? "0" : text).replace("-", "\u2212");
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** Calls `draw` once per turn, however often it is asked to. */
export function onceATurn(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    queueMicrotask(() => {
      asked = false;
      draw();
    });
  };
}

/**
 * A polite live region at the end of `root`. What is said quickly in a row is said once: only the
 * last text, after a pause, so that a drawing hand or a running animation floods nobody.
 */
export function announcer(root, pause = 400) {
  const region = make("div", { class: "cnn-spoken", "aria-live": "polite", role: "status" });
  root.append(region);
  let timer;
  const say = (text) => {
    clearTimeout(timer);
    timer = setTimeout(() => setText(region, text), pause);
  };
  say.stop = () => clearTimeout(timer);
  return say;
}

/** Lets the keyboard scroll a region, but only while there is something to scroll. */
export function scrollable(element, label) {
  const update = () => {
    const scrolls = element.scrollWidth > element.clientWidth + 1;
    setAttribute(element, "tabindex", scrolls ? "0" : null);
    setAttribute(element, "role", scrolls ? "region" : null);
    setAttribute(element, "aria-label", scrolls ? label : null);
  };
  const observer = new ResizeObserver(update);
  observer.observe(element);
  return { update, stop: () => observer.disconnect() };
}

/** Calls `redraw` when the page turns light or dark; canvases do not follow CSS by themselves. */
export function onThemeChange(redraw) {
  const observer = new MutationObserver(redraw);
  for (const element of [document.documentElement, document.body]) {
    observer.observe(element, {
      attributes: true,
      attributeFilter: ["class", "style", "data-theme", "data-jp-theme-light"],
    });
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", redraw);
  return () => {
    observer.disconnect();
    dark.removeEventListener("change", redraw);
  };
}

/** The text colour of an element as [red, green, blue], whatever way the theme writes it. */
export function inkOf(element) {
  const context = make("canvas", { width: 1, height: 1 }).getContext("2d");
  context.fillStyle = getComputedStyle(element).color;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data.slice(0, 3);
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Where an arrow key leads from `[row, column]` in a grid; null for any other key. */
export function arrowStep(key, [row, column], [rows, columns]) {
  const step = ARROWS[key];
  if (!step) return null;
  return [clamp(row + step[0], 0, rows - 1), clamp(column + step[1], 0, columns - 1)];
}
