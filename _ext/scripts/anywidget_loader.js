// Brings the anywidgets of a page to life, without a kernel and without a widget manager.
//
// A notebook stores the state of its widgets, the text of their JavaScript modules included. Each
// module exports { initialize, render } (anywidget's front-end module format); here it gets a model
// that keeps the state and tells it of changes, and an element to draw into. A widget that fails
// says so in the console, and the still picture beside it stays.
"use strict";

(() => {
  const MIME = "application/vnd.jupyter.widget-";
  const REFERENCE = "IPY_MODEL_"; // how one model's state names another model

  // What a widget knows and tells: a small Backbone-like model over the stored state.
  class Model {
    #listeners = new Map(); // event -> set of functions
    #unsaved = new Set();

    constructor(state, models) {
      this.state = state;
      this.widget_manager = {
        get_model: async (id) => models.get(id.replace(REFERENCE, "")).model,
      };
    }

    get(key) {
      return this.state[key];
    }

    set(key, value) {
      const changes = typeof key === "object" ? key : { [key]: value };
      for (const [name, next] of Object.entries(changes)) {
        if (this.state[name] === next) continue;
        this.state[name] = next;
        this.#unsaved.add(name);
        this.#tell(`change:${name}`, { changed: { [name]: next } }, next);
      }
    }

    // Jupyter would send the changes to the kernel; here nobody but the views of the page listens.
    save_changes() {
      if (this.#unsaved.size === 0) return;
      this.#unsaved.clear();
      this.#tell("change", {});
    }

    send() {} // messages to a kernel have no receiver

    on(events, listener) {
      for (const event of events.split(" ")) {
        if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
        this.#listeners.get(event).add(listener);
      }
    }

    off(events, listener) {
      for (const event of events?.split(" ") ?? [...this.#listeners.keys()]) {
        if (listener) this.#listeners.get(event)?.delete(listener);
        else this.#listeners.delete(event);
      }
    }

    #tell(event, ...details) {
      for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(...details);
    }
  }

  // Binary parts of a state are stored apart, as base64, with the path to where they belong.
  function withBuffers({ state, buffers = [] }) {
    for (const { path, data } of buffers) {
      const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
      const parent = path.slice(0, -1).reduce((part, key) => part[key], state);
      parent[path.at(-1)] = new DataView(bytes.buffer);
    }
    return state;
  }

  // id -> { model, start }: `start` imports and initializes the widget's module, once.
  function readModels() {
    const models = new Map();
    for (const script of document.querySelectorAll(`script[type="${MIME}state+json"]`)) {
      for (const [id, stored] of Object.entries(JSON.parse(script.textContent).state)) {
        const model = new Model(withBuffers(stored), models);
        let started;
        models.set(id, { model, start: () => (started ??= startWidget(model)) });
      }
    }
    return models;
  }

  async function startWidget(model) {
    const url = URL.createObjectURL(new Blob([model.get("_esm")], { type: "text/javascript" }));
    try {
      const module = await import(url);
      const widget =
        typeof module.default === "function" ? await module.default() : module.default;
      await widget.initialize?.({ model });
      return widget;
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  const styles = new Set();
  function addStyle(css) {
    if (!css || styles.has(css)) return;
    styles.add(css);
    document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  }

  async function show(view, { model, start }) {
    const element = document.createElement("div");
    element.className = "anywidget";
    addStyle(model.get("_css"));
    const widget = await start();
    view.before(element); // before it draws: a widget may want to measure itself
    try {
      await widget.render?.({ model, el: element, signal: new AbortController().signal });
    } catch (error) {
      element.remove();
      throw error;
    }
    view.parentElement.querySelector(":scope > .widget-fallback")?.classList.add("replaced");
  }

  async function showAll() {
    const models = readModels();
    for (const view of document.querySelectorAll(`script[type="${MIME}view+json"]`)) {
      const entry = models.get(JSON.parse(view.textContent).model_id);
      if (!entry?.model.get("_esm")) continue;
      try {
        await show(view, entry);
      } catch (error) {
        console.error("A widget of this page could not be shown:", error);
      }
    }
    document.documentElement.dataset.widgets = "ready"; // for tests, and whoever waits
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", showAll);
  else showAll();
})();
