"""The papers of the book, one record each: where to find them and what they printed.

Chapters, the front page and the plots take every published figure from here. Those of the networks
are in ``cnnlib.published``; the tables that a chapter compares with stand in a module of their own,
as in ``cnnlib.papers.lenet``. So none is typed twice. Errors are percentages with the protocol
beside them: two errors may share a column only if their protocols agree. MACs are multiply-adds of
convolutions and fully connected layers for one image.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from cnnlib.published import parse, published


@dataclass(frozen=True)
class Network:
    """The network that stands for a paper; its figures are those of ``cnnlib.published``.

    Attributes:
        name: the paper's name for it.
        model: its name in ``cnnlib.list_models()``.
        result: top-5 error and protocol, where the book compares by others than the record has.
    """

    name: str
    model: str
    result: tuple[float, str] | None = None

    @property
    def input(self) -> tuple[int, int, int]:
        """(channels, height, width) in pixels."""
        return published(self.model).input

    @property
    def parameters(self) -> int:
        """Trainable numbers, exactly; as the paper rounds them if no exact count is published."""
        record = published(self.model)
        return _exact(record.parameters, record.printed_parameters)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image of size ``input``, exactly or as rounded."""
        record = published(self.model)
        return _exact(record.macs, record.printed_macs)

    @property
    def error(self) -> float:
        """Percent wrong: top-5 where it was published, else top-1."""
        return self._result[0]

    @property
    def measure(self) -> str:
        """What ``error`` counts: "top-5 error", "top-1 error", or "error" where classes are few."""
        record = published(self.model)
        if self.result is not None or record.top5_error is not None:
            return "top-5 error"
        return "top-1 error" if record.classes >= 100 else "error"

    @property
    def protocol(self) -> str:
        """Data, crops and number of networks behind ``error``."""
        return self._result[1]

    @property
    def _result(self) -> tuple[float, str]:
        if self.result is not None:
            return self.result
        record = published(self.model)
        error = record.top1_error if record.top5_error is None else record.top5_error
        if error is None or record.protocol is None:
            raise ValueError(f"no error is published of {self.model}")
        return error, record.protocol


def _exact(count: int | None, printed: str | None) -> int:
    if count is not None:
        return count
    if printed is None:
        raise ValueError("neither a count nor a printed figure is published")
    return round(parse(printed).value)


@dataclass(frozen=True)
class Paper:
    """One paper: how it is cited, where it is taught, the network that stands for it.

    Attributes:
        cite: key in ``references.bib``.
        chapter: the chapter's file name without its ending.
        idea: the one sentence that remains.
        claim: what the chapter tests, as a sentence that could turn out false; of the papers that
            share a chapter, the first has it.
    """

    cite: str
    authors: str
    title: str
    venue: str
    year: int
    url: str
    chapter: str
    idea: str
    network: Network
    claim: str = ""


