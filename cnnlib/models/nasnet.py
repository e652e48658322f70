"""NASNet-A: "Learning Transferable Architectures for Scalable Image Recognition".

B. Zoph, V. Vasudevan, J. Shlens, Q. V. Le, CVPR 2018, arXiv:1707.07012.

The idea: search for a small cell on small images, then stack many copies of it, each with weights
of its own, for large ones. A normal cell keeps the size of its maps, a reduction cell halves it.
What was found is not weights but wiring, and wiring is data: here ``NASNET_A``.

Departures: where the paper is silent, as in the authors' code (tensorflow/models, slim/nets/nasnet:
the stems, which hidden states a cell hands on, drop path that grows with depth as well). Running
statistics move by 0.1 per batch, there by 0.0003 on ImageNet. The classifiers start as PyTorch's
do: in the code by the number of classes, with which ten classes begin with extreme scores.
``h_{i-1}`` always passes a ReLU and a 1 x 1 convolution, there only if its width differs, which in
NASNet-A it always does. Weights are drawn from a normal distribution, there from a truncated one.
"""

import itertools
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from .layers import (
    Conv2dSame,
    DropPath,
    check_choice,
    check_counts,
    check_images,
    check_share,
    same_padding,
)

AUXILIARY_WEIGHT = 0.4  # of the auxiliary head's loss (Appendix A.7)

# Wiring as data (Section 3, Fig. 3). Hidden states are numbered in the order in which they arise:
# 0 is h_{i-1}, 1 is h_i, what the previous two cells made, and 2, 3, ... are the blocks' results.


class Block(NamedTuple):
    """The five decisions of a block: two hidden states, an operation on each, how they combine."""

    left: tuple[int, str]
    right: tuple[int, str]
    combine: str = "add"


class Cell(NamedTuple):
    """Blocks, and the hidden states whose concatenation is the cell's result h_{i+1}."""

    blocks: tuple[Block, ...]
    concatenated: tuple[int, ...]

    def edges(self) -> list[tuple[str, str, str]]:
        """All links, for a drawing: (from, to, operation), as in Fig. 4 from bottom to top."""
        names = ["h_{i-1}", "h_i", *(f"block {n + 1}" for n in range(len(self.blocks)))]
        inside = [
            (names[state], name, operation)
            for name, block in zip(names[2:], self.blocks, strict=True)
            for state, operation in block[:2]
        ]
        return inside + [(names[state], "h_{i+1}", "concatenate") for state in self.concatenated]


class Genotype(NamedTuple):
    """What a search decides: the wiring of both kinds of cell."""

    normal: Cell
    reduction: Cell


NASNET_A = Genotype(  # Fig. 4
    normal=Cell(
        blocks=(
            Block((1, "sep 5x5"), (0, "sep 3x3")),
            Block((0, "sep 5x5"), (0, "sep 3x3")),
            Block((1, "avg 3x3"), (0, "identity")),
            Block((0, "avg 3x3"), (0, "avg 3x3")),
            Block((1, "sep 3x3"), (1, "identity")),
        ),
        concatenated=(0, 2, 3, 4, 5, 6),
    ),
    reduction=Cell(
        blocks=(
            Block((1, "sep 5x5"), (0, "sep 7x7")),
            Block((1, "max 3x3"), (0, "sep 7x7")),
            Block((1, "avg 3x3"), (0, "sep 5x5")),
            Block((3, "identity"), (2, "avg 3x3")),
            Block((2, "sep 3x3"), (1, "max 3x3")),
        ),
        concatenated=(3, 4, 5, 6),
    ),
)


class Rectified(nn.Sequential):
    """Layers that want rectified maps: the ReLU before them is taken once for all who read it."""


class PoolSame(nn.Module):
    """Mean (``"avg"``) or maximum (``"max"``) under a window: (N, C, H, W) -> (N, C, H/s, W/s).

    Sizes are rounded up; padded as TensorFlow's ``SAME``, and the padding counts in neither.
    """

    def __init__(self, kind: str, kernel: int, stride: int) -> None:
        super().__init__()
        self.kind, self.kernel, self.stride = kind, kernel, stride

    def forward(self, maps: Tensor) -> Tensor:
        return pool_same(maps, self.kind, self.kernel, self.stride)

    def extra_repr(self) -> str:
        return f"{self.kind!r}, kernel={self.kernel}, stride={self.stride}"


