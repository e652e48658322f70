"""LeNet-5: "Gradient-Based Learning Applied to Document Recognition".

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Proceedings of the IEEE 86(11):2278-2324, 1998.
doi 10.1109/5.726791; the network is described in Section II-B.

The idea: a unit looks only at a small patch, and all units of a map share one set of weights.
Subsampling between the convolutions makes the answer care less about exact places. So features and
classifier are learned together, from the pixels to the answer.

Departures: the digit bitmaps are drawn here, since the paper does not list its pixels; subsampling
starts as an average (coefficient 1/4, bias 0) instead of at random; scores are minus the paper's
penalties, so that the largest wins. All else differs only where an option says so.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

_TABLE_1 = """
X . . . X X X . . X X X X . X X
X X . . . X X X . . X X X X . X
X X X . . . X X X . . X . X X X
. X X X . . X X X X . . X . X X
. . X X X . . X X X X . X X . X
. . . X X X . . X X X X . X X X
"""  # row: map of S2, column: map of C3, X: linked; as Table I is printed

TABLE_1: tuple[tuple[int, ...], ...] = tuple(  # the S2 maps that each of the 16 C3 maps sees
    tuple(row for row, mark in enumerate(column) if mark == "X")
    for column in zip(*(line.split() for line in _TABLE_1.strip().splitlines()), strict=True)
)

BITMAPS = """
..###.. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.#####. ..###.. ##...## ##...## ...###. ####### .##.... ####### ##...## ##...##
##...## .####.. .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. .....## .....## ##..##. ######. ##..... ....##. .##.##. ##...##
##...## ...##.. ....##. ..####. ##..##. ####### ######. ...##.. ..###.. ##...##
##...## ...##.. ...##.. ..####. ##..##. .....## ####### ...##.. .##.##. .######
##...## ...##.. ..##... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## .##.... ##...## .....##
.#####. .###### ####### ##...## ....##. ##...## ##...## .##.... ##...## ....##.
..###.. .###### ####### .#####. ....##. .#####. .#####. .##.... .#####. .####..
"""  # 7 x 12 pixels each, in the manner of Fig. 3; that F6 is compared with them makes it 84 units

OPTIONS = {  # first the paper's choice, then what replaced it
    "connections": ("table", "full"),
    "subsampling": ("trainable", "average", "max"),
    "activation": ("scaled_tanh", "relu"),
    "output": ("rbf", "linear"),
}
MODERN: dict[str, Any] = {
    "connections": "full",
    "subsampling": "max",
    "activation": "relu",
    "output": "linear",
}


def digit_codes() -> Tensor:
    """The bitmaps as numbers, shape (10, 84): ink +1, paper -1, row by row."""
    rows = [line.split() for line in BITMAPS.strip().splitlines()]
    digits = ["".join(pieces) for pieces in zip(*rows, strict=True)]
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in digit] for digit in digits])


class ScaledTanh(nn.Module):
    """The squashing function 1.7159 tanh(2a / 3) (Appendix A): f(1) = 1 and f(-1) = -1."""

    def forward(self, a: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * a)


class Subsampling(nn.Module):
    """Sum of each 2 x 2 patch, times a coefficient, plus a bias: (N, C, H, W) -> (N, C, H/2, W/2).

    Coefficient and bias are trainable, one pair per map; the squashing follows separately.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((channels,), 0.25))  # of the sum: an average
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        sums = F.avg_pool2d(maps, kernel_size=2, divisor_override=1)
        return sums * self.coefficient[:, None, None] + self.bias[:, None, None]


class TableConv2d(nn.Module):
    """Convolution whose output maps see only the input maps listed for them (Table I).

    (N, C, H, W) -> (N, len(table), H - k + 1, W - k + 1), where C is the largest map listed plus 1.
    Only links that exist have weights: ``weight`` is (links, k, k), in the order of the table.

    Args:
        table: for each output map, the numbers of the input maps that it sees.
        kernel_size: k, in pixels.

    Raises:
        ValueError: an output map without input, with a negative one or with the same one twice.
    """

    links: Tensor  # (2, number of links): to which map, from which map

    def __init__(self, table: Sequence[Sequence[int]], kernel_size: int) -> None:
        super().__init__()
        for number, seen in enumerate(table):
            if not seen or min(seen) < 0 or len(set(seen)) < len(seen):
                raise ValueError(
                    f"map {number} of the table must list at least one input map, each once and "
                    f"counted from 0; got {list(seen)}"
                )
        self.table = tuple(tuple(seen) for seen in table)
        links = [(to, origin) for to, seen in enumerate(table) for origin in seen]
        self.register_buffer("links", torch.tensor(links).T.contiguous())
        self.in_channels, self.out_channels = 1 + max(i for _, i in links), len(table)
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.empty(len(links), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(len(table)))
        draw_weights(self)

    def dense_weight(self) -> Tensor:
        """The weights as of an ordinary convolution, (maps, C, k, k), zero where no link is."""
        shape = (self.out_channels, self.in_channels, self.kernel_size, self.kernel_size)
        to, origin = self.links[0], self.links[1]
        return self.weight.new_zeros(shape).index_put((to, origin), self.weight)

    def forward(self, maps: Tensor) -> Tensor:
        # Multiplying by the zeros as well is much quicker than leaving them out: a grouped
        # convolution per number of inputs (3, 4, 6) takes 6 to 15 times as long on a CPU core.
        return F.conv2d(maps, self.dense_weight(), self.bias)

    def macs(self, output: Tensor) -> int:
        """Multiply-adds that the links call for; the zeros in ``dense_weight`` do not count."""
        return self.weight.numel() * output[:, 0].numel()

    def extra_repr(self) -> str:
        k = self.kernel_size
        links = len(self.weight)
        return f"{self.in_channels}, {self.out_channels}, links={links}, kernel_size=({k}, {k})"


