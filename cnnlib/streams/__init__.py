r"""Images that do not fit into memory: read, decoded and cut to size while training goes on.

A `Stream` is taken by ``batches`` and by the training loop wherever an ``ImageSet`` is. Worker
processes read the files and cut squares of one size from them (`Crops`); the squares travel as
bytes, a quarter of what floating point would take, to the stream's device, and only there become
numbers of the dtype that training wants, are normalised, and are changed by ``Augmentation``.

==================  ==============================================================================
`image_folder`      PATH/train/CLASS/\*.jpeg and PATH/val/CLASS/\*.jpeg, as ImageNet is unpacked
`imagenette`        ten classes of ImageNet, 9,469 and 3,925 images, fetched once
`shards`            tar files as the webdataset package writes them, for the disks of a cluster
==================  ==============================================================================

What is random in the decoding of image i depends on i and on the ``salt`` of the pass alone. So a
pass is the same with any number of workers and processes, and can be taken up where it ended.
"""

from cnnlib.augment import Crops

from .archives import shards, write_shards
from .folders import image_folder, imagenette
from .stream import Files, Statistics, Stream

__all__ = [
    "Crops",
    "Files",
    "Statistics",
    "Stream",
    "image_folder",
    "imagenette",
    "shards",
    "write_shards",
]
