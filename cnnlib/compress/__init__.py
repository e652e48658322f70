"""Making a trained network smaller: prune, share, code, and count every byte of the file.

The three steps of Deep Compression (Han, Mao, Dally, "Deep Compression: Compressing Deep Neural
Networks with Pruning, Trained Quantization and Huffman Coding", ICLR 2016), each for itself:

* `prune` sets the smallest weights of a layer to zero and keeps them there (section 2);
* `share` leaves the others few values to choose from (section 3);
* `save` writes what is left: shared values, their numbers and the gaps between them, in as few bits
  as Huffman's code needs (section 4); `load` reads it back, bit for bit.

Training between the steps is the usual `cnnlib.train.fit`: what is pruned stays zero, what is
shared moves together.
"""

from cnnlib.compress.clustering import cluster
from cnnlib.compress.file import Size, load, measure, pack, save, unpack
from cnnlib.compress.layers import LayerReport, prune, report, settle, share

__all__ = [
    "LayerReport",
    "Size",
    "cluster",
    "load",
    "measure",
    "pack",
    "prune",
    "report",
    "save",
    "settle",
    "share",
    "unpack",
]