class RBF(nn.Module):
    """Minus the squared distance to each class's code (eq. 7): (N, features) -> (N, classes).

    Args:
        codes: (classes, features); fixed, moves and is saved with the model but is not trained.
    """

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)

    def forward(self, features: Tensor) -> Tensor:
        return -(features[:, None] - self.codes).square().sum(-1)

    def macs(self, output: Tensor) -> int:
        """Multiply-adds: one square per class and feature."""
        return output.numel() * self.codes.shape[1]

    def extra_repr(self) -> str:
        return f"classes={self.codes.shape[0]}, features={self.codes.shape[1]}"


class LeNet5(nn.Module):
    """LeNet-5 (Fig. 2): images (N, in_channels, 32, 32) -> scores (N, num_classes), largest wins.

    The defaults are the paper's network; each option changes one thing that later networks changed.

    Args:
        num_classes: at most 10 with ``output="rbf"``, which has a bitmap per digit.
        in_channels: 1 for grey images; ink 1.175 on a background of -0.1 in the paper.
        connections: C3 by Table I (``"table"``), or every map sees every map (``"full"``).
        subsampling: ``"trainable"``, then squashed; or ``"average"`` or ``"max"`` of 2 x 2 alone.
        activation: ``"scaled_tanh"`` or ``"relu"``; initial weights are drawn to suit it.
        output: ``"rbf"``, minus the penalties of eq. 7; or ``"linear"``, logits.
        batch_norm: after the convolutions C1, C3 and C5, before their activation. Their biases,
            which it makes redundant, stay, so that the option adds 284 parameters and removes none.

    Raises:
        ValueError: an unknown option, fewer than one class or channel, more classes than bitmaps;
            in ``forward``, images of another shape.
        TypeError: in ``forward``, images that are not floating-point numbers.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        connections: str = "table",
        subsampling: str = "trainable",
        activation: str = "scaled_tanh",
        output: str = "rbf",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        chosen = (connections, subsampling, activation, output)
        for (option, accepted), value in zip(OPTIONS.items(), chosen, strict=True):
            if value not in accepted:
                raise ValueError(f"{option} must be one of {', '.join(accepted)}; got {value!r}")
        for name, number in (("num_classes", num_classes), ("in_channels", in_channels)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1; got {number}")
        if output == "rbf" and num_classes > 10:
            raise ValueError(
                f'output="rbf" compares with ten digit bitmaps, so it has at most 10 classes; got '
                f'{num_classes}: use output="linear"'
            )

        def squash() -> nn.Module:
            return ScaledTanh() if activation == "scaled_tanh" else nn.ReLU()

        def convolve(layer: nn.Module, maps: int) -> nn.Sequential:
            norm = [nn.BatchNorm2d(maps)] if batch_norm else []
            return nn.Sequential(layer, *norm, squash())

        def subsample(maps: int) -> nn.Module:
            if subsampling == "trainable":
                return nn.Sequential(Subsampling(maps), squash())
            return nn.AvgPool2d(2) if subsampling == "average" else nn.MaxPool2d(2)

        table = connections == "table"
        self.in_channels = in_channels
        self.c1 = convolve(nn.Conv2d(in_channels, 6, 5), 6)
        self.s2 = subsample(6)
        self.c3 = convolve(TableConv2d(TABLE_1, 5) if table else nn.Conv2d(6, 16, 5), 16)
        self.s4 = subsample(16)
        self.c5 = convolve(nn.Conv2d(16, 120, 5), 120)  # sees all of S4: 5 x 5 to 1 x 1
        self.f6 = nn.Sequential(nn.Flatten(), nn.Linear(120, 84), squash())
        rbf = output == "rbf"
        self.output = RBF(digit_codes()[:num_classes]) if rbf else nn.Linear(84, num_classes)
        draw_weights(self, activation)

    def forward(self, images: Tensor) -> Tensor:
        self._check(images)
        x = self.c1(images)  # (N, 6, 28, 28)
        x = self.s2(x)  # (N, 6, 14, 14)
        x = self.c3(x)  # (N, 16, 10, 10)
        x = self.s4(x)  # (N, 16, 5, 5)
        x = self.c5(x)  # (N, 120, 1, 1)
        x = self.f6(x)  # (N, 84)
        return self.output(x)  # (N, num_classes)

    def _check(self, images: Tensor) -> None:
        if isinstance(images, fx.Proxy):  # the network is being traced: there are no images yet
            return
        if images.ndim != 4 or tuple(images.shape[1:]) != (self.in_channels, 32, 32):
            raise ValueError(
                f"LeNet-5 needs images of shape (N, {self.in_channels}, 32, 32); got "
                f"{tuple(images.shape)}. Pad 28 x 28 images by 2 pixels of background on each "
                "side; make a single image a batch with image[None]; set in_channels for colour"
            )
        if not images.is_floating_point():
            raise TypeError(
                f"LeNet-5 needs floating-point images; got {images.dtype}. Scale the pixels first: "
                "in the paper the background is -0.1 and the ink 1.175"
            )


@torch.no_grad()
def draw_weights(model: nn.Module, activation: str = "scaled_tanh") -> None:
    """Fresh weights, in place, for convolutions and linear layers.

    For ``"scaled_tanh"`` as in Appendix A: uniform in +-2.4 / fan-in, biases too. That starves a
    deep chain of ReLUs; ``"relu"`` draws from N(0, 2 / fan-in) with zero biases (He et al. 2015).
    """
    for layer in model.modules():
        if isinstance(layer, TableConv2d):  # fan-in is 75, 100 or 150, by the links of a map
            kernels = layer.weight.split([len(seen) for seen in layer.table])
            units = [(k, b, k.numel()) for k, b in zip(kernels, layer.bias, strict=True)]
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            weight, bias = layer.parameters()
            units = [(weight, bias, weight[0].numel())]
        else:
            continue
        for weight, bias, fan_in in units:
            if activation == "scaled_tanh":
                weight.uniform_(-2.4 / fan_in, 2.4 / fan_in)
                bias.uniform_(-2.4 / fan_in, 2.4 / fan_in)
            else:
                weight.normal_(0, (2 / fan_in) ** 0.5)
                bias.zero_()


def lenet5(**options) -> LeNet5:
    """The network of the paper: 60,000 trainable parameters."""
    return LeNet5(**options)


def lenet5_modern(**options) -> LeNet5:
    """What is usually shown as LeNet today, with ReLU and max pooling: 61,706 parameters."""
    return LeNet5(**(MODERN | options))


def mse_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean penalty of the correct class (eq. 8): scores (N, classes), labels (N,) -> scalar."""
    return -scores.gather(1, labels[:, None]).mean()


