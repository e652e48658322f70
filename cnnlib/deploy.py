"""A trained network made ready to answer: normalisation folded away, run faster, exported to ONNX.

* `fuse` folds batch normalisation into the convolutions beside it; `plan_fusion` says which, and
  why the others stay.
* `optimize` returns what computes the same scores in the least time on the device at hand.
* `to_onnx` writes a file that other programs run.

None of them changes the network that it is given.
"""

import copy
import importlib.util
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from cnnlib import fetch
from cnnlib.models.densenet import DenseNet, without_copies
from cnnlib.models.layers import Conv2dSame, DropPath, evaluation_mode

__all__ = ["BACKENDS", "Fold", "OnnxNetwork", "Optimized", "fuse", "optimize", "plan_fusion"]
__all__ += ["to_onnx"]

BACKENDS = ("auto", "eager", "compile", "onnxruntime")
OPSET = 20  # of ONNX, January 2024; onnxruntime runs it from version 1.17 on

# In eval mode a batch normalisation is y = scale * x + shift per channel. These layers are linear
# in their weights, so they can take it over. Only these very classes: a subclass may do anything.
TAKES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, Conv2dSame)
TORCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_Norm = nn.modules.batchnorm._BatchNorm  # what they and their subclasses have in common
_Taker = nn.modules.conv._ConvNd | nn.Linear
NOTHING_IN_EVAL = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, DropPath)


# -- folding batch normalisation --------------------------------------------------------------


@dataclass(frozen=True)
class Fold:
    """What becomes of one batch normalisation.

    Attributes:
        norm: its name in the network.
        into: names of the layers that take it over; empty if it stays.
        why_not: why it stays; empty if it is folded.
    """

    norm: str
    into: tuple[str, ...] = ()
    why_not: str = ""

    def __str__(self) -> str:
        if self.into:
            return f"{self.norm} goes into {', '.join(self.into)}"
        return f"{self.norm} stays: {self.why_not}"


def plan_fusion(model: nn.Module) -> list[Fold]:
    """Which batch normalisations `fuse` folds away, and why the others stay, in order of names.

    A normalisation goes into the convolution or linear layer before it, if nobody else reads that
    one's output. Failing that, into those that read it, if none adds zeros at the border (the
    shift would have to reach them too). A ReLU on either side stands in the way: DenseNet and the
    pre-activation ResNet keep what comes before their ReLUs, unless a convolution precedes it.

    Raises:
        TypeError: ``torch.fx`` cannot follow the network's ``forward``.
    """
    return _Wiring(model).plan()


def fuse(model: nn.Module) -> nn.Module:
    """A copy in ``eval`` mode without the batch normalisations that others can take over.

    It computes the same up to rounding and has the same children: a convolution that took one
    over has other numbers and a bias, an ``nn.Identity`` is left in the normalisation's place, and
    an activation that alone reads it works in place. For inference only: it cannot be trained on.

    Args:
        model: any network that ``torch.fx`` can follow; see `plan_fusion` for what is folded.

    Raises:
        TypeError: ``torch.fx`` cannot follow the network's ``forward``.
    """
    fused = copy.deepcopy(model).eval()
    wiring = _Wiring(fused)
    for fold in wiring.plan():
        if not fold.into:
            continue
        norm = wiring.modules[fold.norm]
        assert isinstance(norm, _Norm)
        takers = [wiring.modules[name] for name in fold.into]
        if fold.norm in wiring.folded_back:
            _fold_into_those_before(takers, norm)
            wiring.work_in_place_after(fold.norm)
        else:
            _fold_into_those_behind(takers, norm)
        _replace(fused, norm, _what_else(norm))
    return fused.eval()


