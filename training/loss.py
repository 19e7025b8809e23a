"""What the network is asked to get right: four masks, their IoU with the finest object, and the grey values."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MASK_WEIGHTS = (0.4, 0.3, 0.4, 1.6)
TARGET_OF_MASK = (2, 0, 1, 2)
GREY_SIGMAS_PX = (1.0, 2.0, 4.0, 8.0)
SPREAD_SIGMAS_PX = (2.0, 4.0)
GREY_GAIN = 0.3


def mask_loss(logits: Tensor, predicted_iou: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Score four masks against organ, region and finest object.

    Each output has a fixed meaning, so SAM's minimum over outputs is not needed. Every IoU is predicted against the
    FINEST object, so that the surest mask is the lesion, not the organ round it.

    Args:
        logits: (N, 4, S, S); 0 and 3 the finest object, 1 the organ, 2 the region.
        predicted_iou: (N, 4).
        targets: (N, 3, S, S), 0 to 1: organ, region, finest.

    Returns:
        The loss, and each mask's IoU with its own target (N, 4).
    """
    goal = targets[:, list(TARGET_OF_MASK)].flatten(2)
    flat = logits.flatten(2).float()
    chance = torch.sigmoid(flat)
    cross = F.binary_cross_entropy_with_logits(flat, goal, reduction="none")
    missed = chance + goal - 2 * chance * goal
    area = goal.mean(-1)
    focal = (cross * missed**2).mean(-1) / (area.clamp(0.004, 0.25) * 4).sqrt()
    dice = 1 - (2 * (chance * goal).sum(-1) + 1) / (chance.sum(-1) + goal.sum(-1) + 1)
    per_mask = (4 * focal + dice) * torch.tensor(MASK_WEIGHTS, device=logits.device)
    with torch.no_grad():
        own_iou = iou(flat > 0, goal > 0.5)
        finest_iou = iou(flat > 0, goal[:, 3:] > 0.5)
    guess = F.mse_loss(predicted_iou.float(), finest_iou)
    return per_mask.sum(1).mean() + 2 * guess, own_iou


def iou(masks: Tensor, targets: Tensor) -> Tensor:
    """Return intersection over union along the last axis of bool tensors."""
    return (masks & targets).sum(-1).float() / (masks | targets).sum(-1).float().clamp(min=1)


class GreyHead(nn.Module):
    """Read six local grey statistics off the embedding, by unit directions of fixed gain.

    Segmentation alone lets the embedding forget how bright tissue is, which is what makes much of it unusual. Unit
    directions keep the head from blowing a faint trace up: the statistics must take a real share of the embedding.
    """

    def __init__(self) -> None:
        super().__init__()
        n_statistics = len(GREY_SIGMAS_PX) + len(SPREAD_SIGMAS_PX)
        self.directions = nn.Parameter(torch.randn(n_statistics, 256))
        self.offset = nn.Parameter(torch.zeros(n_statistics))

    def forward(self, embedding: Tensor) -> Tensor:
        """Return statistics (B, 6, h, w) of an embedding (B, 256, h, w)."""
        directions = GREY_GAIN * F.normalize(self.directions, dim=1)
        return F.conv2d(embedding.float(), directions[:, :, None, None], self.offset)


def grey_loss(predicted: Tensor, rasters: Tensor) -> Tensor:
    """Score predicted statistics (B, 6, S/4, S/4) against those of the rasters (B, 1, S, S)."""
    return F.smooth_l1_loss(predicted, grey_statistics(rasters), beta=0.2)


def grey_statistics(rasters: Tensor) -> Tensor:
    """Measure means and spreads at several widths, scaled to about unit range; (B, 6, S/4, S/4)."""
    scale = rasters.shape[-1] / 256
    means = [4 * gaussian(rasters, sigma * scale) - 1 for sigma in GREY_SIGMAS_PX]
    spreads = []
    for sigma in SPREAD_SIGMAS_PX:
        mean = gaussian(rasters, sigma * scale)
        square = gaussian(rasters**2, sigma * scale)
        spreads.append(10 * (square - mean**2).clamp(min=0).sqrt() - 1)
    return F.avg_pool2d(torch.cat([*means, *spreads], 1), 4)


def gaussian(images: Tensor, sigma_px: float) -> Tensor:
    """Blur (B, 1, S, S) with a Gaussian, edges repeated."""
    reach = max(1, round(3 * sigma_px))
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    images = F.conv2d(F.pad(images, (reach, reach, 0, 0), mode="replicate"), kernel)
    return F.conv2d(F.pad(images, (0, 0, reach, reach), mode="replicate"), kernel.transpose(2, 3))