def map_loss(scores: Tensor, labels: Tensor, j: float = 0.1) -> Tensor:
    """Maximum a posteriori loss (eq. 9): scores (N, classes), labels (N,) -> scalar.

    Also pushes the penalties of the wrong classes up; ``exp(-j)``, for a "rubbish" class that is
    always there, keeps it from pushing those that are large already.
    """
    rubbish = scores.new_full((len(scores), 1), -j)
    return mse_loss(scores, labels) + torch.cat([rubbish, scores], 1).logsumexp(1).mean()


def count_connections(model: LeNet5) -> dict[str, int]:
    """Connections of each layer, as Section II-B counts them: 340,908 in the paper's network.

    A connection is an input or the bias of a unit, be its weight its own, shared or fixed.
    """

    def at_each_place(layer: nn.Module) -> int:
        if isinstance(layer, RBF):
            return layer.codes.numel()
        if isinstance(layer, TableConv2d | nn.Conv2d | nn.Linear):
            return sum(p.numel() for p in layer.parameters())
        return 0

    side = {"c1": 28, "s2": 14, "c3": 10, "s4": 5, "c5": 1, "f6": 1, "output": 1}
    stages = {name: list(stage.modules()) for name, stage in model.named_children()}
    counts = {name: sum(map(at_each_place, stages[name])) * side[name] ** 2 for name in side}
    for name, maps in {"s2": 6, "s4": 16}.items():  # 2 x 2 inputs; plain pooling has no bias
        biases = any(isinstance(layer, Subsampling) for layer in stages[name])
        counts[name] = (4 + biases) * maps * side[name] ** 2
    return counts


def loss_for(model: LeNet5) -> Callable[[Tensor, Tensor], Tensor]:
    """Eq. 9 for the penalties of the paper's output layer, cross-entropy for logits."""
    return map_loss if isinstance(model.output, RBF) else F.cross_entropy


MODELS: dict[str, tuple[type[nn.Module], dict]] = {
    "lenet5": (LeNet5, {}),
    "lenet5_modern": (LeNet5, MODERN),
}
LOSSES = {LeNet5: loss_for}
IMAGE_SIZES = {LeNet5: 32}  # pixels; no other fits
