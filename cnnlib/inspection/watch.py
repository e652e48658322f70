"""Running a model's twin on ``meta``, and watching every elementary operation."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from .fields import Field, Fields, Flattened, State, follow, last_two


@dataclass
class Call:
    """What was seen of a layer: its last output, and what all its calls cost."""

    shape: tuple[int, ...]  # without the batch
    itemsize: int  # bytes of one number
    fields: Fields | None
    macs: int = 0


@dataclass
class Seen:
    """What was seen of a run: multiply-adds in all, and the layers asked for, by name."""

    macs: int = 0
    output_shape: tuple[int, ...] | None = None
    calls: dict[str, Call] = field(default_factory=dict)


@dataclass
class Kept:
    """Bytes that wait for the backward pass, for one image: in all, and by layer."""

    total: int
    layers: dict[str, int]


# Counting, and following receptive fields


def run(
    twin: nn.Module,
    shape: tuple[int, ...],
    listed: dict[str, nn.Module],
    *,
    training: bool,
    follow: bool,
) -> Seen:
    """Runs the copy on one image.

    Batch normalisation uses its stored statistics even with ``training``: the costs are the same,
    a single image is enough, and values do not depend on the whole batch.

    Args:
        twin: from ``twin.without_numbers``.
        shape: (C, H, W) of the image.
        listed: the layers to note, by name.
        training: in training mode instead of ``eval``.
        follow: whether to follow receptive fields as well.
    """
    watch, seen = _Watch(follow), Seen()
    names = {part: name for name, module in listed.items() for part in _callable_parts(module)}
    before: list[int] = []  # the counter's state when the modules now running began

    def start(module: nn.Module, args: Any) -> None:
        before.append(watch.macs)

    def stop(module: nn.Module, args: Any, output: Any) -> None:
        began = before.pop()
        tensor = next(tensors(output), None)
        if tensor is None:
            return
        if own_count := _own_count(module):
            watch.macs = began + own_count(module, tensor)
        if module in names:
            state = watch.state_of(tensor)
            fields = None if isinstance(state, Flattened) else state
            past = seen.calls.get(names[module])
            spent = watch.macs - began + (past.macs if past else 0)
            seen.calls[names[module]] = Call(
                tuple(tensor.shape[1:]), tensor.itemsize, fields, spent
            )

    hooks = []
    for module in twin.modules():
        if type(module).train is not nn.Module.train:
            module.train(training)  # may do more than set the mode
        vars(module)["training"] = training and not isinstance(module, _BatchNorm)
        if module in names or _own_count(module):
            hooks.append(module.register_forward_pre_hook(start))
            hooks.append(module.register_forward_hook(stop))
    image = _images(twin, 1, shape)
    if image.ndim == 4:
        watch.remember(image, (Field(1, 1, 0), Field(1, 1, 0)))  # a pixel depends on itself
    with torch.no_grad(), watch:
        output = next(tensors(twin(image)), None)
    for hook in hooks:
        hook.remove()
    seen.macs = watch.macs
    seen.output_shape = None if output is None else tuple(output.shape[1:])
    return seen


def _own_count(layer: nn.Module) -> Callable[[nn.Module, Tensor], int] | None:
    """The method ``macs`` of a layer that counts for itself."""
    return getattr(type(layer), "macs", None)


def _images(twin: nn.Module, count: int, shape: tuple[int, ...]) -> Tensor:
    """Images on ``meta``, of the model's dtype."""
    dtypes = [p.dtype for p in twin.parameters() if p.is_floating_point()]
    return torch.empty(count, *shape, device="meta", dtype=dtypes[0] if dtypes else None)


def _callable_parts(module: nn.Module) -> Iterator[nn.Module]:
    """The module itself; or, as nobody calls a ``ModuleList``, the modules in it."""
    if type(module).forward is not nn.Module.forward:
        yield module
    else:
        for child in module.children():
            yield from _callable_parts(child)


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


@functools.cache
def _signature(func: Any) -> tuple[str, tuple[str, ...], dict[str, Any], str | None, bool]:
    """Of an operation: name, arguments, their defaults, the one written to, whether pointwise."""
    arguments = func._schema.arguments
    written = [a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write]
    name = func.overloadpacket.__name__
    return (
        name.rstrip("_") if written and name.endswith("_") else name,
        tuple(a.name for a in arguments),
        {a.name: a.default_value for a in arguments if a.has_default_value()},
        written[0] if written else None,
        torch.Tag.pointwise in func.tags,
    )