class _Tracer(fx.Tracer):
    """Follows ``forward`` down to layers; what has no children is a layer, whoever wrote it."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.Sequential):  # also an empty one, which hands on what it gets
            return False
        layer = isinstance(m, _Norm | _Taker) or next(m.children(), None) is None
        return layer or super().is_leaf_module(m, module_qualified_name)


class _Wiring:
    """Who reads what in a network, as it is in ``eval`` mode."""

    def __init__(self, model: nn.Module) -> None:
        with evaluation_mode(model):
            try:
                self.graph = _Tracer().trace(model)
            except Exception as error:  # whatever the forward of a stranger raises on a proxy
                raise TypeError(
                    f"torch.fx cannot follow the forward of {type(model).__name__}: {error}. "
                    "Folding needs a forward without branches that depend on the images"
                ) from error
        self.modules = dict(model.named_modules())
        self.calls: dict[str, list[fx.Node]] = defaultdict(list)
        self.touched: set[str] = set()  # modules whose numbers are read without calling them
        self.folded_back: set[str] = set()  # normalisations that go into the layer before them
        for node in self.graph.nodes:
            if node.op == "call_module":
                self.calls[str(node.target)].append(node)
            elif node.op == "get_attr":
                self.touched.add(str(node.target).rpartition(".")[0])

    def plan(self) -> list[Fold]:
        return [
            self._decide(name, module)
            for name, module in self.modules.items()
            if isinstance(module, _Norm)
        ]

    def _decide(self, name: str, norm: _Norm) -> Fold:
        if why_not := self._obstacle(name):
            return Fold(name, why_not=why_not)
        if norm.running_mean is None:
            return Fold(name, why_not="it has no running statistics, so it depends on the batch")
        if _what_else(norm) is None:
            return Fold(name, why_not=f"what a {type(norm).__name__} does besides is not known")
        (node,) = self.calls[name]

        sources, obstacle = self._feeders(node.all_input_nodes[0], node)
        if obstacle is None:
            self.folded_back.add(name)
            return Fold(name, tuple(str(source.target) for source in sources))

        readers = list(self._readers(node))
        others = [self._cannot_take(reader, border=True) for reader in readers]
        if not readers:
            others = ["nobody reads it"]
        if not isinstance(_what_else(norm), nn.Identity):
            others = ["it ends with an activation"]
        if self._changed_in_place(node.all_input_nodes[0]):
            others = ["its input is changed in place"]
        behind = next((other for other in others if other), None)
        if behind is None:
            return Fold(name, tuple(str(reader.target) for reader in readers))
        return Fold(name, why_not=f"before it, {obstacle}; behind it, {behind}")

    def _obstacle(self, name: str) -> str | None:
        """Why the numbers of a module cannot be changed on behalf of one of its calls."""
        module, calls = self.modules[name], len(self.calls[name])
        if name in self.touched:
            return f"the numbers of {name} are used without calling it"
        if calls == 0:
            return f"{name} is not called in eval mode"
        if calls > 1:
            return f"{name} is called {calls} times"
        if module._forward_hooks or module._forward_pre_hooks:
            return f"{name} has hooks, which would see other values"
        return None

    def _cannot_take(self, node: fx.Node, *, border: bool = False) -> str | None:
        """Why what runs at a node cannot take over a normalisation; None if it can."""
        if node.op != "call_module" or type(self.modules[str(node.target)]) not in TAKES:
            return f"{self._describe(node)} cannot take it over"
        if obstacle := self._obstacle(str(node.target)):
            return obstacle
        if border and _adds_zeros(self.modules[str(node.target)]):
            return f"{node.target} adds zeros at the border"
        return None

    def _feeders(self, node: fx.Node, reader: fx.Node) -> tuple[list[fx.Node], str | None]:
        """The layers whose outputs make up what ``reader`` reads; or why they cannot be changed."""
        if list(node.users) != [reader]:
            return [], f"others read {self._describe(node)} too"
        if self._hands_on(node):
            return self._feeders(node.all_input_nodes[0], node)
        if parts := _concatenated(node):  # then each takes the part that is about its channels
            found: list[fx.Node] = []
            for part in parts:
                feeders, obstacle = self._feeders(part, node)
                if obstacle:
                    return [], obstacle
                found += feeders
            return found, None
        return [node], self._cannot_take(node)

    def _hands_on(self, node: fx.Node) -> bool:
        if node.op != "call_module":
            return False
        name = str(node.target)
        return isinstance(self.modules[name], NOTHING_IN_EVAL) or (
            name in self.folded_back and isinstance(_what_else(self.modules[name]), nn.Identity)
        )

    def _readers(self, node: fx.Node) -> Iterator[fx.Node]:
        """Who uses the result of a node, at once or handed on."""
        for user in node.users:
            if self._hands_on(user):
                yield from self._readers(user)
            else:
                yield user

    def _changed_in_place(self, node: fx.Node) -> bool:
        for user in node.users:
            if user.op == "call_module" and getattr(self.modules[str(user.target)], "inplace", 0):
                return True
            name = str(getattr(user.target, "__name__", user.target))
            if user.kwargs.get("inplace") or (name.endswith("_") and not name.endswith("__")):
                return True
            if name in ("iadd", "isub", "imul", "itruediv", "setitem"):
                return True
        return False

    def work_in_place_after(self, name: str) -> None:
        """Lets an activation overwrite what it reads, if it alone reads it."""
        (node,) = self.calls[name]
        readers = list(node.users)
        if len(readers) == 1 and readers[0].op == "call_module":
            activation = self.modules[str(readers[0].target)]
            once = len(self.calls[str(readers[0].target)]) == 1
            if once and type(activation).__module__ == nn.modules.activation.__name__:
                if isinstance(getattr(activation, "inplace", None), bool):
                    setattr(activation, "inplace", True)  # noqa: B010

    def _describe(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return f"{node.target} ({type(self.modules[str(node.target)]).__name__})"
        if node.op == "placeholder":
            return "the input"
        if node.op == "output":
            return "the output"
        return f"{getattr(node.target, '__name__', node.target)}()"


def _concatenated(node: fx.Node) -> list[fx.Node]:
    """What a node concatenates along the channels; nothing if it does something else."""
    tensors = node.args[0] if node.args else node.kwargs.get("tensors")
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if node.target is not torch.cat or dim != 1 or not isinstance(tensors, (list, tuple)):
        return []
    parts = [part for part in tensors if isinstance(part, fx.Node)]
    return parts if len(set(parts)) == len(tensors) else []


def _what_else(norm: nn.Module) -> nn.Module | None:
    """What a normalisation layer does after it has normalised; None if that is not known."""
    if type(norm) in TORCH_NORMS:
        return nn.Identity()
    if type(norm).__name__ == "BatchNormAct2d" and {"drop", "act"} <= set(norm._modules):
        # timm's: normalisation and activation in one
        return nn.Sequential(norm.get_submodule("drop"), norm.get_submodule("act"))
    return None


def _adds_zeros(layer: nn.Module) -> bool:
    """Whether some of the values that a layer computes with are zeros from beyond the border."""
    if isinstance(layer, nn.Linear):
        return False
    assert isinstance(layer, nn.modules.conv._ConvNd)
    if isinstance(layer, Conv2dSame):
        return set(layer.kernel_size) != {1} or any(layer.padding)
    if layer.padding_mode != "zeros":  # then what is added is normalised like the rest
        return False
    if layer.padding == "same":
        return set(layer.kernel_size) != {1}
    return layer.padding != "valid" and any(layer.padding)


def _scale_and_shift(norm: _Norm) -> tuple[Tensor, Tensor]:
    """What the normalisation multiplies by and adds, per channel, in float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = torch.rsqrt(_exact(norm.running_var) + norm.eps)
    if norm.affine:
        scale = scale * _exact(norm.weight)
    shift = -_exact(norm.running_mean) * scale
    return scale, shift + _exact(norm.bias) if norm.affine else shift


