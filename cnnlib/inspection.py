"""What a network is made of: parameters, multiply-adds, shapes and receptive fields, as a table.

A copy of the model is run once on one image of the ``meta`` device, where tensors have a shape but
no numbers: it costs no memory and no time, and the model itself is not touched. Meanwhile every
elementary operation is watched: it adds its multiply-adds to a counter and hands on, from inputs to
outputs, which pixels a value depends on.
"""

import copy
import html
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Row", "Summary", "count_macs", "count_parameters", "summarize"]

# int when height and width agree, else (height, width); None where there is no single answer
Extent = int | tuple[int, int] | None


@dataclass(frozen=True)
class Row:
    """One line of a summary: a layer, or a stage of several.

    Attributes:
        name: as in ``model.get_submodule(name)``.
        kind: class, or the classes of which a ``Sequential`` consists.
        output_shape: without the batch dimension; None if the layer was not run.
        parameters: trainable numbers; shared ones count where they appear first.
        macs: multiply-adds for one image, of convolutions and matrix products.
        receptive_field: side, in pixels of the input, of the square that a value depends on,
            padding included; None where it is not known, as after a transposed convolution.
        stride: pixels of the input between the fields of neighbouring values; None also where all
            values see the same field, as in fully connected layers.
        offset: pixel at which the field of the first value begins; negative inside padding.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    macs: int
    receptive_field: Extent = None
    stride: Extent = None
    offset: Extent = None


@dataclass(frozen=True, repr=False)
class Summary:
    """A table of a network's layers, for a prompt, ``print`` and a notebook.

    Attributes:
        model: class of the network.
        input_shape: of one image, (C, H, W).
        rows: in the order in which the network lists its layers.
        parameters: trainable numbers in all.
        macs: multiply-adds in all, for one image.
    """

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row]
    parameters: int
    macs: int

    HEADINGS = ("Layer", "Kind", "Output", "Parameters", "MACs", "Receptive field", "Stride")
    _TEXT_COLUMNS = 2  # aligned left, the others right

    @property
    def caption(self) -> str:
        return f"{self.model} on {_times(self.input_shape)}"

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name,
                row.kind,
                _times(row.output_shape),
                f"{row.parameters:,}",
                f"{row.macs:,}",
                _times(row.receptive_field),
                _times(row.stride),
            )
            for row in self.rows
        ]

    def _total(self) -> tuple[str, ...]:
        return ("Total", "", "", f"{self.parameters:,}", f"{self.macs:,}", "", "")

    def __str__(self) -> str:
        lines = [self.HEADINGS, *self._cells(), self._total()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                cell.ljust(width) if place < self._TEXT_COLUMNS else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "-" * max(map(len, text))
        return "\n".join([self.caption, rule, text[0], rule, *text[1:-1], rule, text[-1]])

    __repr__ = __str__  # so that a prompt shows the table too

    def _repr_html_(self) -> str:
        def tag(cell: str, place: int, line: str = "") -> str:
            side = "left" if place < self._TEXT_COLUMNS else "right"
            name, scope = ("th", f' scope="{line}"') if line else ("td", "")
            style = f"text-align: {side}; padding: 0.2em 0.6em"
            return f'<{name}{scope} style="{style}">{html.escape(cell)}</{name}>'

        def row(cells: tuple[str, ...]) -> str:
            first, *others = cells
            rest = "".join(tag(cell, place) for place, cell in enumerate(others, start=1))
            return f"<tr>{tag(first, 0, 'row')}{rest}</tr>"

        # No colours: text and rules take those of the page, be it light or dark. The frame scrolls
        # on a narrow screen, and can be focused so that the keyboard scrolls it too.
        head = "".join(tag(cell, place, "col") for place, cell in enumerate(self.HEADINGS))
        body = "\n".join(map(row, self._cells()))
        rule = "border-{}: 1px solid currentColor"
        return (
            f'<div role="group" tabindex="0" aria-label="{html.escape(self.caption)}" '
            'style="overflow-x: auto">\n'
            '<table class="cnnlib-summary" style="border-collapse: collapse; color: inherit">\n'
            '<caption style="caption-side: top; text-align: left; color: inherit">'
            f"{html.escape(self.caption)}</caption>\n"
            f'<thead style="{rule.format("bottom")}"><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody>\n"
            f'<tfoot style="{rule.format("top")}">{row(self._total())}</tfoot>\n'
            "</table>\n</div>"
        )


def _times(sizes: Extent | Sequence[int]) -> str:
    if sizes is None:
        return "–"
    return " × ".join(map(str, [sizes] if isinstance(sizes, int) else sizes))


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers of a model; those used in several places count once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(model: nn.Module, input_shape: Sequence[int] = (1, 32, 32)) -> int:
    """Multiply-adds for one image, as ``summarize`` counts them."""
    return summarize(model, input_shape).macs


def summarize(
    model: nn.Module, input_shape: Sequence[int] = (1, 32, 32), *, depth: int = 1
) -> Summary:
    """The layers of a network, as it runs for inference on one image.

    Convolutions and matrix products count as multiply-adds (MACs), one per weight and use; sums,
    pooling, activations and normalisation do not count. A layer with a method
    ``macs(output) -> int`` is asked instead.

    Args:
        model: any module that takes one batch of images, on any device, ``meta`` included.
        input_shape: (C, H, W) of one image.
        depth: 1 lists the children of the model, 2 their children, and so on.

    Raises:
        ValueError: a depth below 1, a shape that is not made of positive whole numbers, or whatever
            the model itself says of an image of this shape.
    """
    shape = tuple(input_shape)
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(
            f"input_shape must be (C, H, W) of one image, such as (1, 32, 32); got {shape}"
        )
    if depth < 1:
        raise ValueError(f"depth must be at least 1, for the model's own children; got {depth}")

    twin = _without_numbers(model).eval()
    rows, watch = _run(twin, shape, _at_depth(twin, depth))
    total = count_parameters(model)
    rest = total - sum(row.parameters for row in rows), watch.macs - sum(row.macs for row in rows)
    if any(rest):  # what belongs to modules that contain those shown
        rows.append(Row("(elsewhere)", type(model).__name__, None, *rest))
    return Summary(type(model).__name__, shape, rows, total, watch.macs)


def _without_numbers(model: nn.Module) -> nn.Module:
    """A copy on ``meta``; the numbers are never copied, nor are hooks that look at outputs."""
    already: dict[int, Any] = {}  # what deepcopy takes for copied, by the id of the original
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor):
                already[id(value)] = value.detach().to("meta")
        already[id(module._forward_hooks)] = type(module._forward_hooks)()
    for buffer in model.buffers():
        already[id(buffer)] = buffer.detach().to("meta")
    for p in model.parameters():
        already[id(p)] = nn.Parameter(p.detach().to("meta"), requires_grad=p.requires_grad)
    return copy.deepcopy(model, already)


def _at_depth(model: nn.Module, depth: int) -> dict[str, nn.Module]:
    """Modules so many levels down, and those above that have no children, by name."""
    levels = ((name, name.count(".") + 1 if name else 0, m) for name, m in model.named_modules())
    return {
        name: module
        for name, level, module in levels
        if level == depth or (level < depth and next(module.children(), None) is None)
    }


def _run(twin: nn.Module, shape: tuple[int, ...], listed: dict[str, nn.Module]):
    """Rows for the listed modules, and what was seen while the model ran on one image."""
    watch = _Watch()
    outputs: dict[str, Tensor] = {}
    macs = dict.fromkeys(listed, 0)
    names = {part: name for name, module in listed.items() for part in _callable_parts(module)}
    _attach(twin, names, watch, outputs, macs)
    dtypes = [p.dtype for p in twin.parameters() if p.is_floating_point()]
    image = torch.empty(1, *shape, device="meta", dtype=dtypes[0] if dtypes else None)
    if image.ndim == 4:
        watch.remember(image, (Field(1, 1, 0), Field(1, 1, 0)))  # a pixel depends on itself
    with torch.no_grad(), watch:
        twin(image)

    rows, counted = [], set()
    for name, module in listed.items():
        own = {p for p in module.parameters() if p.requires_grad} - counted
        counted |= own
        output = outputs.get(name)
        fields = watch.fields.get(id(output))
        moves = fields is not None and all(axis.stride for axis in fields)
        rows.append(
            Row(
                name=name or type(twin).__name__,
                kind=_kind(module),
                output_shape=None if output is None else tuple(output.shape[1:]),
                parameters=sum(p.numel() for p in own),
                macs=macs[name],
                receptive_field=_extent(axis.size for axis in fields) if fields else None,
                stride=_extent(axis.stride for axis in fields) if fields and moves else None,
                offset=_extent(axis.start for axis in fields) if fields else None,
            )
        )
    return rows, watch


def _callable_parts(module: nn.Module) -> Iterator[nn.Module]:
    """The module itself; or, as nobody calls a ``ModuleList``, the modules in it."""
    if type(module).forward is not nn.Module.forward:
        yield module
    else:
        for child in module.children():
            yield from _callable_parts(child)


def _attach(
    twin: nn.Module,
    names: dict[nn.Module, str],
    watch: "_Watch",
    outputs: dict[str, Tensor],
    macs: dict[str, int],
) -> None:
    """Hooks that note, under a module's name, its last output and what all its calls cost."""
    before = []  # the counter's state when the modules now running began, outermost first

    def start(module: nn.Module, args: Any) -> None:
        before.append(watch.macs)

    def stop(module: nn.Module, args: Any, output: Any) -> None:
        began = before.pop()
        tensor = next(_tensors(output), None)
        if callable(own_count := getattr(module, "macs", None)) and tensor is not None:
            watch.macs = began + own_count(tensor)
        if module in names and tensor is not None:
            outputs[names[module]] = tensor
            macs[names[module]] += watch.macs - began

    for module in twin.modules():
        module.register_forward_pre_hook(start)
        module.register_forward_hook(stop)


