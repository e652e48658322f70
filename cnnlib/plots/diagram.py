"""A block drawn from the module itself: its layers as boxes, sums and concatenations as nodes."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from cnnlib.models.layers import Conv2dSame, DropPath
from cnnlib.models.resnet import ZeroPadding
from cnnlib.plots.style import closed

WIDTH, HEIGHT = 1.5, 0.36  # of a box, in inches
STEP, LANE = 0.58, 0.22  # from one row to the next; from one line around the boxes to the next
GAP = 0.28  # between two columns of boxes

_FILLS = {"conv": "#cfe3f3", "norm": "#e3f0d9", "act": "#fbe3cf", "other": "#eeeeee"}


@dataclass
class _Node:
    """A box or a sign, and where it stands: rows downwards, columns to the right."""

    name: str
    label: str
    kind: str  # conv, norm, act, other: boxes; sign: a circle; end: input and output
    sources: list[str]
    row: int = 0
    column: float = 0.0
    shape: tuple[int, ...] = ()


Shape = Sequence[int]


def diagram(
    modules: nn.Module | Mapping[str, nn.Module | tuple[nn.Module, Shape]], *shapes: Shape
) -> Figure:
    """The flow through a block, or through several blocks side by side, from top to bottom.

    What is drawn is what runs: the module's ``forward`` is traced. A path on which nothing stands
    is a line around the boxes. The sizes at the ends are channels × height × width.

    Args:
        modules: one block; or several by their titles, drawn side by side. A pair of a block and
            its own shape may stand for a block.
        shapes: (channels, height, width) of one image, for each argument of ``forward``.

    Raises:
        TypeError: the module's ``forward`` cannot be traced.
        ValueError: no module, or the shapes do not fit it.
    """
    named = {"": modules} if isinstance(modules, nn.Module) else dict(modules)
    if not named:
        raise ValueError("diagram needs at least one module")
    graphs = {}
    for title, block in named.items():
        module, own = (block, shapes) if isinstance(block, nn.Module) else (block[0], block[1:])
        graphs[title] = _place(_trace(module, own))
    rows = max(node.row for nodes in graphs.values() for node in nodes) + 1
    spans = [_span(nodes) for nodes in graphs.values()]
    widths = [right - left for left, right in spans]
    top, bottom = (0.4 if any(graphs) else 0.05), 0.15
    figure, axes = plt.subplots(
        1, len(graphs), figsize=(sum(widths), (rows - 1) * STEP + HEIGHT + top + bottom),
        squeeze=False, gridspec_kw={"width_ratios": widths},
    )  # fmt: skip
    for axis, (title, nodes), (left, right) in zip(axes.flat, graphs.items(), spans, strict=True):
        _draw(axis, nodes)
        axis.set(xlim=(left, right), ylim=(_y(rows - 1) - HEIGHT / 2 - bottom, HEIGHT / 2 + top))
        axis.set_aspect("equal")
        axis.axis("off")
        axis.text(
            _x(nodes[0].column), HEIGHT / 2 + top, title, ha="center", va="top", weight="bold"
        )
    return closed(figure)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = isinstance(m, tuple(_BOXES))
        return known or super().is_leaf_module(m, module_qualified_name)


def _trace(module: nn.Module, shapes: Sequence[Sequence[int]]) -> list[_Node]:
    """The steps of ``forward`` in their order, with the shapes of what they give."""
    module = copy.deepcopy(module).to("meta").eval()  # shapes cost no memory; the original stays
    name = type(module).__name__
    tracer = _Tracer()
    try:
        graph = tracer.trace(module)
    except Exception as error:  # tracing runs the module's own code: anything may happen
        raise TypeError(f"the forward of {name} cannot be traced: {error}") from error
    inputs = [torch.empty(1, *shape, device="meta") for shape in shapes]
    traced = fx.GraphModule(module, graph)
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    try:
        ShapeProp(traced).propagate(*(x.to(dtype) for x in inputs))
    except Exception as error:
        sizes = ", ".join(str(tuple(shape)) for shape in shapes) or "none"
        raise ValueError(f"{name} does not take images of the shapes {sizes}: {error}") from error
    return _nodes(traced)


def _nodes(traced: fx.GraphModule) -> list[_Node]:
    parts = dict(traced.named_modules())
    nodes: list[_Node] = []
    stands_for: dict[str, str] = {}  # a step without a box -> the one whose result it passes on
    for step in traced.graph.nodes:
        found = [stands_for[n.name] for n in step.all_input_nodes if n.name in stands_for]
        shape = _shape_of(step)
        if step.op == "placeholder":
            box = ("input", "end") if shape is not None else None
        elif step.op == "output":
            box = ("output", "end")
            shape = next((node.shape for node in nodes if node.name == found[0]), ())
        elif step.op == "call_module":
            box = _box(parts[str(step.target)])
        else:
            box = _sign(step)
        if box is None:
            if found:
                stands_for[step.name] = found[0]
            continue
        stands_for[step.name] = step.name
        nodes.append(_Node(step.name, *box, sources=found, shape=shape or ()))
    return nodes


def _shape_of(step: fx.Node) -> tuple[int, ...] | None:
    shape = getattr(step.meta.get("tensor_meta"), "shape", None)
    return None if shape is None else tuple(shape[1:])


def _conv(layer: nn.Conv2d) -> str:
    size = "×".join(map(str, layer.kernel_size))
    depthwise = 1 < layer.groups == layer.in_channels == layer.out_channels
    kind = "depthwise" if depthwise else "conv"  # short: it has to fit into its box
    words = [f"{size} {kind}, {layer.out_channels}"]
    if layer.groups > 1 and not depthwise:
        words.append(f"{layer.groups} groups")
    if max(layer.stride) > 1:
        words.append(f"/{layer.stride[0]}")
    return ", ".join(words)


def _pool(word: str) -> Callable[[Any], str]:
    def label(layer: Any) -> str:
        size, stride = (
            n if isinstance(n, int) else n[0] for n in (layer.kernel_size, layer.stride)
        )
        return f"{size}×{size} {word} pool" + (f", /{stride}" if stride > 1 else "")

    return label


_BOXES: dict[type[nn.Module], tuple[Callable[[Any], str], str]] = {
    ZeroPadding: (lambda m: "zero channels" + (f", /{m.stride}" if m.stride > 1 else ""), "other"),
    Conv2dSame: (_conv, "conv"),
    DropPath: (lambda m: "drop path", "other"),
    nn.Conv2d: (_conv, "conv"),
    nn.BatchNorm2d: (lambda m: "batch norm", "norm"),
    nn.LocalResponseNorm: (lambda m: "LRN", "norm"),
    nn.MaxPool2d: (_pool("max"), "other"),
    nn.AvgPool2d: (_pool("average"), "other"),
    nn.AdaptiveAvgPool2d: (lambda m: "global average", "other"),
    nn.Linear: (lambda m: f"linear, {m.out_features}", "conv"),
    nn.Dropout: (lambda m: f"dropout {m.p:g}", "other"),
    nn.Flatten: (lambda m: "flatten", "other"),
    nn.ReLU: (lambda m: "ReLU", "act"),
    nn.ReLU6: (lambda m: "ReLU6", "act"),
    nn.SiLU: (lambda m: "SiLU", "act"),
    nn.Sigmoid: (lambda m: "sigmoid", "act"),
    nn.Tanh: (lambda m: "tanh", "act"),
    nn.Hardswish: (lambda m: "h-swish", "act"),
    nn.Hardsigmoid: (lambda m: "h-sigmoid", "act"),
}


def _box(layer: nn.Module) -> tuple[str, str] | None:
    if isinstance(layer, nn.Identity):
        return None
    for kind, (label, fill) in _BOXES.items():
        if isinstance(layer, kind):
            return label(layer), fill
    return type(layer).__name__, "other"


_SUMS = (operator.add, operator.iadd, torch.add)
_PRODUCTS = (operator.mul, operator.imul, torch.mul)
_ACTIVATIONS = {
    F.relu: "ReLU", torch.relu: "ReLU", torch.sigmoid: "sigmoid", F.silu: "SiLU",
    torch.tanh: "tanh", "relu": "ReLU", "relu_": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh",
}  # fmt: skip


def _sign(step: fx.Node) -> tuple[str, str] | None:
    """What a function or a tensor's method is drawn as; None: it only rearranges."""
    two = len(step.all_input_nodes) > 1
    if step.target in _SUMS or step.target in ("add", "add_"):
        return ("+", "sign") if two else None
    if step.target in _PRODUCTS or step.target in ("mul", "mul_"):
        factor = next((a for a in step.args if isinstance(a, int | float)), None)
        return ("×", "sign") if two else (f"× {factor:g}" if factor is not None else "×", "other")
    if step.target is torch.cat:
        return "concatenate", "wide"
    if step.target is operator.sub or step.target == "rsub":
        return ("−", "sign") if two else ("1 − …", "other")
    if step.target in _ACTIVATIONS:
        return _ACTIVATIONS[step.target], "act"
    if step.target in ("mean",) or step.target in (torch.mean, F.adaptive_avg_pool2d):
        return "global average", "other"
    return None


