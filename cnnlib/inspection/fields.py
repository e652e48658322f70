"""The geometry of receptive fields: which pixels an operation's outputs depend on.

Every operation is either known here or makes the answer unknown; nothing is guessed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Field(NamedTuple):
    """Along one axis: which pixels the values of a map depend on.

    The value at position i depends on the pixels from ``start + i * stride`` on, ``size`` of them.
    Stride 0: all values depend on the same pixels.
    """

    size: int
    stride: int
    start: int


Fields = tuple[Field, Field]  # height, width


class Flattened(NamedTuple):
    """What a map becomes that is laid out as one vector: each value still has its own field.

    Attributes:
        whole: the field of all values together, which is that of each unit of the next fully
            connected layer.
    """

    whole: Fields


State = Fields | Flattened | None  # None: depends on pixels unknown to us
Source = tuple[Tensor, Any]  # an input of an operation, and its State other than None
Given = dict[str, Any]  # the arguments of an operation, by name


class Window(NamedTuple):
    """What a convolution or a pooling slides along one axis."""

    kernel: int
    stride: int
    padding: int
    dilation: int = 1


def follow(
    name: str, given: Given, sources: Sequence[Source], output: Tensor, pointwise: bool
) -> State:
    """What an operation's output depends on; None rather than a guess.

    Args:
        name: of the operation in PyTorch's ``aten``, without its overload.
        given: its arguments.
        sources: those that depend on the image, with what they depend on, never None.
        output: its first output.
        pointwise: PyTorch says that each value depends on those at the same place only.
    """
    states = [state for _, state in sources]
    if any(isinstance(state, Flattened) for state in states):
        return _follow_flattened(name, given, sources, output, pointwise)
    if all(axis.stride == 0 for fields in states for axis in fields):
        return _union(states, (1, 1))  # all depend on the same pixels, and so does what they make
    if len(sources) == 1 and name in RULES:
        (source, fields), rule = sources[0], RULES[name]
        return rule(given, source, fields, output)
    if pointwise or name in POINTWISE or name in MEETING:
        if name in MEETING and not _spares_the_map(given, output.ndim):
            return None
        return _meet(sources, output)
    return None


def _follow_flattened(
    name: str, given: Given, sources: Sequence[Source], output: Tensor, pointwise: bool
) -> State:
    """A vector that was a map stays one value by value; a matrix product mixes all its values."""
    if len(sources) > 1:
        return None
    ((source, state),) = sources
    left = {"mm": "self", "addmm": "mat1"}.get(name)
    if left and given[left] is source:
        return state.whole
    kept = pointwise or name in ("alias", "clone", "detach", "_to_copy", "view")
    return state if kept and output.shape == source.shape else None


# Rules for operations on one map


def _slide(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    """Convolution and pooling with a window."""
    if "weight" in given:
        if given["transposed"] or given["input"] is not source:
            return None
        kernel = given["weight"].shape[2:]
    else:
        kernel = given["kernel_size"]
    sizes = (
        kernel,
        given["stride"] or kernel,
        given["padding"],
        given.get("dilation", 1),
    )
    return _moved(fields, zip(*map(last_two, sizes), strict=True))


def _pool_adaptively(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    lengths = list(zip(source.shape[-2:], output.shape[-2:], strict=True))
    if any(n % m for n, m in lengths):
        return None  # then windows differ in size
    return _moved(fields, [(n // m, n // m, 0) for n, m in lengths])


def _moved(fields: Fields, windows: Iterable[Sequence[int]]) -> Fields:
    height, width = (
        _under(field, Window(*window)) for field, window in zip(fields, windows, strict=True)
    )
    return height, width


def _under(field: Field, window: Window) -> Field:
    """The k values under the window lie ``dilation`` strides apart; the first may be padding."""
    return Field(
        size=field.size + (window.kernel - 1) * window.dilation * field.stride,
        stride=field.stride * window.stride,
        start=field.start - window.padding * field.stride,
    )


def _pad(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    """Constants around the map, or rows and columns cut off it."""
    left, _, top, _ = (*given["pad"], 0, 0, 0, 0)[:4]
    height, width = fields
    return (
        height._replace(start=height.start - top * height.stride),
        width._replace(start=width.start - left * width.stride),
    )


def _slice(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    axes, dim = list(fields), given["dim"] % source.ndim - (source.ndim - 2)
    if dim >= 0:
        first = slice(given["start"], given["end"]).indices(source.shape[dim - 2])[0]
        size, stride, start = axes[dim]
        axes[dim] = Field(size, stride * given["step"], start + first * stride)
    return axes[0], axes[1]


def _reduce(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    """A mean, sum or maximum over whole axes."""
    dims = given.get("dim")
    dims = [dims] if isinstance(dims, int) else dims or range(source.ndim)
    reduced = {d % source.ndim - source.ndim for d in dims}
    if len(reduced & {-1, -2}) == 1 and not given.get("keepdim"):
        return None  # the axis that is left is the last
    height, width = (
        _everywhere(field, source.shape[axis]) if axis in reduced else field
        for field, axis in zip(fields, (-2, -1), strict=True)
    )
    return height, width


def _normalise_all(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    """Mean and variance are taken over the whole map."""
    return _everywhere_both(fields, source)


def _normalise_batch(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    """With stored statistics each value is for itself."""
    return _everywhere_both(fields, source) if given.get("training") else fields


def _lay_out(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    """The same values in another shape: (1, C, H, W) to (1, C * H * W), or channels in groups."""
    if output.shape[-2:] == source.shape[-2:]:  # values are laid out row by row: they keep places
        return fields
    if output.ndim == 2 and len(output) == 1:  # ``run`` gives one image
        whole = _everywhere_both(fields, source)
        return whole if source.shape[-2:] == (1, 1) else Flattened(whole)
    return None


def _keep_place(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    """Operations along other axes than height and width."""
    ndim = max(source.ndim, output.ndim)  # dims of stack and unsqueeze are those of the result
    kept = _spares_the_map(given, ndim) and output.shape[-2:] == source.shape[-2:]
    return fields if kept else None


def _index(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    """Values picked by a list of numbers, as in ``maps[:, [2, 0, 1]]``."""
    picked = [(axis, index) for axis, index in enumerate(given["indices"]) if index is not None]
    one = len(picked) == 1 and picked[0][1].ndim == 1 and picked[0][0] < source.ndim - 2
    return fields if one else None


def _permute(given: Given, source: Tensor, fields: Fields, output: Tensor) -> State:
    last = [d % source.ndim for d in given["dims"][-2:]]
    return fields if last == [source.ndim - 2, source.ndim - 1] else None


def _spares_the_map(given: Given, ndim: int) -> bool:
    """Whether the axes that an operation works on are not the last two."""
    dims = [given[key] for key in ("dim", "dim0", "dim1", "dims") if given.get(key) is not None]
    flat = [d for dim in dims for d in (dim if isinstance(dim, list | tuple) else [dim])]
    return all(d % ndim < ndim - 2 for d in flat)


RULES: dict[str, Callable[[Given, Tensor, Fields, Tensor], State]] = {
    **dict.fromkeys(("convolution", "avg_pool2d", "avg_pool3d", "max_pool2d_with_indices"), _slide),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d"), _pool_adaptively),
    "constant_pad_nd": _pad,
    "slice": _slice,
    **dict.fromkeys(("amax", "amin", "mean", "sum", "var"), _reduce),
    "native_group_norm": _normalise_all,
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit_no_training"), _normalise_batch
    ),
    **dict.fromkeys(("view", "_unsafe_view"), _lay_out),
    **dict.fromkeys(("alias", "clone", "detach", "_to_copy"), _keep_place),
    **dict.fromkeys(("transpose", "select", "squeeze", "unsqueeze", "index_select"), _keep_place),
    **dict.fromkeys(
        ("unbind", "split", "split_with_sizes", "_softmax", "_log_softmax"), _keep_place
    ),
    "expand": lambda given, source, fields, output: _meet([(source, fields)], output),
    "index": _index,
    "permute": _permute,
}
POINTWISE = frozenset(("hardswish", "prelu", "_prelu_kernel", "rsub"))  # PyTorch does not say so
MEETING = frozenset(("cat", "stack"))  # operations that put several maps side by side


# Several maps that meet at the same places


def _meet(sources: Sequence[Source], output: Tensor) -> State:
    """Values at the same place meet; a map of one row or column meets every other."""
    lengths = output.shape[-2:]
    aligned = []
    for source, fields in sources:
        axes = []
        for axis, length in zip((-2, -1), lengths, strict=True):
            field = fields[axis + 2]
            own = source.shape[axis] if source.ndim >= -axis else 1
            if own != length and field.stride and own == 1:
                field = field._replace(stride=0)
            if own != length and field.stride:
                return None
            axes.append(field)
        aligned.append((axes[0], axes[1]))
    return _union(aligned, lengths)


def _union(several: Sequence[Fields], lengths: Sequence[int]) -> Fields | None:
    height, width = (
        _union_of_axis(axes, length)
        for axes, length in zip(zip(*several, strict=True), lengths, strict=True)
    )
    return (height, width) if height and width else None


def _union_of_axis(axes: Sequence[Field], length: int) -> Field | None:
    """Field of values that are made of several: from the first pixel of any to the last of any."""
    strides = {field.stride for field in axes}
    if strides != {0} and 0 in strides:  # a gate, computed from all places, times a map
        ends = [_everywhere(field, length) for field in axes]
        whole = _union_of_axis(ends, 1)
        return whole if whole in axes else None
    start = min(field.start for field in axes)
    end = max(field.start + field.size for field in axes)
    return Field(end - start, strides.pop(), start) if len(strides) == 1 else None


def _everywhere(field: Field, length: int) -> Field:
    """All of a map at once: from the first value's field to the last one's."""
    return Field(field.size + (length - 1) * field.stride, 0, field.start)


def _everywhere_both(fields: Fields, source: Tensor) -> Fields:
    height, width = map(_everywhere, fields, source.shape[-2:])
    return height, width


def last_two(sizes: Any) -> list[int]:
    """Sizes for height and width: one for both, one each, or with a depth before them."""
    sizes = [sizes] if isinstance(sizes, int) else list(sizes)
    return sizes * 2 if len(sizes) == 1 else sizes[-2:]
