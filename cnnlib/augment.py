"""Random changes of training images: shifts, mirror images, painted squares, mixtures.

Every image of a batch gets draws of its own, and the batch is changed as a whole, on whatever
device it is. What chance decides (`Augmentation.draw`) is apart from what is done to the pixels
(`Draws.apply`): several processes that share a batch make the same draws for all of it and then
work on their share of the images only.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PerChannel = float | tuple[float, ...]  # one number for all channels, or one for each


@dataclass(frozen=True)
class Augmentation:
    """Random changes, drawn anew for each image of a batch; those not asked for do nothing.

    Shifts and mirror images as in Krizhevsky, Sutskever, Hinton (2012), section 4.1; in the form
    of whole pixels on a border, He et al. (2016), section 4.2. They are applied in the order of
    the arguments.

    Args:
        shift: Largest shift in pixels; each image moves by a whole number of pixels in
            -shift..shift, down and to the right independently. What moves in is background. The
            same is known as a random crop of the image padded by ``shift``.
        flip: Whether every second image, on average, is mirrored left to right.
        cutout: Side in pixels of a square that is painted with background, 0 for none. Its centre
            is any pixel of the image with equal chance, so that it may stick out at the border
            (DeVries and Taylor 2017, arXiv:1708.04552, section 3.1).
        mixup: Alpha of the distribution Beta(alpha, alpha) of the weight with which an image is
            mixed with another one of its batch, and its label with the other's; 0 for no mixing.
            Zhang et al. (2018, arXiv:1710.09412, section 4.1) take 0.1 to 0.4 on ImageNet. They
            draw one weight per batch; here each image has its own. Labels become (B, classes).

    Raises:
        TypeError, ValueError: A setting of the wrong kind or outside its range.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self.shift, "shift", at_least=0)
        if not isinstance(self.flip, bool):
            raise TypeError(f"flip must be True or False, got {self.flip!r}")
        check_whole(self.cutout, "cutout", at_least=0)
        if isinstance(self.mixup, bool) or not isinstance(self.mixup, int | float):
            raise TypeError(f"mixup must be a number, got {self.mixup!r}")
        if not 0 <= self.mixup < math.inf:
            raise ValueError(f"mixup must be 0 for none, or above 0 and finite, got {self.mixup}")

    def __call__(
        self, images: Tensor, *, background: PerChannel = 0.0, generator: torch.Generator
    ) -> Tensor:
        """Applies one draw per image.

        Args:
            images: (N, C, H, W) on any device.
            background: What fills the pixels that a shift uncovers, and those of ``cutout``.
            generator: The only source of randomness.

        Returns:
            (N, C, H, W), a new tensor.

        Raises:
            ValueError: ``shift`` would move images out of sight, or ``mixup`` is asked for, which
                needs labels (see ``batches`` in ``cnnlib.data``).
        """
        check_images(images)
        if self.mixup > 0:
            raise ValueError(
                "mixup mixes labels too and needs them: use it through batches(..., augment=...) "
                "of cnnlib.data, or Augmentation.draw and Draws.apply"
            )
        n, _, height, width = images.shape
        draws = self.draw(n, height, width, generator)
        changed = draws.painted(draws.moved(images, background), background)
        return changed.clone() if changed is images else changed

    def draw(
        self,
        n: int,
        height: int,
        width: int,
        generator: torch.Generator,
        share: slice = slice(None),
    ) -> "Draws":
        """All that chance decides about a batch of ``n`` images of this size.

        The draws are made where the generator lives, so that a generator on the CPU gives the same
        images on every device; and for the whole batch, of which ``share`` then gets its part.

        Raises:
            ValueError: ``shift`` would move images out of sight.
        """
        if self.shift >= min(height, width):
            raise ValueError(
                f"a shift of up to {self.shift} pixels would move images of {height}x{width} out "
                f"of sight: shift must be below {min(height, width)}"
            )
        home = generator.device

        def integers(below: int, *shape: int) -> Tensor:
            return torch.randint(below, shape, generator=generator, device=home)

        # Shift and flip are drawn even where they are off, so that switching one on leaves the
        # draws of the other alone. Cutout and mixup come after them, and only where they are on:
        # without them the generator ends where it did before they existed.
        down, right = integers(2 * self.shift + 1, 2, n, 1)
        mirror = integers(2, n, 1)
        row = integers(height, n, 1) if self.cutout else None
        column = integers(width, n, 1) if self.cutout else None
        weight = _beta(self.mixup, n, generator) if self.mixup else None
        partner = torch.randperm(n, generator=generator, device=home) if self.mixup else None
        if self.flip:
            # `right` counts in the image as it was; in a mirrored one from the other side, which
            # makes it 2 shift - right.
            right = right.sub(mirror, alpha=2 * self.shift).abs_()

        sources, own = share, None
        if partner is not None and weight is not None:
            weight, partner = weight[share], partner[share]
            if len(partner) < n:  # then the partners, too, are only those that this share needs
                mine = torch.arange(n, device=home)[share]
                sources = torch.unique(torch.cat((mine, partner)))  # in rising order
                own, partner = torch.searchsorted(sources, torch.stack((mine, partner)))
        down, right, mirror = down[sources], right[sources], mirror[sources]
        if row is not None and column is not None:
            row, column = row[sources], column[sources]
        return Draws(self, sources, down, right, mirror, row, column, weight, own, partner)