def _kind(module: nn.Module) -> str:
    """Class of a module; for a short ``Sequential``, the classes in it."""
    if type(module) is not nn.Sequential:
        return type(module).__name__
    runs = [(kind, len(list(same))) for kind, same in itertools.groupby(map(_kind, module))]
    if not 0 < len(runs) <= 4:
        return "Sequential"
    return ", ".join(kind if n == 1 else f"{n} × {kind}" for kind, n in runs)


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _extent(axes: Iterable[int]) -> Extent:
    height, width = axes
    return height if height == width else (height, width)


class Field(NamedTuple):
    """Along one axis: which pixels the values of a map depend on.

    The value at position i depends on the pixels from ``start + i * stride`` on, ``size`` of them.
    Stride 0: all values depend on the same pixels.
    """

    size: int
    stride: int
    start: int


Fields = tuple[Field, Field]  # height, width


class Window(NamedTuple):
    """What a convolution or a pooling slides along one axis."""

    kernel: int
    stride: int
    padding: int
    dilation: int = 1


class _Watch(TorchDispatchMode):
    """Sees every elementary operation: adds up multiply-adds and follows the receptive field."""

    # Operations that leave values at their place, beside those that PyTorch tags as pointwise
    IN_PLACE = frozenset(
        "alias avg_pool3d cat clone constant_pad_nd detach index_select native_batch_norm "
        "_native_batch_norm_legit_no_training slice split split_with_sizes squeeze _to_copy "
        "unsqueeze _unsafe_view view".split()
    )
    FLATTEN = frozenset(("view", "_unsafe_view"))
    REDUCE = frozenset(("amax", "mean", "sum"))

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.fields: dict[int, Fields | None] = {}  # by id; None: depends on pixels unknown to us
        self._alive: list[Tensor] = []  # as long as they live, no two of them have the same id

    def remember(self, tensor: Tensor, fields: Fields | None) -> None:
        self._alive.append(tensor)
        self.fields[id(tensor)] = fields

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        declared = func._schema.arguments
        given = {a.name: a.default_value for a in declared if a.has_default_value()}
        given |= dict(zip((a.name for a in declared), args, strict=False)) | (kwargs or {})
        name = func.overloadpacket.__name__
        outputs = list(_tensors(result))
        if outputs:
            self.macs += _macs(name, given, outputs[0])
            inputs = [t for t in _tensors(given) if id(t) in self.fields]
            if inputs:  # else a constant: it depends on no pixel
                pointwise = torch.Tag.pointwise in func.tags
                fields = self._follow(name, given, inputs, outputs[0], pointwise)
                for output in outputs:
                    self.remember(output, fields)
        return result

    def _follow(
        self, name: str, given: dict, inputs: list[Tensor], output: Tensor, pointwise: bool
    ) -> Fields | None:
        """Fields of an operation's output; None rather than a guess."""
        known = [fields for t in inputs if (fields := self.fields[id(t)]) is not None]
        if len(known) < len(inputs):
            return None
        sizes = inputs[0].shape[-2:]
        if len(known) == 1:
            windows = _windows(name, given, inputs[0], output)
            if windows:
                height, width = map(_slide, known[0], windows)
                return height, width
            flattened = name in self.FLATTEN and output.ndim == 2 < inputs[0].ndim
            pooled = name in self.REDUCE and _last_two(given.get("dim"), inputs[0].ndim)
            if flattened or pooled:
                height, width = map(_everywhere, known[0], sizes)
                return height, width
        still = all(axis.stride == 0 for fields in known for axis in fields)
        kept = (pointwise or name in self.IN_PLACE) and all(
            t.shape[-2:] == output.shape[-2:] or all(axis.stride == 0 for axis in fields)
            for t, fields in zip(inputs, known, strict=True)
        )
        if not (still or kept):
            return None
        height, width = (
            _union(axes, length)
            for axes, length in zip(zip(*known, strict=True), output.shape[-2:], strict=True)
        )
        return (height, width) if height and width else None