PAPERS = {  # in the order of the book; the first of a chapter is the one that it is about
    "lenet": Paper(
        cite="lecun1998gradient",
        authors="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner",
        title="Gradient-Based Learning Applied to Document Recognition",
        venue="Proceedings of the IEEE 86(11), pages 2278–2324",
        year=1998,
        url="https://doi.org/10.1109/5.726791",
        chapter="01_lenet",
        idea="Features are learned: small shared kernels, subsampling, one gradient for all of it.",
        network=Network("LeNet-5", "lenet5"),
        claim="With equally many trainable numbers, small shared kernels read "
        "digits better than full connection.",
    ),
    "alexnet": Paper(
        cite="krizhevsky2012imagenet",
        authors="A. Krizhevsky, I. Sutskever, G. E. Hinton",
        title="ImageNet Classification with Deep Convolutional Neural Networks",
        venue="NIPS 25",
        year=2012,
        url="https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks",
        chapter="02_alexnet",
        idea="A large network, a million photographs and two GPUs beat hand-made features.",
        network=Network(
            "AlexNet", "alexnet", (18.2, "ILSVRC-2012 validation, 10 crops, one network")
        ),
        claim="Units that saturate stall a deep network; units that cut off at zero do not.",
    ),
    "zfnet": Paper(
        cite="zeiler2014visualizing",
        authors="M. D. Zeiler, R. Fergus",
        title="Visualizing and Understanding Convolutional Networks",
        venue="ECCV 2014, arXiv:1311.2901",
        year=2013,
        url="https://arxiv.org/abs/1311.2901",
        chapter="03_zfnet",
        idea="Look inside, and what you see tells you what to change.",
        network=Network("ZFNet", "zfnet"),
        claim="What a unit inside a network answers to can be made visible, and "
        "hiding it takes the answer away.",
    ),
    "vgg": Paper(
        cite="simonyan2015very",
        authors="K. Simonyan, A. Zisserman",
        title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        venue="ICLR 2015, arXiv:1409.1556",
        year=2014,
        url="https://arxiv.org/abs/1409.1556",
        chapter="04_vgg",
        idea="Nothing but 3×3 convolutions, many of them.",
        network=Network("VGG-16", "vgg_d"),
        claim="Three 3×3 convolutions see as much as one of 7×7, with fewer "
        "weights; and depth needs a good start.",
    ),
    "googlenet": Paper(
        cite="szegedy2015going",
        authors="C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, "
        "V. Vanhoucke, A. Rabinovich",
        title="Going Deeper with Convolutions",
        venue="CVPR 2015, arXiv:1409.4842",
        year=2014,
        url="https://arxiv.org/abs/1409.4842",
        chapter="05_googlenet",
        idea="Several kernel sizes side by side, made cheap by 1×1 convolutions.",
        network=Network("GoogLeNet", "googlenet"),
        claim="A 1×1 convolution in front makes a wide layer cheap; extra "
        "classifiers reach the early layers.",
    ),
    "resnet": Paper(
        cite="he2016deep",
        authors="K. He, X. Zhang, S. Ren, J. Sun",
        title="Deep Residual Learning for Image Recognition",
        venue="CVPR 2016, arXiv:1512.03385",
        year=2015,
        url="https://arxiv.org/abs/1512.03385",
        chapter="06_resnet",
        idea="Let layers learn what to add to their input, and depth stops hurting.",
        network=Network("ResNet-152", "resnet152"),
        claim="Deeper plain networks get worse on their own training images; residual ones do not.",
    ),
    "preact_resnet": Paper(
        cite="he2016identity",
        authors="K. He, X. Zhang, S. Ren, J. Sun",
        title="Identity Mappings in Deep Residual Networks",
        venue="ECCV 2016, arXiv:1603.05027",
        year=2016,
        url="https://arxiv.org/abs/1603.05027",
        chapter="07_preact_resnet",
        idea="Keep the shortcut clean: normalise and activate before the convolution.",
        network=Network("Pre-activation ResNet-164", "preact_resnet164_cifar"),
        claim="At 110 layers, the order inside a block decides whether training gets going.",
    ),
    "densenet": Paper(
        cite="huang2017densely",
        authors="G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger",
        title="Densely Connected Convolutional Networks",
        venue="CVPR 2017, arXiv:1608.06993",
        year=2016,
        url="https://arxiv.org/abs/1608.06993",
        chapter="08_densenet",
        idea="Concatenate instead of add: every layer sees all earlier ones.",
        network=Network("DenseNet-121", "densenet121"),
        claim="Layers that see all earlier ones need fewer parameters for the same error.",
    ),
    "senet": Paper(
        cite="hu2018squeeze",
        authors="J. Hu, L. Shen, S. Albanie, G. Sun, E. Wu",
        title="Squeeze-and-Excitation Networks",
        venue="CVPR 2018, arXiv:1709.01507",
        year=2017,
        url="https://arxiv.org/abs/1709.01507",
        chapter="09_senet",
        idea="Let the network turn its own channels up and down.",
        network=Network("SE-ResNet-50", "se_resnet50"),
        claim="Excitations are alike for all classes in early layers, and tell "
        "classes apart in late ones.",
    ),
    "resnext": Paper(
        cite="xie2017aggregated",
        authors="S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He",
        title="Aggregated Residual Transformations for Deep Neural Networks",
        venue="CVPR 2017, arXiv:1611.05431",
        year=2016,
        url="https://arxiv.org/abs/1611.05431",
        chapter="09_senet",
        idea="Many thin paths side by side are worth more than a deeper or wider one.",
        network=Network("ResNeXt-50 (32×4d)", "resnext50_32x4d"),
    ),
    "squeezenet": Paper(
        cite="iandola2016squeezenet",
        authors="F. N. Iandola, S. Han, M. W. Moskewicz, K. Ashraf, W. J. Dally, K. Keutzer",
        title="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
        venue="arXiv:1602.07360",
        year=2016,
        url="https://arxiv.org/abs/1602.07360",
        chapter="10_squeezenet",
        idea="Squeeze with 1×1, expand with few 3×3: AlexNet's accuracy in 1/50 of its size.",
        network=Network("SqueezeNet", "squeezenet1_0"),
        claim="A network can shrink fifty times and still do about as well.",
    ),
    "mobilenet": Paper(
        cite="howard2017mobilenets",
        authors="A. G. Howard, M. Zhu, B. Chen, D. Kalenichenko, W. Wang, T. Weyand, "
        "M. Andreetto, H. Adam",
        title="MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
        venue="arXiv:1704.04861",
        year=2017,
        url="https://arxiv.org/abs/1704.04861",
        chapter="11_mobilenet",
        idea="Split a convolution into depthwise and pointwise: eight to nine times fewer MACs.",
        network=Network("MobileNet", "mobilenet_v1_1_224"),
        claim="Splitting convolutions saves eight to nine times the multiply-adds, "
        "and less of the time.",
    ),
    "mobilenet_v2": Paper(
        cite="sandler2018mobilenetv2",
        authors="M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen",
        title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        venue="CVPR 2018, arXiv:1801.04381",
        year=2018,
        url="https://arxiv.org/abs/1801.04381",
        chapter="11_mobilenet",
        idea="Widen inside a block, keep the shortcut narrow, and leave its end linear.",
        network=Network("MobileNetV2", "mobilenet_v2_1"),
    ),
    "mobilenet_v3": Paper(
        cite="howard2019searching",
        authors="A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan, W. Wang, Y. Zhu, "
        "R. Pang, V. Vasudevan, Q. V. Le, H. Adam",
        title="Searching for MobileNetV3",
        venue="ICCV 2019, arXiv:1905.02244",
        year=2019,
        url="https://arxiv.org/abs/1905.02244",
        chapter="11_mobilenet",
        idea="Search by time on a real phone, then finish by hand.",
        network=Network("MobileNetV3-Large", "mobilenet_v3_large_1"),
    ),
    "nasnet": Paper(
        cite="zoph2018learning",
        authors="B. Zoph, V. Vasudevan, J. Shlens, Q. V. Le",
        title="Learning Transferable Architectures for Scalable Image Recognition",
        venue="CVPR 2018, arXiv:1707.07012",
        year=2017,
        url="https://arxiv.org/abs/1707.07012",
        chapter="12_nasnet",
        idea="Search for a small cell on small images, then stack it for large ones.",
        network=Network("NASNet-A (6 @ 4032)", "nasnet_a_large"),
        claim="A search finds better cells than trying at random does.",
    ),
    "efficientnet": Paper(
        cite="tan2019efficientnet",
        authors="M. Tan, Q. V. Le",
        title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        venue="ICML 2019, arXiv:1905.11946",
        year=2019,
        url="https://arxiv.org/abs/1905.11946",
        chapter="13_efficientnet",
        idea="Scale depth, width and resolution together, by one rule.",
        network=Network("EfficientNet-B0", "efficientnet_b0"),
        claim="At equal cost, growing depth, width and resolution together beats "
        "growing one of them.",
    ),
}


def by_chapter() -> dict[str, Paper]:
    """The paper that each chapter is about, by its key: the first of the chapter's papers."""
    first: dict[str, str] = {}
    for key, record in PAPERS.items():
        first.setdefault(record.chapter, key)
    return {key: PAPERS[key] for key in first.values()}


def paper(key: str) -> Paper:
    """The record of a paper.

    Args:
        key: name of the paper's module, as in ``cnnlib.models.lenet``.

    Raises:
        ValueError: no such paper; the nearest key is named.
    """
    if key not in PAPERS:
        near = difflib.get_close_matches(key, PAPERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(PAPERS)}"
        raise ValueError(f"unknown paper {key!r}; {hint}")
    return PAPERS[key]