def _place(nodes: list[_Node]) -> list[_Node]:
    """Rows by the longest way from the input, columns by the branches in the order they run."""
    by_name = {node.name: node for node in nodes}
    for node in nodes:
        node.row = max((by_name[source].row + 1 for source in node.sources), default=0)
    last = max(node.row for node in nodes)
    for node in nodes:
        if node.label == "output":
            node.row = last
    _columns(nodes, 0.0)
    return nodes


def _columns(nodes: list[_Node], left: float) -> float:
    """Give every node of a part its column, from ``left`` on; the number of columns needed.

    Nodes that every path passes are the trunk. What lies between two of them falls into branches,
    parts of their own, which stand side by side.
    """
    trunk = _on_every_path(nodes)
    regions = _regions(nodes, trunk)
    if not trunk and len(regions[0]) == 1:  # no branches side by side: paths cross
        return _crossing(nodes, left)
    fan = max((len(branches) for branches in regions), default=0)
    # one branch or two stand under the trunk's start, as a shortcut does; a fan is centred
    widths: list[float] = []
    for branches in regions:
        widths.append(sum(_columns(branch, 0.0) for branch in branches))
    width = max([1.0, *widths])
    middle = (width - 1) / 2 if fan > 2 else 0.0
    for node in nodes:
        if node.name in trunk:
            node.column = left + middle
    for branches, needed in zip(regions, widths, strict=True):
        start = left + (width - needed) / 2 if fan > 2 else left
        for branch in branches:
            start += _columns(branch, start)
    return width


