"""A space of cells that is small enough to know all of it.

A cell has four nodes in a row: node 0 is what comes in, node 3 what goes out. Five edges may carry
one of four operations each, and a node is the sum of what its edges bring:

    0 -> 1, 0 -> 2, 1 -> 2, 1 -> 3, 2 -> 3        (no edge leads from 0 straight to 3)

That is NAS-Bench-201 (Dong and Yang, ICLR 2020, Section 2.1) with five operations and six edges
made smaller, so that one core trains every cell of it in minutes. 4^5 = 1,024 ways to fill the
edges, *encodings*, are not as many cells: an edge that nothing reaches, or that leads nowhere,
changes nothing, and an identity hands on what it gets. Two encodings are the same cell here if what
comes out is the same sum of the same terms, where every convolution has weights of its own:

* ``identity`` passes on all terms of a node, ``none`` none of them;
* a convolution or pooling is applied to the whole sum of a node and makes one term of it;
* an operation on a node that nothing reaches makes no term;
* which number a convolution has does not matter, but a convolution that counts twice is not the
  same as two convolutions: ``conv1(x) + conv1(x)`` has half the weights of ``conv1(x) + conv2(x)``.

This leaves 291 cells. One of them is no cell at all: nothing gets through. (Average pooling is
linear, so that ``avg(x + y)`` and ``avg(x) + avg(y)`` are one function, too. They are two cells
here, since they are computed in two ways; without them 265 would be left.)
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

NODES = 4
EDGES = ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3))  # each from a node to a later one, in this order
OPERATIONS = ("none", "identity", "3x3", "avg 3x3")
LETTERS = "-icp"  # one for each operation, to write a cell down in five letters
WIDTHS = (8, 16)  # channels of the network's two stages


@dataclass(frozen=True, order=True)
class SmallCell:
    """A way to fill the five edges of a cell: an encoding. It can be a key of a dictionary.

    Cells are equal if their operations are, edge by edge; ``canonical`` tells whether two of them
    are the same cell after all.

    Args:
        operations: what each of `EDGES` carries, in their order, out of `OPERATIONS`.

    Raises:
        ValueError: not five operations of those that there are.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if type(self.operations) is not tuple:  # a list, as from a file
            object.__setattr__(self, "operations", tuple(self.operations))
        if len(self.operations) != len(EDGES) or not set(self.operations) <= set(OPERATIONS):
            raise ValueError(
                f"a cell has {len(EDGES)} operations, for the edges {_names(EDGES)}, each one of "
                f"{', '.join(map(repr, OPERATIONS))}; got {self.operations!r}"
            )

    @classmethod
    def from_code(cls, code: str) -> SmallCell:
        """The cell that five letters stand for, such as "cc-ip".

        The letters are "-" (none), "i" (identity), "c" (3x3) and "p" (avg 3x3).

        Raises:
            ValueError: other letters, or not five of them.
        """
        if len(code) != len(EDGES) or not set(code) <= set(LETTERS):
            raise ValueError(
                f"the code of a cell has {len(EDGES)} letters out of {LETTERS!r}, such as 'cc-ip'; "
                f"got {code!r}"
            )
        return cls(tuple(OPERATIONS[LETTERS.index(letter)] for letter in code))

    @property
    def code(self) -> str:
        """Five letters, one for each edge; see `from_code`."""
        return "".join(LETTERS[OPERATIONS.index(operation)] for operation in self.operations)

    def __str__(self) -> str:
        return self.code

    def edges(self) -> list[tuple[int, int, str]]:
        """The edges that carry something, for a drawing: (from, to, operation)."""
        return [
            (source, target, operation)
            for (source, target), operation in zip(EDGES, self.operations, strict=True)
            if operation != "none"
        ]

    @cached_property
    def expression(self) -> str:
        """What the cell computes, as a sum of terms: "avg(x) + conv1(x + conv2(x))"; or "0".

        Two encodings are the same cell if and only if they have the same expression.
        """
        return _expression(self.operations)

    @property
    def canonical(self) -> SmallCell:
        """The encoding that stands for all those of the same cell.

        It is the first of them in the order of `OPERATIONS`, so it has no edge without effect.
        """
        return _classes()[self.expression][0]

    def encodings(self) -> tuple[SmallCell, ...]:
        """All encodings of this cell, the canonical one first."""
        return _classes()[self.expression]

    @property
    def convolutions(self) -> int:
        """How many convolutions have an effect, from 0 to 5."""
        return self.canonical.operations.count("3x3")

    @property
    def connected(self) -> bool:
        """Whether anything gets from the first node to the last."""
        return self.expression != "0"

    def with_operation(self, edge: int, operation: str) -> SmallCell:
        """The cell with another operation on one edge, numbered from 0 in the order of `EDGES`."""
        if edge not in range(len(EDGES)):
            raise ValueError(f"edges are numbered 0 to {len(EDGES) - 1}; got {edge!r}")
        return SmallCell((*self.operations[:edge], operation, *self.operations[edge + 1 :]))

    def neighbours(self) -> list[SmallCell]:
        """The 15 encodings that differ on one edge."""
        return [
            self.with_operation(edge, operation)
            for edge in range(len(EDGES))
            for operation in OPERATIONS
            if operation != self.operations[edge]
        ]

    def mutated(self, rng: random.Random) -> SmallCell:
        """One of the neighbours, all with the same chance (the mutation of Real et al. 2019)."""
        edge = rng.randrange(len(EDGES))
        others = [operation for operation in OPERATIONS if operation != self.operations[edge]]
        return self.with_operation(edge, others[rng.randrange(len(others))])


