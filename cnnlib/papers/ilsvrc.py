"""The ImageNet contest, ILSVRC, 2010 to 2017: who won the classification task, and by what error.

An entry may name five classes for each image of the test set, whose labels only the organisers
have; it is wrong where none of the five is the label. Errors are percentages as on the organisers'
pages of results, https://image-net.org/challenges/LSVRC/ and the year, with three decimals, of
which papers print one or two. Until 2013 classification was a task of its own; later its error is a
column of classification with localisation.

Two things keep errors of different years apart: the images of 2010 and 2011 are others than those
of 2012 and later, and some entries were trained on more images than the contest provides.
"""

from __future__ import annotations

from typing import NamedTuple

CLASSES = 1000
GUESSES = 5


class Images(NamedTuple):
    """How many images a contest had (Russakovsky et al. 2015, table 2)."""

    training: int
    validation: int
    test: int


IMAGES = {  # those of 2012 were kept to the end
    2010: Images(1_261_406, 50_000, 150_000),
    2011: Images(1_229_413, 50_000, 100_000),
    2012: Images(1_281_167, 50_000, 100_000),
}


class Entry(NamedTuple):
    """One entry to the contest.

    Attributes:
        year: of the contest.
        team: as it called itself.
        method: the network that became known, or what there was instead of one.
        layers: with weights, of its deepest network; None if there was no network or its depth was
            not published.
        networks: how many networks answered together; None if there was none, or if there were
            several and their number was not published.
        error: top-5, in percent of the test images.
        place: rank among the teams of that year, by this error.
        extra_data: trained on more than the images of the contest.
        source: of what the page of results does not say.
    """

    year: int
    team: str
    method: str
    layers: int | None
    networks: int | None
    error: float
    place: int
    extra_data: bool
    source: str

    @property
    def convolutional(self) -> bool:
        """Whether the entry was made of convolutional networks."""
        return not self.method.startswith("hand-made")

    @property
    def together(self) -> str:
        """How many networks answered together, as a table shows it."""
        if not self.convolutional:
            return "–"
        return "several" if self.networks is None else str(self.networks)

    @property
    def results_page(self) -> str:
        """The organisers' results of that year."""
        return f"https://image-net.org/challenges/LSVRC/{self.year}/results"


_NO_NETWORK = (None, None)
_NOT_PUBLISHED = (None, None)
ENTRIES = (
    Entry(
        2010, "NEC-UIUC", "hand-made features, support vector machine", *_NO_NETWORK,
        28.191, 1, False, "Lin et al. (2011)",
    ),
    Entry(
        2011, "XRCE", "hand-made features (Fisher vectors), linear classifiers", *_NO_NETWORK,
        25.770, 1, False, "Russakovsky et al. (2015), section 5.1",
    ),
    Entry(
        2012, "SuperVision", "AlexNet", 8, 5, 16.422, 1, False,
        "Krizhevsky et al. (2012), table 2",
    ),
    Entry(
        2012, "SuperVision", "AlexNet", 8, 7, 15.315, 1, True,
        "Krizhevsky et al. (2012), table 2",
    ),
    Entry(
        2012, "ISI", "hand-made features (Fisher vectors), linear classifiers", *_NO_NETWORK,
        26.172, 2, False, "page of results",
    ),
    Entry(
        2013, "Clarifai", "networks not published", *_NOT_PUBLISHED,
        11.743, 1, False, "Simonyan and Zisserman (2014), table 7",
    ),
    Entry(
        2013, "Clarifai", "networks not published", *_NOT_PUBLISHED,
        11.197, 1, True, "Szegedy et al. (2014), table 2",
    ),
    Entry(
        2014, "GoogLeNet", "GoogLeNet", 22, 7, 6.656, 1, False,
        "Szegedy et al. (2014), section 7",
    ),
    Entry(
        2014, "VGG", "VGG-16, VGG-19 and others", 19, 7, 7.325, 2, False,
        "Simonyan and Zisserman (2014), section 4.5",
    ),
    Entry(
        2015, "MSRA", "ResNet", 152, 6, 3.567, 1, False,
        "He et al. (2015), section 4.1",
    ),
    Entry(
        2016, "Trimps-Soushen", "Inception, ResNet and others", *_NOT_PUBLISHED,
        2.991, 1, False, "page of results",
    ),
    Entry(
        2017, "WMW", "SENet", 154, None, 2.251, 1, False,
        "Hu et al. (2017), abstract",
    ),
)  # fmt: skip


def winners(*, extra_data: bool = False) -> dict[int, Entry]:
    """The winner of each year, by year.

    Args:
        extra_data: the winner's other entry, trained on more images, where there was one (2012 and
            2013); these are the figures that are quoted most often.
    """
    first = [entry for entry in ENTRIES if entry.place == 1]
    found = {entry.year: entry for entry in first if not entry.extra_data}
    return found | {entry.year: entry for entry in first if extra_data and entry.extra_data}


class Annotator(NamedTuple):
    """A person who did the task (Russakovsky et al. 2015, section 6.4 and table 6).

    Attributes:
        practice: images that were looked at with their labels before.
        images: of the contest's test set that were classified, five guesses each.
        error: top-5, in percent.
        network_error: of GoogLeNet's entry on the same images, in percent.
    """

    practice: int
    images: int
    error: float
    network_error: float


ANNOTATORS = {"A1": Annotator(500, 1500, 5.1, 6.8), "A2": Annotator(100, 258, 12.0, 5.8)}