@dataclass(frozen=True, eq=False)
class Draws:
    """What chance decided about a share of a batch, and how it is done to the pixels.

    The share has B images, and K images of the batch are needed to make them: with ``mixup`` also
    the partners of its own. ::

        draws = augment.draw(len(chosen), height, width, generator, share)
        images, labels = load(chosen[draws.sources])
        images, labels = draws.apply(images, labels, classes=10)

    Attributes:
        augment: What was asked for.
        sources: Where in the batch the K images are: positions (K,), or a slice.
        down: (K, 1): row of the image with its border at which the result begins, 0..2 shift.
        right: (K, 1), the same for columns, after mirroring.
        mirror: (K, 1), 1 for the images to mirror; counts only with ``flip``.
        row: (K, 1), of the centre of the square of ``cutout``; None without.
        column: (K, 1), the same.
        weight: (B,), float64 in [0, 1], of the image itself in ``mixup``; None without.
        own: (B,), which of the K images are the share's own; None if all are.
        partner: (B,), which of the K images they are mixed with; None without ``mixup``.
    """

    augment: Augmentation
    sources: Tensor | slice
    down: Tensor
    right: Tensor
    mirror: Tensor
    row: Tensor | None
    column: Tensor | None
    weight: Tensor | None
    own: Tensor | None
    partner: Tensor | None

    def apply(
        self, images: Tensor, labels: Tensor, *, classes: int, background: PerChannel = 0.0
    ) -> tuple[Tensor, Tensor]:
        """The share's images and labels after all changes.

        Args:
            images: (K, C, H, W), those at the positions ``sources`` of the batch.
            labels: (K,) int64, of the same images.
            classes: Number of classes.
            background: What shifts and ``cutout`` fill with, in the units of ``images``.

        Returns:
            Images (B, C, H, W), those given if there is nothing to change, and labels: (B,) int64,
            or with ``mixup`` (B, classes) in the images' dtype, each summing up to 1.
        """
        images = self.painted(self.moved(images, background), background)
        return self.mixed(images, labels, classes)

    def moved(self, images: Tensor, background: PerChannel) -> Tensor:
        """Images (K, C, H, W), mirrored and shifted: a new tensor if either is asked for."""
        if self.augment.flip:
            # Half of the images, on average: mirroring all and choosing would take twice as long.
            mirrored = self.mirror.view(-1).nonzero().view(-1).to(images.device)
            images = images.index_copy(0, mirrored, images[mirrored].flip(3))
        if self.augment.shift == 0:
            return images
        canvas = Canvas(bordered(images, self.augment.shift, background), images.shape[2:])
        which = torch.arange(len(images), device=images.device)
        return canvas.windows(which, canvas.offset(self.down, self.right))

    def cut(self, canvas: "Canvas", chosen: Tensor) -> Tensor:
        """The same as ``moved`` makes of the images ``chosen`` of a set that is on a canvas.

        Args:
            canvas: As ``Canvas.of`` makes it of the whole set, once.
            chosen: (K,) int64, positions in the set.
        """
        offset = canvas.offset(self.down, self.right)
        if self.augment.flip:
            chosen, offset = 2 * chosen, offset.add_(self.mirror, alpha=canvas.image)
        return canvas.windows(chosen, offset)

    def painted(self, images: Tensor, background: PerChannel) -> Tensor:
        """Images (K, C, H, W) with the squares of ``cutout``: a new tensor if there are any."""
        if self.row is None or self.column is None:
            return images
        # The squares are windows, too: of one picture of a square, larger than any image.
        side, (height, width) = self.augment.cutout, images.shape[2:]
        shape = (1, 1, 2 * height + side, 2 * width + side)
        picture = torch.zeros(shape, dtype=torch.bool, device=images.device)
        picture[..., height : height + side, width : width + side] = True
        canvas = Canvas(picture, (height, width))
        offset = canvas.offset(height + side // 2 - self.row, width + side // 2 - self.column)
        which = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        square = canvas.windows(which, offset)
        return torch.where(square, fill(images, background), images)

    def mixed(self, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Images (K, C, H, W) and labels (K,), mixed into those of the share by ``mixup``.

        Raises:
            ValueError: The images are bytes, which a mixture of bytes seldom is.
        """
        if self.weight is None or self.partner is None:
            return images, labels
        check_mixable(images.dtype, "images")
        # In the images' dtype, too, the two weights sum up to exactly 1: the first subtraction
        # rounds to that dtype, and the second has nothing left to round.
        rest = 1 - self.weight.to(images.device, images.dtype)
        weight = 1 - rest
        answers = (labels[:, None] == torch.arange(classes, device=labels.device)).to(images.dtype)
        own, partner = self.own, self.partner.to(images.device)

        def mixture(values: Tensor) -> Tensor:
            shape = (-1, *[1] * (values.ndim - 1))
            mine = values if own is None else values.index_select(0, own.to(values.device))
            others = values.index_select(0, partner).mul_(rest.view(shape))
            return (mine * weight.view(shape)).add_(others)

        return mixture(images), mixture(answers)


class Canvas:
    """Images with a border on all sides, and perhaps their mirror images, to cut windows from.

    A shifted image is a window of the image with a border. Cutting windows that lie differently in
    every image is what augmentation spends its time on, and PyTorch has a quick way: a window is a
    list of rows, a row is W numbers that lie side by side in memory, and ``index_select`` copies
    rows that it finds by number. The rows it selects from are all stretches of W numbers that the
    memory of the canvas holds, one from each position: a view in which they overlap, not a copy.

    What else was tried, in microseconds per image (28x28 grey and 32x32 colour, float32, batches of
    64, one thread; 0.4 and 2.5 this way): building the position of every pixel for ``gather`` or
    ``take`` 1.7 and 7.1; indexing an ``as_strided`` view with all possible windows of each image by
    (image, down, right) 1.0 and 3.7; selecting whole windows instead of rows 0.5 and 2.6. Images
    kept as bytes and brought to floating point after selecting: 0.6 and 2.7, and it would only
    serve sets that were bytes. For whole passes over colour images, 4.2 this way: a canvas without
    mirror images, and half of each batch mirrored afterwards, 6.0; a canvas for each batch, 9.6.

    Args:
        pixels: (M, C, P, Q), contiguous: images with their borders.
        size: Height and width of the windows.
    """

    def __init__(self, pixels: Tensor, size: Sequence[int]) -> None:
        _, channels, rows, columns = pixels.shape
        height, width = size
        self.shape = (-1, channels, height, width)
        self.image, self.row = channels * rows * columns, columns  # numbers in one of each
        # Where the rows of the window at the top left corner of the first image begin: (C * H,)
        line = torch.arange(height, device=pixels.device) * columns
        channel = torch.arange(channels, device=pixels.device) * (rows * columns)
        self.lines = (channel[:, None] + line).view(-1)
        count = max(pixels.numel() - width + 1, 0)
        self.stretches = pixels.view(-1).as_strided((count, width), (1, 1))

    @staticmethod
    def bytes(images: Tensor, augment: Augmentation) -> int:
        """Memory that ``of`` would take."""
        n, channels, height, width = images.shape
        area = (height + 2 * augment.shift) * (width + 2 * augment.shift)
        return n * channels * area * images.element_size() * (2 if augment.flip else 1)

    @classmethod
    def of(cls, images: Tensor, augment: Augmentation, background: PerChannel) -> "Canvas":
        """All images (N, C, H, W) of a set with their borders; with ``flip`` mirrored, too.

        Then each image is followed by its mirror image.
        """
        n, channels, height, width = images.shape
        edge, kinds = augment.shift, 2 if augment.flip else 1
        pixels = images.new_empty(n, kinds, channels, height + 2 * edge, width + 2 * edge)
        for first in range(0, n, 1024):  # in parts: temporary copies of all would be large
            part = bordered(images[first : first + 1024], edge, background)
            pixels[first : first + 1024, 0] = part
            if augment.flip:
                pixels[first : first + 1024, 1] = part.flip(3)
        return cls(pixels.flatten(0, 1), (height, width))

    def offset(self, down: Tensor, right: Tensor) -> Tensor:
        """How far into an image its window begins, if at these rows and columns: (K, 1) int64."""
        return right.add(down, alpha=self.row)

    def windows(self, which: Tensor, offset: Tensor) -> Tensor:
        """Windows (K, C, H, W), a new tensor: one from each of the images ``which``.

        Args:
            which: (K,) int64, positions in ``pixels``, on its device.
            offset: (K, 1), of each window in its image; where the draws were made, so that on a GPU
                only this one small tensor has to get there.
        """
        corner = offset.to(which.device).add(which[:, None], alpha=self.image)
        rows = self.stretches.index_select(0, (corner + self.lines).view(-1))
        return rows.view(self.shape)


def _beta(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """Draws (n,) from Beta(alpha, alpha), float64: a share of two independent gamma variates."""
    shape = torch.full((2, n), alpha, dtype=torch.float64, device=generator.device)
    # torch.distributions draws from the global generator only; this is what it draws with.
    first, second = torch.ops.aten._standard_gamma(shape, generator)
    total = first + second
    # A tiny alpha makes both underflow; the weight would be 0 or 1 in all but few cases, and
    # either means an image that is not mixed.
    return torch.where(total > 1e-300, first / total, 1.0)


# Squares cut from photographs -------------------------------------------------------------------

# Rows: the principal axes of the colours of ImageNet's training images (red, green, blue from 0 to
# 1), each as long as the standard deviation along it. The numbers are those that Facebook published
# with its ResNets (fb.resnet.torch, datasets/imagenet.lua), which most later code took over.
IMAGENET_AXES = tuple(
    tuple(deviation * entry for entry in axis)
    for deviation, axis in zip(
        (0.2175, 0.0188, 0.0045),
        ((-0.5675, -0.5808, -0.5836), (0.7192, -0.0045, -0.6948), (0.4009, -0.8140, 0.4203)),
        strict=True,
    )
)


@dataclass(frozen=True)
class Crops:
    """How the images of a stream become squares of one size, each by its own draws.

    This happens image by image where the files are decoded, with torchvision's ``transforms.v2``;
    `Augmentation` then works on whole batches of squares.

    Args:
        size: Side of the squares in pixels.
        resize: Length in pixels to which an image's shorter side is brought before a square is cut
            anywhere from it (Krizhevsky et al. 2012, section 4.1: 256 for squares of 224). Two
            numbers: drawn anew from low..high for each image, the scale jitter of Simonyan and
            Zisserman (2015), section 3.1. None: 8/7 of ``size``, the proportion of 256 to 224.
        area: Instead of resizing first, cut a rectangle that has this share of the image's area,
            drawn from the two ends given, and resize that: (0.08, 1.0) in Szegedy et al. (2015),
            section 6. ``resize`` then only counts for ``evaluation``.
        ratio: Width over height of these rectangles, drawn from the two ends given.
        flip: Whether every second image, on average, is mirrored left to right.
        colour: None, "pca" or "jitter". "pca" adds the same random colour to all pixels of an
            image, along the axes in which the colours of photographs vary (Krizhevsky et al. 2012,
            section 4.1). Of their formula we take the standard deviations along the axes, as their
            code does, for with the variances the result would depend on the unit. "jitter" changes
            brightness, contrast and saturation by factors from 0.6 to 1.4 (fb.resnet.torch).
        axes: For "pca": three rows, principal axes of red, green and blue from 0 to 1, each as long
            as the standard deviation along it (``Stream.statistics`` computes them). None: those of
            ImageNet.
        centre: Cut from the middle, and leave out all chance: for evaluation; see ``central``.

    Raises:
        TypeError, ValueError: A setting of the wrong kind or outside its range.
    """

    size: int = 224
    resize: int | tuple[int, int] | None = None
    area: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    colour: str | None = None
    axes: tuple[tuple[float, float, float], ...] | None = None
    centre: bool = False

    def __post_init__(self) -> None:
        for name in ("resize", "area", "ratio"):  # lists, as JSON has them
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.axes is not None:
            object.__setattr__(self, "axes", tuple(tuple(row) for row in self.axes))
        check_whole(self.size, "size", at_least=1)
        if isinstance(self.resize, tuple):
            if len(self.resize) != 2:
                raise ValueError(f"resize must be one length or two, low and high; {self.resize!r}")
            for side in self.resize:
                check_whole(side, "resize", at_least=self.size)
            if self.resize[0] > self.resize[1]:
                raise ValueError(f"resize goes from low to high, got {self.resize}")
        elif self.resize is not None:
            check_whole(self.resize, "resize", at_least=self.size)
        if self.area is not None:
            _check_range(self.area, "area", below=1.0)
        _check_range(self.ratio, "ratio")
        for name in ("flip", "centre"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.colour not in (None, "pca", "jitter"):
            raise ValueError(f'colour must be None, "pca" or "jitter", got {self.colour!r}')
        if self.axes is not None and [len(row) for row in self.axes] != [3, 3, 3]:
            raise ValueError(f"axes must be three rows of three numbers, got {self.axes}")
        if self.centre and (self.area or self.flip or self.colour or self.sides[0] < self.sides[1]):
            raise ValueError(
                "centre leaves nothing to chance, so it goes with one resize and without area, "
                "flip and colour: use Crops.central(size, resize)"
            )

    @classmethod
    def central(cls, size: int = 224, resize: int | None = None) -> "Crops":
        """The square in the middle of the image with its shorter side brought to ``resize``."""
        return cls(size, resize, flip=False, centre=True)

    @property
    def sides(self) -> tuple[int, int]:
        """Smallest and largest length in pixels to which the shorter side may be brought."""
        if isinstance(self.resize, tuple):
            return self.resize
        side = round(self.size * 8 / 7) if self.resize is None else self.resize
        return side, side

    def evaluation(self) -> "Crops":
        """The central squares of the same size, to measure a network trained on these.

        Of a range of ``resize`` the middle is taken, as by Simonyan and Zisserman (2015), section
        3.2.
        """
        return Crops.central(self.size, sum(self.sides) // 2)

    def to_spare(self, width: int, height: int) -> float:
        """How many times smaller an image may be decoded and still have more pixels than needed.

        More means: twice as many in each direction as the square that is made of them, so that
        nobody sees the difference. Decoders of JPEG files can halve an image for little.
        """
        if self.area is None:
            return min(width, height) / (2 * self.sides[1])
        low, high = self.ratio
        narrowest = math.sqrt(self.area[0] * min(low, 1 / high) * width * height)
        return narrowest / (2 * self.size)

    def transforms(self) -> Callable[[Tensor], Tensor]:
        """The same in torchvision's terms: maps (3, H, W) uint8 to (3, size, size) uint8.

        The draws are made from torch's global generator, as torchvision's are.

        Raises:
            ImportError: torchvision is not installed.
        """
        try:
            from torchvision.transforms import v2
        except ImportError:
            raise ImportError(
                "torchvision, which cuts and resizes the images of a stream, is not installed "
                '(pip install torchvision; it is the extra "download" of cnnlib)'
            ) from None
        low, high = self.sides
        if self.centre:
            return v2.Compose([v2.Resize(low), v2.CenterCrop(self.size)])
        steps: list[Callable] = []
        if self.area is not None:
            steps.append(v2.RandomResizedCrop(self.size, scale=self.area, ratio=self.ratio))
        else:
            steps.append(v2.Resize(low) if low == high else v2.RandomResize(low, high + 1))
            steps.append(v2.RandomCrop(self.size))
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        if self.colour == "jitter":
            steps.append(v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4))
        if self.colour == "pca":
            axes = torch.tensor(IMAGENET_AXES if self.axes is None else self.axes)
            steps.append(v2.Lambda(lambda image: _tinted(image, axes)))
        return v2.Compose(steps)


def _tinted(image: Tensor, axes: Tensor) -> Tensor:
    """Adds one random colour to bytes (3, H, W): lengths along the axes from N(0, 0.1)."""
    colour = 255 * (0.1 * torch.randn(3) @ axes)
    return (image.short() + colour.round().short().view(3, 1, 1)).clamp_(0, 255).byte()


def _check_range(value: tuple[float, float], what: str, below: float = math.inf) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f"{what} must be two numbers, low and high, got {value!r}")
    low, high = value
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        raise TypeError(f"{what} must be two numbers, got {value!r}")
    if not 0 < low <= high <= below or not math.isfinite(high):
        limit = f" and at most {below:g}" if math.isfinite(below) else ""
        raise ValueError(f"{what} goes from low to high, above 0{limit}; got {value}")


# Pixels, and checks that other modules share ----------------------------------------------------


def check_whole(value: int, what: str, *, at_least: int) -> None:
    """TypeError or ValueError unless ``value`` is a whole number from ``at_least`` upwards."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number, got {value!r}")
    if value < at_least:
        raise ValueError(f"{what} must be at least {at_least}, got {value}")


def check_images(images: Tensor) -> None:
    """ValueError unless ``images`` is (N, C, H, W), uint8 or floating point."""
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"images must have shape (N, C, H, W), got {tuple(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images must be uint8 or floating point, got {images.dtype}")


