"""From a file to a square of bytes, by draws that depend on the image and the pass alone."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from cnnlib.augment import Crops

if TYPE_CHECKING:
    from PIL.Image import Image


class Files(Protocol):
    """Where the images of a stream lie."""

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        ...

    def read(self, index: int) -> bytes:
        """One file as it is."""
        ...

    def name(self, index: int) -> str:
        """What to call it in an error."""
        ...

    def order(self, generator: torch.Generator) -> Tensor:
        """(N,) int64, a shuffled order in which they can be read quickly."""
        ...

    def fingerprint(self) -> str:
        """Digest of names, sizes and labels."""
        ...


@dataclass(frozen=True, eq=False)
class Decoder:
    """What a worker does: a data set in torch's sense, of batches and not of images."""

    files: Files
    crops: Crops

    def __getitems__(self, task: tuple[int, list[int]]) -> tuple[Tensor, Tensor] | OSError:
        """Squares (B, 3, S, S) uint8 and labels (B,) int64 of the images of a task, or what failed.

        The error is a result here, so that the process that wants the images raises it as it is and
        not wrapped into the story of a worker.
        """
        salt, chosen = task
        size, cut = self.crops.size, self.crops.transforms()
        squares = torch.empty(len(chosen), 3, size, size, dtype=torch.uint8)
        try:
            with torch.random.fork_rng(devices=[]):  # without workers it is everybody's generator
                for square, index in zip(squares, chosen, strict=True):
                    image = decode(self.files.read(index), self.files.name(index), self.crops)
                    # This one generator: torch.manual_seed would seed those of the GPUs as well.
                    torch.default_generator.manual_seed(seed_of(salt, index))
                    square.copy_(cut(image))
        except OSError as fault:
            return fault
        return squares, torch.from_numpy(self.files.labels[chosen])


def seed_of(salt: int, index: int) -> int:
    """A seed for image ``index`` in the pass ``salt`` that has nothing to do with any other's."""
    digest = hashlib.blake2b(f"{salt} {index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def decode(data: bytes, name: str, crops: Crops | None = None) -> Tensor:
    """The pixels of an image file: (3, H, W) uint8, the right way up, as red, green and blue.

    Grey images get three equal channels, those with a palette or four inks are converted, and
    transparent ones are laid on white. Of 16 bits per value the upper 8 are kept.

    Args:
        data: The file.
        name: What to call it in an error.
        crops: What will be done with the image: where far fewer pixels than it has are needed, a
            JPEG file is decoded at a half, a quarter or an eighth of its size, which is quicker.

    Raises:
        OSError: It is damaged, cut off, or no image in a known format.
    """
    from PIL import Image, UnidentifiedImageError
    from torchvision.transforms.v2.functional import pil_to_tensor

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about EXIF data and very large images
            with Image.open(io.BytesIO(data)) as image:
                if crops is not None and (times := crops.to_spare(*image.size)) >= 2:
                    image.draft(None, (int(image.width / times), int(image.height / times)))
                return pil_to_tensor(_coloured(_upright(image)))
    except UnidentifiedImageError:
        raise OSError(f"{name} is damaged, or no image in a known format") from None
    except Exception as fault:  # Pillow's decoders raise all kinds of errors on damaged files
        raise OSError(f"{name} cannot be decoded: {fault}") from fault


def _upright(image: "Image") -> "Image":
    """Turned as the camera noted it in the EXIF data, if it did."""
    from PIL import ImageOps

    image.load()
    if "exif" not in image.info:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the note is damaged; the image is as good as one without
        return image


def _coloured(image: "Image") -> "Image":
    """As RGB, whatever it was."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, which conversion would cut off at 255
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")