def _crossing(nodes: list[_Node], left: float) -> float:
    """Columns where paths cross: each node under a node that it uses, if nothing stands there."""
    columns: dict[str, float] = {}
    taken: dict[float, int] = {}  # column -> lowest row in use
    for node in nodes:
        wanted = [columns[s] for s in node.sources if s in columns] + list(range(len(nodes)))
        column = next(c for c in wanted if taken.get(c, -1) < node.row)
        columns[node.name], taken[column] = column, node.row
        node.column = left + column
    return max(columns.values()) + 1


def _on_every_path(nodes: list[_Node]) -> set[str]:
    """Names of the nodes that all paths through this part have in common."""
    inside = {node.name for node in nodes}
    used = {source for node in nodes for source in node.sources}
    enters = {  # paths come in where something outside is used, and at the very beginning
        node.name: int(not node.sources or not inside.issuperset(node.sources)) for node in nodes
    }
    before: dict[str, int] = {}
    for node in nodes:
        before[node.name] = enters[node.name] + sum(before.get(s, 0) for s in node.sources)
    after = dict.fromkeys(inside, 0)
    for node in reversed(nodes):
        after[node.name] += node.name not in used
        for source in inside.intersection(node.sources):
            after[source] += after[node.name]
    total = sum(enters[name] * after[name] for name in inside)
    return {name for name in inside if before[name] * after[name] == total}


def _regions(nodes: list[_Node], trunk: set[str]) -> list[list[list[_Node]]]:
    """What lies between nodes of the trunk: for each such place its branches."""
    by_name = {node.name: node for node in nodes}
    branches: list[tuple[int, list[_Node]]] = []  # number of trunk nodes above, the branch
    above = 0
    for node in nodes:
        if node.name in trunk:
            above += 1
            continue
        met = [
            branch for _, branch in branches
            if any(by_name.get(s) in branch for s in node.sources if s not in trunk)
        ]  # fmt: skip
        if not met:
            branches.append((above, [node]))
        else:
            met[0].append(node)
            for other in met[1:]:
                met[0].extend(other)
                met[0].sort(key=nodes.index)
            branches = [(n, b) for n, b in branches if not any(b is other for other in met[1:])]
    places = sorted({n for n, _ in branches})
    return [[branch for n, branch in branches if n == place] for place in places]