def _macs(name: str, given: dict, output: Tensor) -> int:
    """Multiply-adds of one operation: for each output value, as many as inputs it is made of."""
    if name == "convolution":
        per_value = given["weight"][0].numel()
        return per_value * (given["input"] if given["transposed"] else output).numel()
    left = {"mm": "self", "bmm": "self", "addmm": "mat1", "baddbmm": "batch1"}.get(name)
    return output.numel() * given[left].shape[-1] if left else 0


def _windows(name: str, given: dict, source: Tensor, output: Tensor) -> list[Window] | None:
    """What slides along height and width, if that is what the operation does."""
    if name == "convolution":
        if given["transposed"] or given["weight"].ndim != 4:
            return None
        kernel, *others = given["weight"].shape[2:], given["stride"], given["padding"]
        others.append(given["dilation"])
    elif name in ("avg_pool2d", "max_pool2d_with_indices"):
        kernel = given["kernel_size"]
        others = [given["stride"] or kernel, given["padding"], given.get("dilation", 1)]
    elif name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d"):
        if any(n % m for n, m in zip(source.shape[-2:], output.shape[-2:], strict=True)):
            return None  # then windows differ in size
        kernel = [n // m for n, m in zip(source.shape[-2:], output.shape[-2:], strict=True)]
        others = [kernel, 0]
    else:
        return None
    return [Window(*axis) for axis in zip(*map(_pair, (kernel, *others)), strict=True)]


def _pair(sizes: Any) -> list[int]:
    sizes = [sizes] if isinstance(sizes, int) else list(sizes)
    return sizes * 2 if len(sizes) == 1 else sizes


def _slide(field: Field, window: Window) -> Field:
    """The k values under the window lie ``dilation`` strides apart; the first may be padding."""
    return Field(
        size=field.size + (window.kernel - 1) * window.dilation * field.stride,
        stride=field.stride * window.stride,
        start=field.start - window.padding * field.stride,
    )


def _everywhere(field: Field, length: int) -> Field:
    """All of a map at once: from the first value's field to the last one's."""
    return Field(field.size + (length - 1) * field.stride, 0, field.start)


def _last_two(dims: Sequence[int] | None, ndim: int) -> bool:
    return dims is not None and {d % ndim for d in dims} == {ndim - 2, ndim - 1}


def _union(axes: Sequence[Field], length: int) -> Field | None:
    """Field of values that are made of several: from the first pixel of any to the last of any."""
    strides = {field.stride for field in axes}
    if strides != {0} and 0 in strides:  # a gate, computed from all places, times a map
        ends = [_everywhere(field, length) for field in axes]
        whole = _union(ends, 1)
        return whole if whole in axes else None
    start = min(field.start for field in axes)
    end = max(field.start + field.size for field in axes)
    return Field(end - start, strides.pop(), start) if len(strides) == 1 else None