def _exact(tensor: Tensor) -> Tensor:
    """A copy in float64, which Apple's GPUs do not have."""
    tensor = tensor.detach()
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).to(torch.float64)


def _fold_into_those_before(layers: Sequence[nn.Module], norm: _Norm) -> None:
    """By scale (W x + b) + shift = (scale W) x + (scale b + shift), one per output channel.

    Args:
        layers: their outputs, one after the other, are the channels that are normalised.
        norm: what they take over.
    """
    numbers = torch.stack(_scale_and_shift(norm))
    widths = [len(layer.get_parameter("weight")) for layer in layers]
    for layer, (scale, shift) in zip(layers, numbers.split(widths, dim=1), strict=True):
        assert isinstance(layer, _Taker)
        weight = _exact(layer.weight)
        bias = shift if layer.bias is None else scale * _exact(layer.bias) + shift
        _set_numbers(layer, scale.view(-1, *[1] * (weight.ndim - 1)) * weight, bias)


def _fold_into_those_behind(layers: Sequence[nn.Module], norm: _Norm) -> None:
    """By W (scale x + shift) + b = (W scale) x + (W shift + b), one per input channel."""
    for layer in layers:
        assert isinstance(layer, _Taker)
        groups = getattr(layer, "groups", 1)
        weight = _exact(layer.weight)  # (outputs, inputs / groups, kernel)
        # the numbers of the input channels that each output sees: (outputs, inputs / groups, 1)
        scale, shift = (
            numbers.view(groups, 1, -1)
            .expand(-1, len(weight) // groups, -1)
            .reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))
            for numbers in _scale_and_shift(norm)
        )
        bias = (weight * shift).flatten(1).sum(1)
        if layer.bias is not None:
            bias = bias + _exact(layer.bias)
        _set_numbers(layer, weight * scale, bias)


def _set_numbers(layer: _Taker, weight: Tensor, bias: Tensor) -> None:
    old = layer.weight  # a new parameter: the old one may be shared with other layers
    layer.weight = nn.Parameter(weight.to(old), requires_grad=old.requires_grad)
    layer.bias = nn.Parameter(bias.to(old), requires_grad=old.requires_grad)