def _perform(func: Any, name: str, given: dict, args: tuple, kwargs: dict | None) -> Any:
    """Carries an operation out on ``meta``, that is, makes outputs of the right shape.

    PyTorch does this in Python for some operations, step by step, and imports its compiler for it,
    which takes seconds. For those of which convolutional networks consist there is a short way.
    """
    maps = args[0] if args else None
    if name in _SHORT_WAYS and not kwargs and isinstance(maps, Tensor) and maps.is_meta:
        if name == "native_batch_norm":
            mean, channels = given["running_mean"], maps.shape[1] if given["training"] else 0
            kind = maps if mean is None else mean
            return _like(maps), kind.new_empty((channels,)), kind.new_empty((channels,))
        if name not in ("convolution", "max_pool2d_with_indices", "avg_pool2d"):
            in_place = func.overloadpacket.__name__.endswith("_")
            return maps if in_place else _like(maps)
        shape = _shape_after(name, given, maps)
        if shape is not None:
            result = maps.new_empty(shape)
            if not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last):
                result = result.to(memory_format=torch.channels_last)
            if name == "max_pool2d_with_indices":
                return result, torch.empty_like(result, dtype=torch.int64)
            return result
    return func(*args, **(kwargs or {}))  # which also has the words if something does not fit


_SHORT_WAYS = frozenset(
    "avg_pool2d convolution hardsigmoid hardswish hardtanh max_pool2d_with_indices "
    "native_batch_norm relu sigmoid silu tanh".split()
)


def _like(maps: Tensor) -> Tensor:
    return maps.new_empty_strided(maps.shape, maps.stride())