@fx.wrap  # a tracer keeps it as one operation, since it depends on the size of the maps
def pool_same(maps: Tensor, kind: str, kernel: int, stride: int) -> Tensor:
    """What ``PoolSame`` computes."""
    above, left = (same_padding(size, kernel, stride)[0] for size in maps.shape[2:])
    window = kernel, stride, (above, left)
    # where SAME pads one row more below than above, ceil_mode lets the last window hang over
    if kind == "max":
        return F.max_pool2d(maps, *window, ceil_mode=True)
    return F.avg_pool2d(maps, *window, ceil_mode=True, count_include_pad=False)


def convolution(
    in_channels: int,
    filters: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    *,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Without bias, since batch normalisation follows; padded as TensorFlow's ``SAME``."""
    if stride == (1, 1):  # then that is plain padding
        height, width = (dilation * (length // 2) for length in kernel)
        layer = partial(nn.Conv2d, padding=(height, width))
    else:
        layer = Conv2dSame
    return layer(in_channels, filters, kernel, stride, dilation=dilation, groups=groups, bias=False)


def chain(*steps: list[nn.Conv2d]) -> Rectified:
    """Each step in the order ReLU, convolution, batch normalisation (Appendix A.4)."""
    layers: list[nn.Module] = []
    for step in steps:
        if layers:
            layers.append(nn.ReLU(inplace=True))
        layers += [*step, nn.BatchNorm2d(step[-1].out_channels)]
    return Rectified(*layers)


# The operations, each for (in_channels, filters, stride): it makes `filters` maps of what it reads


def identity(in_channels: int, filters: int, stride: int) -> nn.Module:
    """Nothing; or a 1 x 1 convolution where the shape must change (Appendix A.4)."""
    if in_channels == filters and stride == 1:
        return nn.Identity()
    return square(in_channels, filters, stride, kernel=1)


def square(
    in_channels: int, filters: int, stride: int, *, kernel: int, dilation: int = 1
) -> nn.Module:
    """A k x k convolution, also with gaps between its weights."""
    size, step = (kernel, kernel), (stride, stride)
    return chain([convolution(in_channels, filters, size, step, dilation=dilation)])


def flat_then_tall(in_channels: int, filters: int, stride: int, *, kernel: int) -> nn.Module:
    """A 1 x k, then a k x 1 convolution."""
    flat = convolution(in_channels, filters, (1, kernel), (1, stride))
    tall = convolution(filters, filters, (kernel, 1), (stride, 1))
    return chain([flat], [tall])


def separable(in_channels: int, filters: int, stride: int, *, kernel: int) -> nn.Module:
    """A k x k convolution per map, then a 1 x 1 across maps; all of it twice (Appendix A.4)."""
    size, first = (kernel, kernel), (stride, stride)
    return chain(
        [
            convolution(in_channels, in_channels, size, first, groups=in_channels),
            convolution(in_channels, filters, (1, 1)),
        ],
        [
            convolution(filters, filters, size, groups=filters),
            convolution(filters, filters, (1, 1)),
        ],
    )


def pooling(in_channels: int, filters: int, stride: int, *, kind: str, kernel: int) -> nn.Module:
    """Average or maximum; then a 1 x 1 convolution where the number of maps must change."""
    pool = PoolSame(kind, kernel, stride)
    return pool if in_channels == filters else nn.Sequential(pool, *fit(in_channels, filters))


def fit(in_channels: int, filters: int) -> nn.Sequential:
    """A 1 x 1 convolution and batch normalisation, and no ReLU before them."""
    layer = convolution(in_channels, filters, (1, 1))
    return nn.Sequential(layer, nn.BatchNorm2d(filters))


OPERATIONS: dict[str, Callable[[int, int, int], nn.Module]] = {  # Section 3, in its order
    "identity": identity,
    "1x3 3x1": partial(flat_then_tall, kernel=3),
    "1x7 7x1": partial(flat_then_tall, kernel=7),
    "dilated 3x3": partial(square, kernel=3, dilation=2),
    "avg 3x3": partial(pooling, kind="avg", kernel=3),
    "max 3x3": partial(pooling, kind="max", kernel=3),
    "max 5x5": partial(pooling, kind="max", kernel=5),
    "max 7x7": partial(pooling, kind="max", kernel=7),
    "1x1": partial(square, kernel=1),
    "3x3": partial(square, kernel=3),
    "sep 3x3": partial(separable, kernel=3),
    "sep 5x5": partial(separable, kernel=5),
    "sep 7x7": partial(separable, kernel=7),
}
COMBINATIONS = ("add", "concatenate")


def check_genotype(genotype: Genotype) -> Genotype:
    """The genotype, its parts of their types though they came as plain lists, as from a file.

    Raises:
        ValueError: no block or nothing to concatenate; a hidden state that is not there yet; an
            unknown operation or combination; a block whose result nobody reads.
    """

    def check_state(state: int, there: int, who: str) -> None:
        if state not in range(there):
            raise ValueError(
                f"{who} asks for hidden state {state!r}; there are 0 (h_{{i-1}}), 1 (h_i) and one "
                f"per block before, so 0 to {there - 1} here"
            )

    cells = []
    for kind, (blocks, concatenated) in zip(Genotype._fields, genotype, strict=True):
        if not blocks or not concatenated:
            raise ValueError(
                f"the {kind} cell must have at least one block and concatenate at least one hidden "
                f"state; got {len(blocks)} and {len(concatenated)}"
            )
        checked, unread = [], set(range(2, 2 + len(blocks))) - set(concatenated)
        for place, block in enumerate(blocks, start=1):
            who = f"block {place} of the {kind} cell"
            (a, f), (b, g), combine = Block(*block)
            for state, operation in ((a, f), (b, g)):
                check_state(state, place + 1, who)
                check_choice(f"{who}: operation", operation, OPERATIONS)
            check_choice(f"{who}: combine", combine, COMBINATIONS)
            unread -= {a, b}
            checked.append(Block((a, f), (b, g), combine))
        for state in concatenated:
            check_state(state, 2 + len(blocks), f"the end of the {kind} cell")
        if unread:
            state = min(unread)
            raise ValueError(
                f"nobody reads hidden state {state} of the {kind} cell, the result of block "
                f"{state - 1}: concatenate it"
            )
        cells.append(Cell(tuple(checked), tuple(concatenated)))
    return Genotype(*cells)


def first_filters(penultimate: int, genotype: Genotype = NASNET_A) -> int:
    """Filters of the first normal cells in "N @ F", where F counts those of the last (Section 4).

    They double twice on the way, and a cell concatenates several hidden states: 6 in NASNet-A.

    Raises:
        ValueError: F does not divide; names the nearest that do.
    """
    check_counts(filters=penultimate)
    maps = len(genotype.normal.concatenated)
    below = penultimate // (4 * maps) * 4 * maps
    if below != penultimate:
        near = f"{below} or {below + 4 * maps}" if below else f"{4 * maps}"
        raise ValueError(
            f"filters must be a multiple of {4 * maps}: they double twice, and the last normal "
            f"cell concatenates {maps} hidden states; got {penultimate}, try {near}"
        )
    return penultimate // (4 * maps)


class FactorizedReduction(nn.Module):
    """Halves maps and loses nothing: (N, C, H, W) -> (N, filters, H/2, W/2), rounded up.

    One half of the filters sees the pixels at even places, the other those one down and right.
    """

    def __init__(self, in_channels: int, filters: int) -> None:
        super().__init__()
        if filters < 2:
            raise ValueError(f"a factorized reduction needs at least 2 filters; got {filters}")
        self.here = nn.Conv2d(in_channels, filters - filters // 2, 1, stride=2, bias=False)
        self.there = nn.Conv2d(in_channels, filters // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, maps: Tensor) -> Tensor:
        moved = F.pad(maps, (-1, 1, -1, 1))  # by one pixel: zeros come in below and at the right
        return self.norm(torch.cat([self.here(maps), self.there(moved)], 1))


class CellLayers(nn.Module):
    """One cell of the network: maps of the two cells before it -> (N, out_channels, H/s, W/s).

    It hands on its result after a ReLU, since all who read it begin with one, and expects the same.

    Args:
        cell: its wiring.
        filters: maps of each hidden state.
        in_channels: of the cell before, h_i.
        previous_channels: of the cell before that, h_{i-1}.
        stride: 2 in a reduction cell, for operations on h_i and h_{i-1}.
        previous_stride: 2 if h_{i-1} is twice as large as h_i; None in the network's first cell,
            for which h_{i-1} is the stem's result without ReLU and is taken as it is.
    """

    def __init__(
        self,
        cell: Cell,
        filters: int,
        in_channels: int,
        previous_channels: int,
        *,
        stride: int,
        previous_stride: int | None,
    ) -> None:
        super().__init__()
        self.cell, self.out_channels = cell, len(cell.concatenated) * filters
        read = {state for block in cell.blocks for state, _ in block[:2]} | set(cell.concatenated)
        channels = [filters, filters]
        self.previous, self.current = nn.Identity(), nn.Identity()
        if previous_stride is None:
            channels[0] = previous_channels
        elif 0 in read and previous_stride == 2:
            self.previous = FactorizedReduction(previous_channels, filters)
        elif 0 in read:
            self.previous = square(previous_channels, filters, 1, kernel=1)
        if 1 in read:
            self.current = square(in_channels, filters, 1, kernel=1)

        self.operations = nn.ModuleList()  # two per block
        for block in cell.blocks:
            for state, operation in block[:2]:
                step = stride if state < 2 else 1
                self.operations.append(OPERATIONS[operation](channels[state], filters, step))
            channels.append(filters * (1 if block.combine == "add" else 2))
        self.fits = nn.ModuleDict()  # for states that are to be concatenated in another shape
        for state in cell.concatenated:
            if stride == 2 and state < 2:
                self.fits[str(state)] = FactorizedReduction(channels[state], filters)
            elif channels[state] != filters:
                self.fits[str(state)] = fit(channels[state], filters)
        self.drop_path = DropPath()

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        states = [self.previous(previous), self.current(current)]
        rectified: dict[int, Tensor] = {}  # hidden states after their ReLU
        pooled: dict[tuple[int, str], Tensor] = {}  # NASNet-A pools the same state alike twice

        def read(state: int, operation: str, layers: nn.Module) -> Tensor:
            if isinstance(layers, Rectified):
                if state not in rectified:
                    rectified[state] = F.relu(states[state])
                return layers(rectified[state])
            if not isinstance(layers, PoolSame):
                return layers(states[state])
            if (state, operation) not in pooled:
                pooled[state, operation] = layers(states[state])
            return pooled[state, operation]

        layers = iter(self.operations)
        for block in self.cell.blocks:
            paths = []
            for state, operation in block[:2]:
                path = read(state, operation, next(layers))
                paths.append(path if operation == "identity" else self.drop_path(path))
            left, right = paths
            states.append(left + right if block.combine == "add" else torch.cat(paths, 1))
        handed_on = [
            self.fits[str(state)](states[state]) if str(state) in self.fits else states[state]
            for state in self.cell.concatenated
        ]
        return F.relu(torch.cat(handed_on, 1), inplace=True)


class AuxiliaryHead(nn.Sequential):
    """Classifies maps two thirds of the way up (Appendix A.7): (N, C, side, side) -> scores."""

    def __init__(self, in_channels: int, side: int, num_classes: int) -> None:
        pooled = (side - 5) // 3 + 1
        super().__init__(
            nn.AvgPool2d(5, 3),
            *fit(in_channels, 128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 768, pooled, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(768, num_classes),
        )


class NASNet(nn.Module):
    """A network "N @ F" (Fig. 2): images (N, in_channels, H, W) -> logits (N, num_classes).

    While training with an auxiliary head: (logits, its logits).

    Args:
        num_classes: 1000 of ImageNet, 10 of CIFAR-10.
        in_channels: 3 for colour.
        repeats: N, normal cells between two reductions.
        filters: F, maps in the penultimate layer; a multiple of 24 for NASNet-A, of 96 with the
            stem for ImageNet, which begins with a quarter of the first normal cells' filters.
        genotype: the wiring of the cells.
        stem: ``"imagenet"``, a 3 x 3 convolution of stride 2 and two reduction cells; or
            ``"small"``, the CIFAR network's 3 x 3 convolution alone.
        stem_filters: maps of the stem's convolution; None for 32 and, in the small stem, three
            times those of the first normal cells.
        skip_reduction_input: the cell after a reduction has the same h_{i-1} as the reduction.
        auxiliary_head: a second classifier, for training only; its loss has ``AUXILIARY_WEIGHT``.
        image_size: height and width, in pixels, of the images that the auxiliary head is trained
            with; all else takes any size.
        drop_path: share of paths dropped in the last cell at the end of training
            (ScheduledDropPath, Appendix A.5); ``set_progress`` tells how far training is.
        dropout: share of units dropped before the classifier (Appendix A.7).

    Raises:
        ValueError: an unknown option, numbers that do not fit, or what ``check_genotype`` refuses;
            in ``forward``, images of another shape or too small.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        repeats: int = 4,
        filters: int = 1056,
        genotype: Genotype = NASNET_A,
        stem: str = "imagenet",
        stem_filters: int | None = None,
        skip_reduction_input: bool = False,
        auxiliary_head: bool = False,
        image_size: int = 224,
        drop_path: float = 0.0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels, repeats=repeats)
        check_choice("stem", stem, ("imagenet", "small"))
        check_share(drop_path=drop_path, dropout=dropout)
        genotype = check_genotype(genotype)
        width, imagenet = first_filters(filters, genotype), stem == "imagenet"
        if imagenet and width % 4:
            raise ValueError(
                'stem="imagenet" begins with a quarter of the first normal cells\' filters, so '
                f"filters must be a multiple of {16 * len(genotype.normal.concatenated)}; got "
                f'{filters}, which makes them {width}. stem="small" takes it'
            )
        if stem_filters is None:
            stem_filters = 32 if imagenet else 3 * width
        check_counts(stem_filters=stem_filters)
        self.in_channels, self.skip_reduction_input = in_channels, skip_reduction_input
        self.smallest = 3 if imagenet else 1  # only the first convolution is not padded
        self.image_size, self.drop_path = image_size, drop_path

        stride, padding = (2, 0) if imagenet else (1, 1)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem_filters, 3, stride, padding, bias=False),
            nn.BatchNorm2d(stem_filters),
        )
        # What the next cell will find: maps of h_{i-1} and h_i, and the stride between their sizes
        previous, current, between = stem_filters, stem_filters, None

        def cell(wiring: Cell, filters: int, stride: int, skip: bool = False) -> CellLayers:
            nonlocal previous, current, between
            layers = CellLayers(
                wiring, filters, current, previous, stride=stride, previous_stride=between
            )
            previous, current, between = previous if skip else current, layers.out_channels, stride
            return layers

        def normal(filters: int) -> nn.ModuleList:
            return nn.ModuleList(cell(genotype.normal, filters, 1) for _ in range(repeats))

        def reduction(filters: int) -> CellLayers:
            return cell(genotype.reduction, filters, 2, skip=skip_reduction_input)

        if imagenet:
            self.stem_cells = nn.ModuleList(
                cell(genotype.reduction, width // part, 2) for part in (4, 2)
            )
        self.normal1 = normal(width)
        self.reduction1 = reduction(2 * width)
        self.normal2 = normal(2 * width)
        if auxiliary_head:
            side = auxiliary_side(image_size, imagenet)
            self.auxiliary = AuxiliaryHead(current, side, num_classes)
        self.reduction2 = reduction(4 * width)
        self.normal3 = normal(4 * width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(current, num_classes)

        draw_weights(self)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3 if imagenet else 1e-5
        self.set_progress(0)

    def cells(self) -> list[CellLayers]:
        """All cells, in the order in which they run."""
        return [module for module in self.modules() if isinstance(module, CellLayers)]

    def set_progress(self, fraction: float) -> None:
        """Sets the share of paths that each cell drops, at a given fraction of the training.

        It grows with the fraction, from 0 to 1, and with the cell's place in the network, so that
        it reaches ``drop_path`` in the last cell at the end. A fresh network is at 0.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction of the training, from 0 to 1; got {fraction}")
        cells = self.cells()
        for place, cell in enumerate(cells, start=1):
            cell.drop_path.rate = self.drop_path * fraction * place / len(cells)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        auxiliary = self.training and hasattr(self, "auxiliary")
        check_images(images, self.in_channels, smallest=self.smallest)
        if auxiliary:
            check_images(images, self.in_channels, exactly=self.image_size)
        maps = self.stem(images)  # (N, 32, 111, 111), all sizes as in the mobile network
        states = maps, F.relu(maps)  # h_{i-1} and h_i
        if hasattr(self, "stem_cells"):
            states = run(self.stem_cells, *states)  # (N, 44, 56, 56), (N, 88, 28, 28)
        states = run(self.normal1, *states)  # (N, 264, 28, 28)
        states = self._reduce(self.reduction1, *states)  # (N, 352, 14, 14)
        states = run(self.normal2, *states)  # (N, 528, 14, 14)
        extra = self.auxiliary(states[1]) if auxiliary else None  # (N, num_classes)
        states = self._reduce(self.reduction2, *states)  # (N, 704, 7, 7)
        _, maps = run(self.normal3, *states)  # (N, 1056, 7, 7)
        logits = self.classifier(self.dropout(self.pool(maps).flatten(1)))  # (N, num_classes)
        return logits if extra is None else (logits, extra)

    def _reduce(self, cell: nn.Module, previous: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        """The next cell's two inputs; the first is twice as large as the second."""
        reduced = cell(previous, current)
        return previous if self.skip_reduction_input else current, reduced


def run(cells: Iterable[nn.Module], previous: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
    """Cells one after the other: what the last two make."""
    for cell in cells:
        previous, current = current, cell(previous, current)
    return previous, current


def auxiliary_side(image_size: int, imagenet: bool) -> int:
    """Height and width of the maps that the auxiliary head sees, after all reductions but one.

    Raises:
        ValueError: they are smaller than its 5 x 5 average pooling; names the smallest image size.
    """
    check_counts(image_size=image_size)
    halvings = 3 if imagenet else 1

    def side_of(size: int) -> int:
        convolved = (size - 1) // 2 if imagenet else size
        return -(-convolved // 2**halvings)

    if side_of(image_size) < 5:
        smallest = next(size for size in itertools.count(image_size) if side_of(size) == 5)
        raise ValueError(
            f"image_size must be at least {smallest} for the auxiliary head, which averages 5 x 5 "
            f"places two thirds of the way up; got {image_size}"
        )
    return side_of(image_size)


def auxiliary_loss(scores: Tensor | tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
    """Cross-entropy, with 0.4 times that of the auxiliary head added (Appendix A.7).

    Args:
        scores: what the network returns, in either mode; (N, classes) each.
        labels: (N,), whole numbers from 0 on.

    Returns:
        The mean over the N images; a scalar.
    """
    if isinstance(scores, Tensor):
        return F.cross_entropy(scores, labels)
    logits, auxiliary = (F.cross_entropy(part, labels) for part in scores)
    return logits + AUXILIARY_WEIGHT * auxiliary


@torch.no_grad()
def draw_weights(model: nn.Module) -> None:
    """Fresh weights of convolutions from N(0, 2 / fan-out), in place, as in the authors' code."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight.numel() // layer.in_channels  # a depthwise filter has one map
            layer.weight.normal_(0, (2 / fan_out) ** 0.5)


def nasnet_a_mobile(**options) -> NASNet:
    """NASNet-A (4 @ 1056) for 224 x 224 images (Table 3): 5,289,978 parameters."""
    return NASNet(**(MODELS["nasnet_a_mobile"][1] | options))


def nasnet_a_large(**options) -> NASNet:
    """NASNet-A (6 @ 4032) for 331 x 331 images (Table 2): 88,753,150 parameters.

    The paper prints 88.9 million: with the 196,668 running statistics there are 88,949,818.
    """
    return NASNet(**(MODELS["nasnet_a_large"][1] | options))


def nasnet_a_cifar(**options) -> NASNet:
    """NASNet-A (6 @ 768) for 32 x 32 images (Table 1): 3,346,538 parameters."""
    return NASNet(**(MODELS["nasnet_a_cifar"][1] | options))


# Table 1 to 3; stems, skipped inputs and rates as in the authors' code
MODELS = {
    "nasnet_a_mobile": (NASNet, {"repeats": 4, "filters": 1056}),
    "nasnet_a_large": (
        NASNet,
        {
            "repeats": 6,
            "filters": 4032,
            "stem_filters": 96,
            "skip_reduction_input": True,
            "image_size": 331,
            "drop_path": 0.3,
        },
    ),
    "nasnet_a_cifar": (
        NASNet,
        {
            "num_classes": 10,
            "repeats": 6,
            "filters": 768,
            "stem": "small",
            "image_size": 32,
            "drop_path": 0.4,
            "dropout": 0.0,
        },
    ),
}
LOSSES = {NASNet: lambda model: auxiliary_loss}