def check_mixable(dtype: torch.dtype, what: str) -> None:
    """ValueError unless images of this dtype can be mixed; ``what`` names them."""
    if not dtype.is_floating_point:
        raise ValueError(
            f"mixup mixes pixel values, but {what} are {dtype}: bring them to floating point "
            "first, as by .rescaled(0, 1)"
        )


def per_channel(value: float | Sequence[float], images: Tensor, what: str) -> tuple[float, ...]:
    """One finite number per channel, from one number or one per channel."""
    channels = images.shape[1]
    values = (value,) * channels if isinstance(value, int | float) else tuple(value)
    if len(values) != channels:
        raise ValueError(f"{what} has {len(values)} values for images with {channels} channels")
    if not all(math.isfinite(v) for v in values):
        raise ValueError(f"{what} must be finite, got {value}")
    return tuple(float(v) for v in values)


def fill(images: Tensor, background: PerChannel) -> Tensor:
    """The background as a tensor (1, C, 1, 1) like the images.

    Raises:
        ValueError: Not a finite number per channel, or for images of bytes, not bytes.
    """
    values = per_channel(background, images, "background")
    if images.dtype == torch.uint8 and not all(v in range(256) for v in values):
        raise ValueError(f"images are bytes, so background must be in 0..255, got {background}")
    return images.new_tensor(values).view(1, -1, 1, 1)


def bordered(images: Tensor, edge: int, background: PerChannel) -> Tensor:
    """Images (N, C, H, W) with ``edge`` pixels of background on every side."""
    return surrounded(images, (edge, edge, edge, edge), background)


def surrounded(images: Tensor, border: tuple[int, int, int, int], background: PerChannel) -> Tensor:
    """Images (N, C, H, W) with rows and columns of background: top, bottom, left, right."""
    n, channels, height, width = images.shape
    top, bottom, left, right = border
    shape = (n, channels, top + height + bottom, left + width + right)
    canvas = fill(images, background).expand(shape).clone(memory_format=torch.contiguous_format)
    canvas[:, :, top : top + height, left : left + width] = images
    return canvas