def _shape_after(name: str, given: dict, maps: Tensor) -> tuple[int, ...] | None:
    """Shape of what a convolution or pooling makes of (N, C, H, W); None where that is not it."""
    channels, kernel = maps.shape[1], given.get("kernel_size")
    if maps.ndim != 4:
        return None
    if name == "convolution":
        weight = given["weight"]
        if given["transposed"] or channels != weight.shape[1] * given["groups"]:
            return None
        channels, kernel = weight.shape[0], weight.shape[2:]
    sizes = (kernel, given["stride"] or kernel, given["padding"], given.get("dilation", 1))
    up, places = given.get("ceil_mode", False), []
    for n, k, by, pad, step in zip(maps.shape[2:], *map(last_two, sizes), strict=True):
        places.append((n + 2 * pad - step * (k - 1) - 1 + (by - 1 if up else 0)) // by + 1)
        if up and (places[-1] - 1) * by >= n + pad:
            places[-1] -= 1  # the last window would lie in the padding
    return (maps.shape[0], channels, *places) if min(places) > 0 else None


class _Mode(TorchDispatchMode):
    """Sees every elementary operation, and nothing of compilers."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, the default, imports PyTorch's compiler at the first operation: several seconds.
        return False


class _Watch(_Mode):
    """Sees every elementary operation: adds up multiply-adds and follows the receptive field."""

    def __init__(self, follow: bool) -> None:
        super().__init__()
        self.macs = 0
        self.follow = follow
        self._states: dict[int, State] = {}  # of tensors, by id
        self._alive: list[Tensor] = []  # as long as they live, no two of them have the same id
        self._sharing: dict[int, list[int]] = {}  # ids of the tensors in a storage
        self._mixed: set[int] = set()  # storages that were written in part: read otherwise, unknown

    def remember(self, tensor: Tensor, state: State) -> None:
        self._states[id(tensor)] = state
        self._alive.append(tensor)
        self._sharing.setdefault(_storage(tensor), []).append(id(tensor))

    def state_of(self, tensor: Tensor) -> State:
        return self._states.get(id(tensor))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, names, defaults, written, pointwise = _signature(func)
        given = defaults | dict(zip(names, args, strict=False)) | (kwargs or {})
        result = _perform(func, name, given, args, kwargs)
        macs = _COUNTS.get(name)
        if macs or self.follow:
            if macs:
                self.macs += macs(given, next(tensors(result)))
            if self.follow:
                self._hand_on(name, given, written, pointwise, list(tensors(result)))
        return result

    def _hand_on(
        self, name: str, given: dict, written: str | None, pointwise: bool, outputs: list[Tensor]
    ) -> None:
        """Notes what the outputs depend on."""
        sources = []
        for tensor in tensors(given):
            if id(tensor) in self._states:
                sources.append((tensor, self._states[id(tensor)]))
            elif self._mixed and _storage(tensor) in self._mixed:
                sources.append((tensor, None))
        if not sources or not outputs:
            return  # a constant: it depends on no pixel
        known = all(state is not None for _, state in sources)
        state = follow(name, given, sources, outputs[0], pointwise) if known else None
        if written is not None:
            self._write(given[written], state)
        for output in outputs:
            if written is None or output is not given[written]:
                self.remember(output, state)

    def _write(self, tensor: Tensor, state: State) -> None:
        """A tensor was written to: others that show the same storage are no longer what they were.

        Writing values that depend on the same pixels as before, as an in-place ReLU does, is
        harmless.
        """
        if id(tensor) in self._states and self._states[id(tensor)] == state:
            return
        storage = _storage(tensor)
        for other in self._sharing.get(storage, ()):
            self._states[other] = None
        self._mixed.add(storage)
        if id(tensor) in self._states:
            self._states[id(tensor)] = state
        else:
            self.remember(tensor, state)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _convolution(given: dict, output: Tensor) -> int:
    """For each output value, as many multiply-adds as inputs it is made of."""
    per_value = math.prod(given["weight"].shape[1:])
    return per_value * (given["input"] if given["transposed"] else output).numel()


def _product(left: str):
    return lambda given, output: output.numel() * given[left].shape[-1]


_COUNTS = {
    "convolution": _convolution,
    "mm": _product("self"),
    "bmm": _product("self"),
    "addmm": _product("mat1"),
    "baddbmm": _product("batch1"),
}


# Memory in training

_BATCH = 2  # batch normalisation refuses a single value per channel


def kept_for_backward(
    twin: nn.Module, shape: tuple[int, ...], listed: dict[str, nn.Module]
) -> Kept:
    """Runs the copy in training mode and weighs what is still there after the forward pass.

    Args:
        twin: from ``twin.without_numbers``.
        shape: (C, H, W) of an image.
        listed: the layers among which the bytes are divided, by name.
    """
    twin.train()
    scale = _Scale()
    names = {part: name for name, module in listed.items() for part in _callable_parts(module)}

    def start(module: nn.Module, args: Any) -> None:
        scale.running.append(names[module])

    def stop(module: nn.Module, args: Any, output: Any) -> None:
        scale.running.pop()

    hooks = []
    for module in names:
        hooks.append(module.register_forward_pre_hook(start))
        hooks.append(module.register_forward_hook(stop))
    images = _images(twin, _BATCH, shape)
    for tensor in (images, *twin.parameters(), *twin.buffers()):
        scale.ignore(tensor)
    with torch.enable_grad(), scale:
        outputs = twin(images)
    total, layers = scale.weigh()
    del outputs  # until here it held all that the backward pass needs
    for hook in hooks:
        hook.remove()
    return Kept(total // _BATCH, {name: weight // _BATCH for name, weight in layers.items()})


class _Scale(_Mode):
    """Notes every storage that is made, and the layer that made it."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[str] = []  # the layers at work, outermost first
        self._made: dict[int, tuple[StorageWeakRef | None, int, str | None]] = {}

    def ignore(self, tensor: Tensor) -> None:
        self._made[_storage(tensor)] = (None, 0, None)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, names, defaults, *_ = _signature(func)
        given = defaults | dict(zip(names, args, strict=False)) | (kwargs or {})
        result = _perform(func, name, given, args, kwargs)
        for tensor in tensors(result):
            key = _storage(tensor)
            if key not in self._made:  # a weak reference keeps the address from being used again
                storage = tensor.untyped_storage()
                layer = self.running[0] if self.running else None
                self._made[key] = (StorageWeakRef(storage), storage.nbytes(), layer)
        return result

    def weigh(self) -> tuple[int, dict[str, int]]:
        """Bytes of the storages that are still there, in all and by layer."""
        total, layers = 0, {}
        for reference, nbytes, layer in self._made.values():
            if reference is not None and not reference.expired():
                total += nbytes
                if layer is not None:
                    layers[layer] = layers.get(layer, 0) + nbytes
        return total, layers
