"""Checks for the exercises of chapter 1.

Each takes the reader's function and compares it with the library on cases that tell the usual wrong
answers apart: a formula that forgets the floor, a subsampling that averages instead of summing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch.nn import functional as F

from cnnlib.book import Verdict, check


def check_output_size(answer: Callable[..., Any]) -> Verdict:
    """``answer(n, k, stride, padding)`` -> length of a convolution's output along one side."""
    cases = []
    for n, k, stride, padding in product((5, 6, 28, 32), (2, 3, 5), (1, 2, 3), (0, 1, 2)):
        row, kernel = torch.zeros(1, 1, n), torch.zeros(1, 1, k)
        size = F.conv1d(row, kernel, stride=stride, padding=padding).shape[-1]
        cases.append(((n, k, stride, padding), size))
    return check(answer, cases, f"Equal to PyTorch in all {len(cases)} cases tried.")


def check_convolve(answer: Callable[..., Any]) -> Verdict:
    """``answer(image, kernel)`` -> valid cross-correlation of two matrices, as networks use it."""
    draw = torch.Generator().manual_seed(0)
    cases = []
    for h, w, a, b in ((4, 4, 3, 3), (5, 7, 3, 2), (6, 6, 1, 1), (8, 5, 2, 5)):
        image = torch.randn(h, w, generator=draw)
        kernel = torch.randn(a, b, generator=draw)
        expected = F.conv2d(image[None, None], kernel[None, None])[0, 0]
        cases.append(((image, kernel), expected))
    return check(answer, cases, "Equal to torch's convolution for four shapes.")


def check_subsample(answer: Callable[..., Any]) -> Verdict:
    """``answer(maps, coefficient, bias)`` -> LeNet's subsampling before the squashing function.

    Maps are (channels, height, width), coefficient and bias (channels,); the result has half the
    height and width.
    """
    draw = torch.Generator().manual_seed(1)
    cases = []
    for channels, height, width in ((1, 2, 2), (6, 4, 4), (3, 6, 8)):
        maps = torch.randn(channels, height, width, generator=draw)
        coefficient = torch.randn(channels, generator=draw)
        bias = torch.randn(channels, generator=draw)
        patches = maps.reshape(channels, height // 2, 2, width // 2, 2).sum((2, 4))
        cases.append(
            ((maps, coefficient, bias), patches * coefficient[:, None, None] + bias[:, None, None])
        )
    return check(answer, cases, "That is the layer of the paper: a sum, a weight, a bias.")


def check_conv_parameters(answer: Callable[..., Any]) -> Verdict:
    """``answer(in_channels, out_channels, k)`` -> trainable numbers of a convolution with bias."""
    cases = []
    for i, o, k in ((1, 6, 5), (6, 16, 5), (16, 120, 5), (3, 64, 3), (64, 64, 1)):
        conv = torch.nn.Conv2d(i, o, k, device="meta")
        cases.append(((i, o, k), sum(p.numel() for p in conv.parameters())))
    return check(answer, cases, "The count does not depend on the size of the image.")