def count_parameters(
    cell: SmallCell,
    widths: tuple[int, int] = WIDTHS,
    num_classes: int = 10,
    in_channels: int = 1,
) -> int:
    """Trainable parameters of the network of a cell (`CellNetwork`), without building it."""
    first, second = widths
    frame = _conv(in_channels, first) + _conv(first, second) + (second + 1) * num_classes
    return frame + cell.convolutions * (_conv(first, first) + _conv(second, second))


def _conv(origin: int, target: int) -> int:
    """Parameters of a 3 x 3 convolution without bias and its batch normalisation."""
    return 9 * origin * target + 2 * target


@dataclass(frozen=True)
class CellSpace:
    """The cells among which a search may choose.

    Args:
        max_parameters: of a cell's network; None for all cells. With a cap a search is about
            wiring rather than about size.

    Raises:
        TypeError, ValueError: no whole number, or one that no network keeps to.
    """

    max_parameters: int | None = None

    def __post_init__(self) -> None:
        if self.max_parameters is None:
            return
        if isinstance(self.max_parameters, bool) or not isinstance(self.max_parameters, int):
            raise TypeError(
                f"max_parameters must be a whole number or None; got {self.max_parameters!r}"
            )
        least = count_parameters(SmallCell(("none",) * len(EDGES)))
        if self.max_parameters < least:
            raise ValueError(
                f"max_parameters must be at least {least:,}, what the network has around its "
                f"cells; got {self.max_parameters:,}"
            )

    def __contains__(self, cell: object) -> bool:
        return isinstance(cell, SmallCell) and (
            self.max_parameters is None or count_parameters(cell) <= self.max_parameters
        )

    def encodings(self) -> Iterator[SmallCell]:
        """All ways to fill the edges (1,024 without a cap), in the order of `OPERATIONS`."""
        return (cell for members in _classes().values() for cell in members if cell in self)

    def cells(self) -> list[SmallCell]:
        """The distinct cells (291 without a cap), each by its canonical encoding."""
        return sorted(
            (members[0] for members in _classes().values() if members[0] in self),
            key=lambda cell: [OPERATIONS.index(operation) for operation in cell.operations],
        )

    def random(self, rng: random.Random) -> SmallCell:
        """An encoding, all with the same chance; cells with many encodings come up more often."""
        while True:
            cell = SmallCell(tuple(OPERATIONS[rng.randrange(len(OPERATIONS))] for _ in EDGES))
            if cell in self:
                return cell

    def mutated(self, cell: SmallCell, rng: random.Random) -> SmallCell:
        """A neighbour of a cell that is in the space."""
        while True:
            neighbour = cell.mutated(rng)
            if neighbour in self:
                return neighbour


SPACE = CellSpace()


@cache
def _expression(operations: tuple[str, ...]) -> str:
    """The first, in the order of the alphabet, that some numbering of the convolutions gives."""
    wheres = [edge for edge, name in zip(EDGES, operations, strict=True) if name == "3x3"]
    numberings = itertools.permutations(range(1, len(wheres) + 1))
    return min(
        _numbered_expression(operations, dict(zip(wheres, numbers, strict=True)))
        for numbers in numberings
    )


def _numbered_expression(operations: tuple[str, ...], numbers: dict[tuple[int, int], int]) -> str:
    """What comes out, with these numbers for the convolutions on the edges."""
    terms: list[list[str]] = [["x"], [], [], []]  # of each node
    for edge, operation in zip(EDGES, operations, strict=True):
        source, target = edge
        if operation == "none" or not terms[source]:
            continue
        if operation == "identity":
            terms[target] += terms[source]
        else:
            name = "avg" if operation == "avg 3x3" else f"conv{numbers[edge]}"
            terms[target].append(f"{name}({' + '.join(sorted(terms[source]))})")
    return " + ".join(sorted(terms[-1])) or "0"


@cache
def _classes() -> dict[str, tuple[SmallCell, ...]]:
    """The encodings of each cell, by its expression, in the order of `OPERATIONS`."""
    members: dict[str, list[SmallCell]] = defaultdict(list)
    for operations in itertools.product(OPERATIONS, repeat=len(EDGES)):
        cell = SmallCell(operations)
        members[cell.expression].append(cell)
    return {expression: tuple(cells) for expression, cells in members.items()}


def _names(edges: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{source}-{target}" for source, target in edges)
