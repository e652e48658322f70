"""What a network is made of: parameters, multiply-adds, shapes, receptive fields, memory.

A copy of the model is run once on one image of the ``meta`` device, where tensors have a shape but
no numbers: it costs no memory and hardly any time, and the model itself is not touched. Meanwhile
every elementary operation is watched: it adds its multiply-adds to a counter and hands on, from
inputs to outputs, which pixels a value depends on.

``table`` holds the result and shows it, ``fields`` is the geometry of receptive fields, ``twin``
makes the copy, ``watch`` runs it and counts.
"""

from collections.abc import Mapping, Sequence

from torch import nn

from . import watch
from .table import Row, Summary, merged
from .twin import no_collection, without_numbers

__all__ = ["Row", "Summary", "count_macs", "count_parameters", "summarize"]


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers of a model; those used in several places count once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(
    model: nn.Module, input_shape: Sequence[int] = (1, 32, 32), *, training: bool = False
) -> int:
    """Multiply-adds for one image, as ``summarize`` counts them.

    Args:
        model: any module that takes one batch of images.
        input_shape: (C, H, W) of one image.
        training: count what runs in training only too, as auxiliary heads.
    """
    shape = _checked_shape(input_shape)
    with no_collection():
        twin = without_numbers(model)
        return watch.run(twin, shape, {}, training=training, follow=False).macs


def summarize(
    model: nn.Module,
    input_shape: Sequence[int] = (1, 32, 32),
    *,
    depth: int = 1,
    rows: Mapping[str, str | Sequence[str]] | None = None,
    training: bool = False,
    memory: bool = False,
) -> Summary:
    """The layers of a network, as it runs for inference on one image.

    Convolutions and matrix products count as multiply-adds (MACs), one per weight and use; sums,
    pooling, activations and normalisation do not count. A layer with a method
    ``macs(output) -> int`` is asked instead.

    Args:
        model: any module that takes one batch of images, on any device, ``meta`` included. Of a
            compiled or wrapped model the module inside is shown.
        input_shape: (C, H, W) of one image.
        depth: 1 lists the children of the model, 2 their children, and so on.
        rows: instead of ``depth``, the rows of a paper's table: their names, and for each the
            layer or the layers of which it consists, as in ``model.get_submodule(name)``. ``{}``
            gives the totals alone, which is the quickest.
        training: as the model runs in training, with its auxiliary heads.
        memory: adds two columns, which take a second run: the bytes of each layer's output, and
            the bytes that are kept for the backward pass when the model is trained.

    Raises:
        ValueError: a depth below 1, a shape that is not made of positive whole numbers, rows that
            name a layer which does not exist or is part of two rows, layers without a shape yet, or
            whatever the model itself says of an image of this shape.
        TypeError: something other than a module, or a scripted one, which cannot be looked into.
    """
    shape = _checked_shape(input_shape)
    if depth < 1:
        raise ValueError(f"depth must be at least 1, for the model's own children; got {depth}")

    with no_collection():
        twin = without_numbers(model)
        groups = _groups(twin, rows) if rows is not None else None
        listed = _at_depth(twin, depth) if groups is None else _layers_of(twin, groups)
        seen = watch.run(twin, shape, listed, training=training, follow=bool(listed))
        kept = watch.kept_for_backward(twin, shape, listed) if memory else None

    table, counted = [], set()
    for name, layer in listed.items():
        own = {p for p in layer.parameters() if p.requires_grad} - counted
        counted |= own
        weight = None if kept is None else kept.layers.get(name, 0)
        numbers = sum(p.numel() for p in own)
        shown = name or type(twin).__name__
        table.append(Row.of(shown, layer, seen.calls.get(name), numbers, weight))
    if groups is not None:
        by_name = {row.name: row for row in table}
        table = [merged(name, [by_name[n] for n in names]) for name, names in groups.items()]

    total = count_parameters(twin)
    parameters = total - sum(row.parameters for row in table)
    macs = seen.macs - sum(row.macs for row in table)
    weight = None if kept is None else kept.total - sum(row.kept_bytes or 0 for row in table)
    if table and (parameters or macs or weight):  # of modules that contain those shown
        table.append(
            Row("(elsewhere)", type(twin).__name__, None, parameters, macs, kept_bytes=weight)
        )
    return Summary(
        type(twin).__name__,
        shape,
        table,
        total,
        seen.macs,
        kept_bytes=kept.total if kept else None,
        output_shape=seen.output_shape,
    )


def _checked_shape(input_shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(input_shape)
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(
            f"input_shape must be (C, H, W) of one image, such as (1, 32, 32); got {shape}"
        )
    return shape


def _at_depth(model: nn.Module, depth: int) -> dict[str, nn.Module]:
    """Modules so many levels down, and those above that have no children, by name."""
    levels = ((name, name.count(".") + 1 if name else 0, m) for name, m in model.named_modules())
    return {
        name: module
        for name, level, module in levels
        if level == depth or (level < depth and next(module.children(), None) is None)
    }


def _groups(
    model: nn.Module, rows: Mapping[str, str | Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """The rows as asked for, each with the names of its layers."""
    groups = {name: (of,) if isinstance(of, str) else tuple(of) for name, of in rows.items()}
    known = dict(model.named_modules())
    taken: dict[str, str] = {}  # layer -> the row that has it
    for row, names in groups.items():
        if not names:
            raise ValueError(f"row {row!r} names no layer")
        for name in names:
            if name not in known:
                near = [n for n, _ in model.named_children()]
                raise ValueError(
                    f"row {row!r}: the model has no layer {name!r}; its own are {', '.join(near)}"
                )
            for other, owner in taken.items():
                if (
                    name == other
                    or f"{name}.".startswith(f"{other}.")
                    or f"{other}.".startswith(f"{name}.")
                ):
                    raise ValueError(
                        f"{name!r} of row {row!r} is or overlaps {other!r} of row {owner!r}; a "
                        "layer can be part of one row only"
                    )
            taken[name] = row
    return groups


def _layers_of(model: nn.Module, groups: Mapping[str, Sequence[str]]) -> dict[str, nn.Module]:
    return {name: model.get_submodule(name) for names in groups.values() for name in names}
