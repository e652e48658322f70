"""Grad-CAM: which places of a layer's maps speak for a class.

R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh, D. Batra, ICCV 2017; arXiv:1610.02391.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.models.layers import evaluation_mode

from .asking import catching, check_batch, picked, scores_of


def grad_cam(model: nn.Module, layer: str, images: Tensor, target: int | Tensor) -> Tensor:
    """The maps of a layer, added up with weights that say how much each raises a class's score.

    The weight of a map is the mean of the score's gradient over the map (their equation 1); of the
    sum only what is positive is kept (equation 2).

    Args:
        model: a network that returns scores (N, classes).
        layer: whose output are maps (N, K, h, w); usually the last convolution.
        images: (N, C, H, W).
        target: a class, or (N,) one for each image.

    Returns:
        (N, h, w), at least 0. ``F.interpolate`` brings it to the size of the images.

    Raises:
        ValueError, TypeError: arguments that do not fit this description, a layer that was not run
            or whose output are no maps.
    """
    check_batch(images)
    caught: list[Tensor] = []

    def keep(maps: Tensor) -> Tensor:
        if maps.ndim != 4:
            raise ValueError(
                f"Grad-CAM needs maps (N, K, h, w); layer {layer!r} gives {tuple(maps.shape)}"
            )
        # The backward pass ends here, whether or not the weights want gradients.
        caught.append(maps.detach().requires_grad_())
        return caught[-1].clone()

    with torch.enable_grad(), evaluation_mode(model), catching(model, layer, keep):
        score = picked(scores_of(model, images.detach()), target).sum()
    if len(caught) != 1:
        raise ValueError(f"layer {layer!r} ran {len(caught)} times for one batch, expected once")
    (maps,) = caught
    (slopes,) = torch.autograd.grad(score, maps)
    weights = slopes.mean((2, 3), keepdim=True)  # (N, K, 1, 1)
    return F.relu((weights * maps.detach()).sum(1))
