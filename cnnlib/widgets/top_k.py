"""Right or wrong? The reader names what a photograph shows and counts a network's answers."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from cnnlib.widgets.base import Widget

UNKNOWN = -2  # the reader has not said yet what the photograph shows
OTHER = -1  # something that is not among the guesses
CLASSES = 1000  # of which the guesses are the most probable ones


class TopK(Widget):
    """Photographs with a real network's guesses: is the answer right under top-1, under top-k?

    The reader looks at a photograph, picks among the network's guesses the one that is true, or
    none of them, and chooses how many guesses count. The widget says whether the answer is right
    and keeps the errors over all photographs that have a label.

    Args:
        guesses: for each photograph of ``cnnlib.data.list_photographs()`` that is shown, (class,
            probability) of the network's guesses, most probable first; the same number for all.
        k: how many guesses count at the start.
        descriptions: what a photograph shows, for those who cannot see it; by name.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: no photograph, an unknown one, fewer than two guesses, not the same number for
            all, probabilities that rise or are not between 0 and 1, or a k that is not among them.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "Right or wrong?",
        "photographs": "Photograph",
        "with_label": "{name}, has a label",
        "k": "How many guesses count: k",
        "question": "What does the photograph show? Pick the true label.",
        "guess": "Guess {rank}",
        "percent": "{percent}\u00a0%",
        "border": "Up to here it counts as right (k = {k})",
        "other": "None of these",
        "rest": "the other {number} classes together: {percent}\u00a0%",
        "true": "true label",
        "open": "Pick the label that you think is true.",
        "right": "right",
        "wrong": "wrong",
        "verdict": "Top-{k}: {verdict}",
        "place": "The true label is guess {rank}.",
        "no_place": "The true label is not among the first {number} guesses.",
        "errors": "Errors so far",
        "labelled": "Photographs with a label: {labelled} of {all}.",
        "error": "Top-{k} error: {wrong} of {labelled} = {percent}\u00a0%",
        "no_error": "Top-{k} error: no photograph has a label yet",
        "clear": "Clear all labels",
        "spoken": "{verdicts}. {place}",
        "fallback": (
            "The {number} most probable classes of each photograph. With a script the reader picks "
            "the true label and the number of guesses that count: open the page of the book, or "
            "run this notebook."
        ),
        "photograph": "Photograph",
    }
    _source = Path(__file__)

    photographs = traitlets.List(help="of {name, description, address, guesses}").tag(sync=True)
    chosen = traitlets.Int(0, help="index of the photograph that is shown").tag(sync=True)
    k = traitlets.Int(5, help="how many guesses count").tag(sync=True)
    truths = traitlets.List(
        traitlets.Int(), help="per photograph: index of the guess, -1 none of them, -2 open"
    ).tag(sync=True)
    classes = traitlets.Int(CLASSES, read_only=True).tag(sync=True)

    def __init__(
        self,
        guesses: Mapping[str, Sequence[tuple[str, float]]],
        k: int = 5,
        descriptions: Mapping[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        lengths = {name: len(found) for name, found in guesses.items()}
        if not lengths or len(set(lengths.values())) > 1 or min(lengths.values()) < 2:
            raise ValueError(
                "TopK needs at least one photograph, each with the same number of guesses, at "
                f"least two; got {lengths}"
            )
        described = descriptions or {}
        if unknown := sorted(set(described) - set(guesses)):
            raise ValueError(f"descriptions of photographs without guesses: {', '.join(unknown)}")
        super().__init__(
            photographs=[
                {
                    "name": name,
                    "description": described.get(name, name),
                    "address": _address(name),
                    "guesses": _checked(name, found),
                }
                for name, found in guesses.items()
            ],
            truths=[UNKNOWN] * len(guesses),
            k=k,
            labels=labels,
        )

    @property
    def number_of_guesses(self) -> int:
        """How many guesses each photograph has: the largest k."""
        return len(self.photographs[0]["guesses"])

    @traitlets.validate("k")
    def _check_k(self, proposal: Any) -> int:
        value = proposal["value"]
        if self.photographs and not 1 <= value <= self.number_of_guesses:
            raise ValueError(f"k must be 1 to {self.number_of_guesses}, got {value}")
        return value

    @traitlets.validate("chosen")
    def _check_chosen(self, proposal: Any) -> int:
        value = proposal["value"]
        if self.photographs and not 0 <= value < len(self.photographs):
            raise ValueError(f"chosen must be 0 to {len(self.photographs) - 1}, got {value}")
        return value

    @traitlets.validate("truths")
    def _check_truths(self, proposal: Any) -> list[int]:
        values = proposal["value"]
        allowed = range(UNKNOWN, self.number_of_guesses) if self.photographs else range(0)
        if len(values) != len(self.photographs) or not all(value in allowed for value in values):
            raise ValueError(
                f"truths must be {len(self.photographs)} numbers from {UNKNOWN} to "
                f"{self.number_of_guesses - 1}, got {values}"
            )
        return values

    def errors(self, k: int) -> tuple[int, int]:
        """How many photographs are wrong under top-k, and how many have a label at all.

        Raises:
            ValueError: there are not k guesses.
        """
        if not 1 <= k <= self.number_of_guesses:
            raise ValueError(f"k must be 1 to {self.number_of_guesses}, got {k}")
        known = [truth for truth in self.truths if truth != UNKNOWN]
        return sum(truth == OTHER or truth >= k for truth in known), len(known)

    def __repr__(self) -> str:
        names = ", ".join(photograph["name"] for photograph in self.photographs)
        return f"TopK({names}; k {self.k} of {self.number_of_guesses})"

    def fallback_html(self) -> str:
        """The guesses of all photographs as one table, without the pictures."""
        heads = [self.labels["photograph"]]
        heads += [self.labels["guess"].format(rank=i + 1) for i in range(self.number_of_guesses)]
        style = "text-align: left; vertical-align: top; padding: 0.2em 0.5em; border: 1px solid"
        head = "".join(f'<th scope="col" style="{style}">{escape(text)}</th>' for text in heads)
        rows = []
        for photograph in self.photographs:
            cells = "".join(
                f'<td style="{style}">{escape(name)}<br>{self._percent(share)}</td>'
                for name, share in photograph["guesses"]
            )
            title = escape(photograph["description"])
            rows.append(f'<tr><th scope="row" style="{style}">{title}</th>{cells}</tr>')
        about = self.labels["fallback"].format(number=self.number_of_guesses)
        return (
            f'<div role="group" aria-label="{escape(self.labels["name"])}"><p>{escape(about)}</p>'
            '<div style="overflow-x: auto"><table style="border-collapse: collapse">'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></div>"
        )

    def _percent(self, share: float) -> str:
        return escape(self.labels["percent"].format(percent=f"{100 * share:.1f}"))


def _checked(name: str, guesses: Sequence[tuple[str, float]]) -> list[list[Any]]:
    shares = [share for _, share in guesses]
    if shares != sorted(shares, reverse=True) or not 0 <= shares[-1] <= sum(shares) <= 1.01:
        raise ValueError(
            f"the guesses of {name!r} must be probabilities, the largest first; got {shares}"
        )
    return [[text, float(share)] for text, share in guesses]


def _address(name: str) -> str:
    """The photograph as an address that holds the picture itself, so that nothing is loaded."""
    folder = resources.files("cnnlib") / "assets" / "photographs"
    path = folder / f"{name}.jpg"
    if not path.is_file():
        known = sorted(p.name.removesuffix(".jpg") for p in folder.iterdir())
        raise ValueError(f"no photograph is called {name!r}; there are {', '.join(known)}")
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
