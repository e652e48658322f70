// Loaded between require.js and Jupyter's widget manager, on pages with core ipywidgets.
"use strict";

(() => {
  // Modules (anywidget.js) and fonts are found beside this file; the manager would ask a CDN.
  requirejs.config({ baseUrl: new URL(".", document.currentScript.src).href });

  // Takes the still picture away once the widget beside it is drawn, and names what screen readers
  // would find nameless: the handles of sliders.
  function tidy() {
    for (const area of document.querySelectorAll(".widget-subarea")) {
      const widget = area.firstElementChild;
      if (!widget?.hasChildNodes() || widget.querySelector(".jupyter-widgets-error-widget")) continue;
      area.parentElement.querySelector(":scope > .widget-fallback")?.classList.add("replaced");
      document.documentElement.dataset.widgets = "ready";
    }
    for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
      const label = handle.closest(".jupyter-widgets")?.querySelector(".widget-label");
      handle.setAttribute("aria-label", label?.textContent || "value");
    }
  }

  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(tidy).observe(document.body, { childList: true, subtree: true });
  });
})();