def _replace(model: nn.Module, old: nn.Module, new: nn.Module | None) -> None:
    """Puts a module in another's place, under each of the names that it may have."""
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new


# -- the same scores in less time -------------------------------------------------------------


class Optimized(nn.Module):
    """A network for inference: images (N, C, H, W) -> what the original returns, no gradients.

    Attributes:
        backend: what computes: "eager", "compile" or "onnxruntime".
        network: what is called with the images.
    """

    def __init__(self, network: nn.Module, backend: str) -> None:
        super().__init__()
        self.network, self.backend = network, backend
        self.eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        if self.backend != "onnxruntime":  # which has a layout of its own
            images = images.contiguous(memory_format=torch.channels_last)
        return self.network(images)

    def train(self, mode: bool = True) -> "Optimized":
        """Refuses training; ``eval()`` is fine."""
        if mode:
            raise ValueError("an optimised network cannot be trained: train the original")
        return super().train(mode)

    def extra_repr(self) -> str:
        return f"backend={self.backend!r}"


def optimize(model: nn.Module, example: Tensor, *, backend: str = "auto") -> Optimized:
    """What computes the scores of a trained network in the least time that we know of.

    Backends, all after `fuse` where the network can be fused:

    * ``"eager"``: PyTorch, with the channels of a pixel side by side in memory
      (``channels_last``), which is how fast convolutions want them. A DenseNet is run
      ``without_copies``. Needs nothing.
    * ``"compile"``: the same, through ``torch.compile`` with the weights frozen. The first call
      takes up to minutes; on a CPU it needs a C++ compiler.
    * ``"onnxruntime"``: ONNX Runtime on the CPU, with as many threads as PyTorch has now. Takes
      only images of the example's size. Needs the extra ``onnx``.
    * ``"auto"``: ``"compile"`` on a GPU; on a CPU ``"onnxruntime"`` where it is installed, which
      was the fastest for every network measured; else ``"eager"``.

    All take batches of any size, whatever that of the example.

    Args:
        model: the network; it is not changed, and what is returned has its own copy of the weights.
        example: (N, C, H, W), a batch like those to come, on the network's device.
        backend: see above.

    Raises:
        ValueError: an unknown backend.
        ImportError: the backend is not installed.
        TypeError: the network does not return one tensor, or it cannot be exported to ONNX.
        RuntimeError: the result differs from the original by more than a thousandth of the range
            of the scores (a hundredth on a GPU, whose products are rounded to 10 bits).
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}; got {backend!r}")
    if backend == "auto":
        if example.device.type == "cuda":
            backend = "compile"
        else:
            backend = "eager" if example.device.type != "cpu" or _missing() else "onnxruntime"
    expected = _scores(model, example)
    try:
        # DenseNet has a form of its own for inference; exporters see through it less well
        if backend == "eager" and isinstance(model, DenseNet):
            network: nn.Module = without_copies(model)
        else:
            network = fuse(model)
    except (TypeError, ValueError):  # cannot be followed, or is in this form already
        network = copy.deepcopy(model).eval()
    network.requires_grad_(False)
    if backend == "onnxruntime":
        network = OnnxNetwork(_onnx_bytes(network, example))
    else:
        network = network.to(memory_format=torch.channels_last)
        if backend == "compile":
            network.compile(options={"freezing": True})
    optimized = Optimized(network, backend)
    _require_equal(optimized(example), expected, f"the network run by {backend}")
    return optimized


def _scores(model: nn.Module, example: Tensor) -> Tensor:
    with torch.inference_mode(), evaluation_mode(model):
        scores = model(example)
    if not isinstance(scores, Tensor):
        raise TypeError(
            f"{type(model).__name__} must return one tensor in eval mode; got "
            f"{type(scores).__name__}"
        )
    return scores


def _require_equal(actual: Tensor, expected: Tensor, what: str) -> None:
    # The range of the scores is the scale: what all of them share says nothing. Rounding, though,
    # is relative to the scores themselves.
    scale = max((expected.max() - expected.min()).item(), 1e-3 * expected.abs().max().item())
    difference = (actual.to(expected) - expected).abs().max().item()
    allowed = (1e-3 if expected.device.type == "cpu" else 1e-2) * scale
    if not difference <= allowed:  # so that NaN is refused too
        raise RuntimeError(
            f"{what} differs from the original by {difference:.1e}, more than {allowed:.1e}; the "
            f"scores go from {expected.min().item():g} to {expected.max().item():g}"
        )


# -- ONNX -------------------------------------------------------------------------------------


def to_onnx(model: nn.Module, path: str | Path, example: Tensor) -> Path:
    """Writes the network, as it computes in ``eval`` mode, to one ONNX file.

    The file has an input ``images`` and an output ``scores``, both with any number of images per
    batch; height and width are those of the example. Before it gets its name, ONNX Runtime has run
    it and the scores were equal to the network's, up to a thousandth of their range.

    Args:
        model: the network, in float32; it is not changed. Pass ``fuse(model)`` for fewer layers.
        path: the file to write; one that is there already is replaced, once the new one is
            complete.
        example: (N, C, H, W), any images of the size to come.

    Returns:
        The path.

    Raises:
        ImportError: the extra ``onnx`` is not installed.
        TypeError: the network cannot be exported, does not return one tensor or is not in float32.
        RuntimeError: ONNX Runtime computes something else.
        OSError: the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    if not path.parent.is_dir():  # known now, not after the work is done
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    data = _onnx_bytes(model, example)
    two = torch.cat([example, example])  # another batch size than the example's
    _require_equal(OnnxNetwork(data)(two.cpu()), _scores(model, two).cpu(), "the ONNX file")
    fetch.write(data, path)
    return path


