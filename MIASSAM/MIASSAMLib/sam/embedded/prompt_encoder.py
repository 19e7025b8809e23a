"""segment_anything's prompt encoder, with the clicks and the box drawn into the dense embedding as well."""

import torch
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn

BUMP_SIGMAS_PX = (16.0, 48.0, 144.0)
BOX_EDGE_PX = 16.0
PAD, NEGATIVE, POSITIVE, BOX_FIRST, BOX_SECOND = -1, 0, 1, 2, 3


class ClickPromptEncoder(PromptEncoder):  # type: ignore[misc]
    """Add Gaussian bumps at the clicks and a soft box to SAM's dense embedding.

    A small model trained from scratch on the sparse tokens alone predicts empty masks for a long time; the bumps give
    the decoder the place of the click from the first step. A mask prompt adds to the no-mask embedding rather than
    replacing it, so that a mask that says nothing changes nothing.
    """

    def __init__(self) -> None:
        super().__init__(256, (64, 64), (1024, 1024), 16)
        self.click = nn.Linear(2 * len(BUMP_SIGMAS_PX) + 1, 256, bias=False)
        nn.init.normal_(self.click.weight, std=0.5)
        nn.init.zeros_(self.mask_downscaling[-1].weight)
        nn.init.zeros_(self.mask_downscaling[-1].bias)

    def forward(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Embed prompts as segment_anything does: sparse (P, T, 256) and dense (P, 256, 64, 64)."""
        if points is None and boxes is None and masks is not None:
            nowhere = torch.zeros((len(masks), 1, 2), device=self._get_device())
            points = nowhere, torch.full((len(masks), 1), PAD, device=self._get_device())
        coords, labels = self.as_corners(points, boxes)
        return self.sparse(coords, labels), self.dense(coords, labels, masks, self.image_embedding_size)

    def as_corners(self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None) -> tuple[Tensor, Tensor]:
        """Lay points and boxes out as one list of labeled positions (P, T, 2), (P, T) in frame px."""
        device = self._get_device()
        coords, labels = [], []
        if points is not None:
            coords.append(points[0].float())
            labels.append(points[1].long())
            if boxes is None:
                coords.append(torch.zeros((len(points[0]), 1, 2), device=device))
                labels.append(torch.full((len(points[0]), 1), PAD, device=device))
        if boxes is not None:
            corners = boxes.float().reshape(-1, 2, 2)
            coords.append(corners)
            labels.append(torch.tensor([[BOX_FIRST, BOX_SECOND]], device=device).expand(len(corners), 2))
        if not coords:
            return torch.zeros((1, 1, 2), device=device), torch.full((1, 1), PAD, device=device)
        return torch.cat(coords, 1), torch.cat(labels, 1)

    def sparse(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Embed labeled positions (P, T, 2), (P, T) as tokens (P, T, 256)."""
        places = self.pe_layer.forward_with_coords(coords + 0.5, self.input_image_size)
        kinds = torch.cat([kind.weight for kind in self.point_embeddings])[labels.clamp(min=0)]
        return torch.where((labels == PAD)[..., None], self.not_a_point_embed.weight, places + kinds)

    def dense(self, coords: Tensor, labels: Tensor, masks: Tensor | None, grid: tuple[int, int]) -> Tensor:
        """Draw the prompts into a map (P, 256, h, w); `masks` are low-res logits (P, 1, 4h, 4w) or None."""
        dense: Tensor = self.click(self._bumps(coords, labels, grid)) + self.no_mask_embed.weight[0]
        dense = dense.permute(0, 3, 1, 2)
        return dense if masks is None else dense + self._embed_masks(masks.clamp(-32, 32))

    def _bumps(self, coords: Tensor, labels: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return (P, h, w, 7): bumps of positive clicks, of negative clicks at three widths, and the soft box."""
        to_x, to_y = (self._offsets(coords[..., axis], grid[1 - axis]) for axis in (0, 1))
        maps = []
        for label in (POSITIVE, NEGATIVE):
            chosen = (labels == label).to(coords.dtype)
            for sigma in BUMP_SIGMAS_PX:
                bump_x, bump_y = torch.exp(-0.5 * (to_x / sigma) ** 2), torch.exp(-0.5 * (to_y / sigma) ** 2)
                maps.append(torch.einsum("pt,pth,ptw->phw", chosen, bump_y, bump_x))
        inside_x, inside_y = self._between(to_x, labels), self._between(to_y, labels)
        maps.append(inside_y[:, :, None] * inside_x[:, None, :])
        return torch.stack(maps, -1)

    def _offsets(self, positions: Tensor, cells: int) -> Tensor:
        """Return cell centre minus position (P, T, cells) in frame px."""
        size: float = self.input_image_size[0] / cells
        centers = (torch.arange(cells, device=positions.device, dtype=positions.dtype) + 0.5) * size
        offsets: Tensor = centers - (positions[..., None] + 0.5)
        return offsets

    def _between(self, offsets: Tensor, labels: Tensor) -> Tensor:
        """Return how far inside the box a column or row lies (P, cells), 0 to 1; zero without a box."""
        rise = torch.sigmoid(offsets / BOX_EDGE_PX)
        first = (labels == BOX_FIRST).to(rise.dtype)
        second = (labels == BOX_SECOND).to(rise.dtype)
        return torch.einsum("pt,ptn->pn", first, rise) * torch.einsum("pt,ptn->pn", second, 1 - rise)