def _x(column: float) -> float:
    return column * (WIDTH + GAP)


def _y(row: float) -> float:
    return -row * STEP


def _lanes(nodes: list[_Node]) -> dict[tuple[str, str], float]:
    """Where the lines run that would meet a box on the straight way: (from, to) -> x."""
    by_name = {node.name: node for node in nodes}
    passing = []
    for node in nodes:
        for name in node.sources:
            source = by_name[name]
            between = range(source.row + 1, node.row)
            if any(n.row in between and n.column == source.column for n in nodes):
                passing.append((source, node))
    lanes: dict[tuple[str, str], float] = {}
    used: list[list[tuple[int, int]]] = []
    for source, node in sorted(passing, key=lambda pair: pair[1].row - pair[0].row):
        rows = (source.row, node.row)
        for taken in used:
            if all(rows[1] <= a or b <= rows[0] for a, b in taken):
                break
        else:
            taken = []
            used.append(taken)
        taken.append(rows)
        number = next(i for i, lane in enumerate(used) if lane is taken)
        right = max(n.column for n in nodes if rows[0] < n.row < rows[1] or n is node)
        lanes[source.name, node.name] = _x(right) + WIDTH / 2 + LANE * (number + 1)
    return lanes


def _span(nodes: list[_Node]) -> tuple[float, float]:
    right = max([_x(node.column) + WIDTH / 2 for node in nodes] + list(_lanes(nodes).values()))
    left = min(_x(node.column) for node in nodes) - WIDTH / 2
    return left - 0.12, right + 0.12


def _draw(axis: Axes, nodes: list[_Node]) -> None:
    by_name = {node.name: node for node in nodes}
    lanes = _lanes(nodes)
    for node in nodes:
        for name in node.sources:
            _line(axis, by_name[name], node, lanes.get((name, node.name)))
    for node in nodes:
        x, y = _x(node.column), _y(node.row)
        if node.kind == "sign":
            axis.add_patch(Circle((x, y), HEIGHT / 2, fc="white", ec="black", lw=1.1, zorder=3))
        elif node.kind != "end":
            wide = [by_name[s].column for s in node.sources] if node.kind == "wide" else []
            left, right = (_x(min(wide)), _x(max(wide))) if wide else (x, x)
            axis.add_patch(
                FancyBboxPatch(
                    (left - WIDTH / 2, y - HEIGHT / 2), right - left + WIDTH, HEIGHT,
                    boxstyle="round,pad=0,rounding_size=0.07", lw=1, ec="black", zorder=3,
                    fc=_FILLS.get(node.kind, "white"),
                )
            )  # fmt: skip
        label = node.label
        if node.kind == "end":
            label = "×".join(map(str, node.shape)) or node.label
        size = 13 if node.kind == "sign" else 9
        axis.text(x, y, label, ha="center", va="center", fontsize=size, zorder=4)


def _line(axis: Axes, source: _Node, node: _Node, lane: float | None) -> None:
    x0, x1, y0, y1 = _x(source.column), _x(node.column), _y(source.row), _y(node.row)
    low = y0 - (0.14 if source.kind == "end" else HEIGHT / 2)
    high = y1 + (0.14 if node.kind == "end" else HEIGHT / 2)
    under = y0 - STEP / 2
    if lane is not None:
        points = [(x0, low), (x0, under), (lane, under)]
        if node.kind == "sign":
            points += [(lane, y1), (x1 + HEIGHT / 2, y1)]
        else:
            over = y1 + STEP / 2
            points += [(lane, over), (x1, over), (x1, high)]
    elif node.kind == "sign" and x0 != x1:
        points = [(x0, low), (x0, y1), (x1 + HEIGHT / 2 * (1 if x0 > x1 else -1), y1)]
    elif node.kind == "wide":
        points = [(x0, low), (x0, high)]
    elif x0 != x1:
        points = [(x0, low), (x0, under), (x1, under), (x1, high)]
    else:
        points = [(x0, low), (x0, high)]
    xs, ys = zip(*points, strict=True)
    axis.plot(xs[:-1] + xs[-1:], ys, color="black", lw=1.1, ls="-", zorder=1, marker="")
    axis.annotate(
        "", xy=points[-1], xytext=points[-2], zorder=2,
        arrowprops={"arrowstyle": "-|>", "color": "black", "lw": 1.1, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