class OnnxNetwork(nn.Module):
    """An ONNX file with one input and one output as a module: (N, C, H, W) -> (N, classes), CPU.

    Args:
        file: the path of a file, or what it holds.
    """

    def __init__(self, file: str | Path | bytes) -> None:
        super().__init__()
        _require_onnx()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            file if isinstance(file, bytes) else str(file),
            options,
            providers=["CPUExecutionProvider"],
        )
        (images,) = self.session.get_inputs()
        self.input_name, self.input_shape = images.name, tuple(images.shape[1:])

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.input_shape or images.dtype != torch.float32:
            raise ValueError(
                f"images must be float32 of shape {('N', *self.input_shape)}, as in the example "
                f"of the export; got {images.dtype} of {tuple(images.shape)}"
            )
        if images.device.type != "cpu":
            raise ValueError(
                f"ONNX Runtime runs on the CPU here; the images are on {images.device}"
            )
        pixels = images.detach().contiguous().numpy()
        (scores,) = self.session.run(None, {self.input_name: pixels})
        return torch.from_numpy(scores)


def _onnx_bytes(model: nn.Module, example: Tensor) -> bytes:
    _require_onnx()
    dtypes = {tensor.dtype for tensor in (*model.parameters(), example)}
    if dtypes != {torch.float32}:
        raise TypeError(
            "network and example must be in float32, which ONNX Runtime runs everywhere; got "
            f"{' and '.join(sorted(map(str, dtypes)))}. Call model.float()"
        )
    # torch.export takes a batch of 1 for a constant, so it gets at least 2 images
    batch = torch.cat([example[:1], example[:1]])
    with torch.inference_mode(False), torch.no_grad(), evaluation_mode(model):
        try:
            any_batch = ({0: torch.export.Dim("batch")},)
            exported = torch.export.export(model, (batch.clone(),), dynamic_shapes=any_batch)
            program = torch.onnx.export(
                exported.run_decompositions(
                    {torch.ops.aten.avg_pool2d.default: _pool_by_another_number}
                ),
                dynamic_shapes=any_batch,  # for the name of the axis
                input_names=["images"],
                output_names=["scores"],
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # of many kinds, none of them public
            raise TypeError(f"{type(model).__name__} cannot be exported: {error}") from error
    assert program is not None
    return program.model_proto.SerializeToString()


def _pool_by_another_number(
    maps: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Pooling that divides its sums by another number than that of pixels, as LeNet-5 does by 1.

    PyTorch's exporter leaves ``divisor_override`` out without a word (seen in 2.14).
    """
    if divisor_override is None or ceil_mode:
        return NotImplemented  # the exporter's own way is right, or there is none
    mean = torch.ops.aten.avg_pool2d.default(maps, kernel_size, stride, padding)
    height, width = kernel_size if len(kernel_size) == 2 else (*kernel_size, *kernel_size)
    return mean * (height * width / divisor_override)


def _missing() -> list[str]:
    needed = ("onnx", "onnxruntime", "onnxscript")
    return [name for name in needed if importlib.util.find_spec(name) is None]


def _require_onnx() -> None:
    if missing := _missing():
        raise ImportError(
            f"{' and '.join(missing)} not installed, which ONNX needs: pip install cnnlib[onnx]"
        )
