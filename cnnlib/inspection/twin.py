"""Copying a model to ``meta``, where tensors have a shape but no numbers."""

import contextlib
import copy
import gc
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_PLAIN = frozenset(
    (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.Size)
    + (type, types.FunctionType, types.BuiltinFunctionType)
)
_CONTAINERS = frozenset((dict, OrderedDict, list, set))
_LEFT_OUT = frozenset(  # hooks that look at outputs or gradients
    key for key in vars(nn.Module()) if key.startswith("_forward_hooks") or "_backward_" in key
)
_SHARED = frozenset(  # of no use to a run; making thousands of empty ones would take long
    key for key in vars(nn.Module()) if "state_dict" in key or "_non_persistent" in key
)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Keeps Python from searching for garbage: deep networks are many objects, none of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def without_numbers(model: nn.Module) -> nn.Module:
    """A copy on ``meta``; numbers are never copied, nor are hooks that look at outputs.

    Raises:
        TypeError: not a module, or a scripted one.
        ValueError: layers whose shape depends on a first batch that they have not had.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a torch.nn.Module is wanted; got {type(model).__name__}")
    return _Copy(model).module(model)


class _Copy:
    """What ``copy.deepcopy`` does, many times as fast: it knows what a module consists of."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.already: dict[int, Any] = {}  # copies, by the id of the original
        self.ready = False  # whether all tensors have a copy

    def module(self, module: nn.Module) -> nn.Module:
        """The copy of a module, with those of its children."""
        if id(module) in self.already:
            return self.already[id(module)]
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                f"{type(self.model).__name__} is or holds a scripted module, whose layers cannot "
                "be watched; pass the module that it was scripted from"
            )
        kind, inside = type(module), _wrapped(module)
        if inside is not None:
            twin = self.already[id(module)] = self.module(inside)
            return twin
        if hasattr(kind, "__deepcopy__") or kind.__getstate__ is not nn.Module.__getstate__:
            return self.other(module)  # has its own way of being copied
        twin = self.already[id(module)] = kind.__new__(kind)
        state: dict[str, Any] = {}
        for key, value in vars(module).items():
            of = type(value)
            if (
                of in _PLAIN
                or key in _SHARED
                or (of is tuple and _PLAIN.issuperset(map(type, value)))
            ):
                state[key] = value
            elif key in _LEFT_OUT or (of in _CONTAINERS and not value):
                state[key] = of()
            elif key in ("_parameters", "_buffers") and isinstance(value, dict):
                state[key] = {n: t if t is None else self.tensor(t) for n, t in value.items()}
            elif key == "_modules" and isinstance(value, dict):
                state[key] = {n: m if m is None else self.module(m) for n, m in value.items()}
            else:
                state[key] = self.tensor(value) if isinstance(value, Tensor) else self.other(value)
        state["_compiled_call_impl"] = None  # after Module.compile: run the code as it is written
        vars(twin).update(state)
        return twin

    def tensor(self, tensor: Tensor) -> Tensor:
        """A tensor of the same shape on ``meta``."""
        if id(tensor) not in self.already:
            self.already[id(tensor)] = _on_meta(tensor)
        return self.already[id(tensor)]

    def other(self, value: Any) -> Any:
        """A copy of anything, in which known tensors and hooks are replaced as everywhere else."""
        if not self.ready:
            self.ready = True
            for module in self.model.modules():
                for key, own in vars(module).items():
                    if key in _LEFT_OUT and isinstance(own, dict):
                        self.already[id(own)] = type(own)()
                    for tensor in (own, *own.values()) if isinstance(own, dict) else (own,):
                        if isinstance(tensor, Tensor):
                            self.tensor(tensor)
        return copy.deepcopy(value, self.already)


def _on_meta(tensor: Tensor) -> Tensor:
    if is_lazy(tensor):
        raise ValueError(
            "the model has lazy layers, which get their shape from the first batch; run it on one "
            "batch of images before"
        )
    if tensor.is_meta and tensor.is_leaf:
        return tensor  # there are no numbers that a run could change
    bare = tensor.detach().to("meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(bare, requires_grad=tensor.requires_grad)
    return bare


def _wrapped(module: nn.Module) -> nn.Module | None:
    """The model inside what ``torch.compile`` or data parallelism put around it."""
    if type(module).__name__ == "OptimizedModule" and "_orig_mod" in module._modules:
        return module._modules["_orig_mod"]
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return module.module if isinstance(module, parallel) else None
