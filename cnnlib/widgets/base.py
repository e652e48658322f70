"""What all interactives share: one script, one style sheet, swappable words, a static fallback."""

import importlib.util
import re
import string
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

if TYPE_CHECKING or importlib.util.find_spec("anywidget"):
    from anywidget import AnyWidget
else:  # no network to install it from: chapters still run, with still pictures

    class AnyWidget(traitlets.HasTraits):
        """Stands in where anywidget is missing: holds the values and shows the fallback."""

        def _repr_mimebundle_(self, **kwargs: Any) -> Any:
            return {"text/plain": repr(self)}, {}


_COMMON = Path(__file__).with_name("common.css")
_IMPORT = re.compile(r'^import\s[^;]*?\sfrom\s+"\./(?P<file>[\w.]+)";\n', re.MULTILINE)


def bundle(script: Path) -> str:
    """Joins a script and the neighbours that it imports into one text without imports.

    A widget's script travels inside the notebook and is loaded from memory, where a relative import
    has nothing to be relative to. Files may therefore import only their neighbours, by
    ``import { a, b } from "./file.js";`` and without renaming; each of them is put in once, before
    the first file that needs it. Their ``export`` keywords stay: they do no harm, and the tests
    use them.

    Args:
        script: The file to start from.

    Returns:
        The text of one ES module.
    """
    return "".join(
        f"// ---- {path.name}\n{_IMPORT.sub('', path.read_text(encoding='utf-8'))}"
        for path in modules(script)
    )


def modules(script: Path) -> list[Path]:
    """A script and all that it imports, each once and behind what it needs itself."""
    done: list[Path] = []
    begun: set[Path] = set()

    def visit(path: Path) -> None:
        begun.add(path)
        for match in _IMPORT.finditer(path.read_text(encoding="utf-8")):
            if (other := path.with_name(match["file"])) not in begun:
                visit(other)
        done.append(path)

    visit(script)
    return done


def _placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


class Widget(AnyWidget):
    """Base class of the interactives.

    A subclass names its own file (``_source = Path(__file__)``); the script and the style sheet
    lie beside it under the same name; the style sheets of imported scripts come along. It gives its
    English words in ``LABELS`` and a static picture of itself in `fallback_html`.

    Args:
        labels: Words to use instead of the English ones, for a translation: any part of `LABELS`.
            A text in braces such as ``{row}`` is filled in by the script.
        **traits: Values of the subclass's traits.

    Raises:
        ValueError: ``labels`` holds an unknown key, or a placeholder that nothing fills in.
    """

    LABELS: ClassVar[dict[str, str]] = {}
    _source: ClassVar[Path]

    labels = traitlets.Dict().tag(sync=True)

    # ipywidgets 7 prefers this method to _repr_mimebundle_ and would leave out the fallback.
    _ipython_display_ = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "_source" in vars(cls):  # not in the classes that traitlets derives when it adds traits
            script = cls._source.with_suffix(".js")
            cls._esm = bundle(script)
            styles = [path.with_suffix(".css") for path in modules(script)]
            styles = [_COMMON, *(style for style in styles if style != _COMMON and style.exists())]
            cls._css = "\n".join(style.read_text(encoding="utf-8") for style in styles)
        super().__init_subclass__(**kwargs)

    def __init__(self, *, labels: dict[str, str] | None = None, **traits: Any) -> None:
        super().__init__(labels=labels or {}, **traits)

    @traitlets.default("labels")
    def _english(self) -> dict[str, str]:
        return dict(self.LABELS)

    @traitlets.validate("labels")
    def _complete_labels(self, proposal: Any) -> dict[str, str]:
        given = proposal["value"]
        name = type(self).__name__
        if unknown := sorted(set(given) - set(self.LABELS)):
            raise ValueError(
                f"{name} has no label {', '.join(map(repr, unknown))}; "
                f"its labels are {', '.join(sorted(self.LABELS))}"
            )
        for key, text in given.items():
            if not isinstance(text, str):
                raise ValueError(f"label {key!r} of {name} must be a text, got {text!r}")
            if extra := _placeholders(text) - _placeholders(self.LABELS[key]):
                raise ValueError(
                    f"label {key!r} of {name} asks for {{{', '.join(sorted(extra))}}}, but only "
                    f"what the English text uses is filled in: {self.LABELS[key]!r}"
                )
        return {**self.LABELS, **given}

    def fallback_html(self) -> str:
        """What a reader sees where no script runs: the same content, standing still.

        Returns:
            HTML that depends on nothing but what the widget was made from, so that two runs of a
            notebook store the same text.
        """
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundled = super()._repr_mimebundle_(**kwargs)
        if bundled is None:  # a widget without a view
            return None
        data, metadata = bundled
        if "google.colab" not in sys.modules:  # Colab would show the fallback beside the widget
            data["text/html"] = self.fallback_html()
        return data, metadata
