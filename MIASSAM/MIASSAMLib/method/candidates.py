"""Candidate masks of one cluster, and the choice among them.

Prompts: the cluster's center of gravity alone, with negative points beside it, and with a box; and the center of
gravity again in closer looks. Each gives three masks. The best goes back into the decoder as a mask prompt for as
long as that makes it better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import MAP_PX, Config, MaskChoice, PromptKind
from ..protocols import Prompts, SamModel
from ..volume.slice_image import frame_to_native, map_to_frame_xy, native_to_map, render_raster
from .evidence import Evidence, Witness
from .placing import cluster_box, cluster_point, quiet_points
from .prepare import PreparedVolume
from .results import Finding
from .view import View, closer_views, whole_view

if TYPE_CHECKING:
    import torch

LEAST_INSIDE = 0.4
"""A mask of which less lies on or near the cluster is not believed; then the cluster is the segmentation."""


@dataclass(frozen=True)
class ClusterOnSlice:
    """A cluster and all that is known about its slice.

    Attributes:
        index: slice index.
        values: the map (256, 256).
        cluster: bool (256, 256).
        level: the cluster-forming level.
        embedding: image embedding of the slice (256, 64, 64).
        prepared: the volume.
    """

    index: int
    values: FloatArray
    cluster: BoolArray
    level: float
    embedding: torch.Tensor
    prepared: PreparedVolume

    @cached_property
    def native_cluster(self) -> BoolArray:
        """The cluster in native pixels, bool (H, W)."""
        signed = np.where(self.cluster, 1, -1).astype(np.float32)
        return np.asarray(frame_to_native(signed, self.prepared.frame) > 0)


@dataclass(frozen=True)
class Candidate:
    """One mask of one prompt in one look.

    Attributes:
        logits: (256, 256) in the look's frame.
        mask: bool (H, W), native.
        predicted_iou: SAM's estimate.
        prompt: what was asked, in words.
        mask_index: "1", "2", "3", or "map".
        view: the look.
        evidence: what speaks for it.
    """

    logits: FloatArray
    mask: BoolArray
    predicted_iou: float
    prompt: str
    mask_index: str
    view: View
    evidence: Evidence = Evidence(0.0, 0.0, 0.0, 0.0, 0.0)


def outline(model: SamModel, found: ClusterOnSlice, config: Config, prompt: PromptKind, mask: MaskChoice) -> Finding:
    """Outline one cluster: decode its candidates, choose one, improve it, or fall back to the map itself."""
    point = np.asarray(map_to_frame_xy(cluster_point(found.values, found.cluster, found.level, prompt)))
    candidates = _candidates(model, found, point, config, prompt)
    witness = _witness(found, candidates, is_sharp=bool(config.contrast))
    if config.contrast:
        candidates.append(_map_outline(candidates[0], found))
    judged = [_judged(item, witness, found) for item in candidates]
    best = max((c for c in judged if mask in ("auto", c.mask_index)), key=lambda item: item.evidence.score)
    why = _ranking(judged)
    same_prompt = [item for item in judged if item.prompt == (best.prompt if best.mask_index != "map" else "point")]
    if mask == "auto" and best.mask_index != "map":
        best = _fed_back(model, best, witness, found, point, config.feedback_rounds)
        if best.evidence.inside < LEAST_INSIDE:
            best = _map_outline(best, found)
            why = ("no SAM mask agreed with the map: the map's own outline was taken", *why)
    return _finding(best, same_prompt, point, prompt, why, found)


def _candidates(
    model: SamModel, found: ClusterOnSlice, point: AnyArray, config: Config, prompt: PromptKind
) -> list[Candidate]:
    """Decode every prompt of a cluster in every look; `point` in px of the slice's 1024 frame."""
    whole = whole_view(found.prepared.frame, found.embedding)
    box = cluster_box(found.values, found.cluster, found.level)
    by_box = Prompts(point.reshape(1, 1, 2).astype(np.float32), np.ones((1, 1), np.int64), box)
    candidates = _asked(model, whole, by_box, ("point and box",))
    if prompt == "box":
        return candidates
    negatives = quiet_points(found.values, found.cluster, point)
    points = np.concatenate([point[None], negatives]).astype(np.float32)
    labels = np.array([1] + [0] * len(negatives))
    alone = np.where(np.arange(len(labels)) == 0, 1, -1)
    by_points = Prompts(np.stack([points, points]), np.stack([alone, labels]))
    candidates = _asked(model, whole, by_points, ("point", "point and negatives")) + candidates
    native_point = found.prepared.frame.to_native_xy(point)
    for view in closer_views(model, found.prepared.pixels(found.index), found.native_cluster, config):
        placed = np.asarray(view.to_frame_xy(native_point), np.float32).reshape(1, 1, 2)
        candidates += _asked(model, view, Prompts(placed, np.ones((1, 1), np.int64)), (f"{view.name}point",))
    return candidates


def _asked(model: SamModel, view: View, prompts: Prompts, names: Sequence[str]) -> list[Candidate]:
    decoded = model.decode(view.embedding, prompts)
    found = []
    for row, name in enumerate(names):
        for column in range(3):
            logits, iou = decoded.low_res_logits[row, column], float(decoded.predicted_iou[row, column])
            found.append(Candidate(logits, view.native_mask(logits), iou, name, str(column + 1), view))
    return found


def _on_map(mask: BoolArray, found: ClusterOnSlice) -> BoolArray:
    return np.asarray(native_to_map(mask, found.prepared.frame) > 0.5)


def _witness(found: ClusterOnSlice, candidates: Sequence[Candidate], is_sharp: bool) -> Witness:
    """Gather what candidates are judged by; the third masks (the lesion's) and the map stand for the consensus."""
    raster = render_raster(found.prepared.pixels(found.index), found.prepared.frame, MAP_PX)
    thirds = [keep_touching(_on_map(item.mask, found), found.cluster) for item in candidates if item.mask_index == "3"]
    return Witness(raster, found.values, found.cluster, (*thirds, found.cluster), is_sharp)


def _judged(candidate: Candidate, witness: Witness, found: ClusterOnSlice) -> Candidate:
    """Return a candidate without what does not touch the cluster, and with what speaks for it."""
    mask = keep_touching(candidate.mask, found.native_cluster)
    return replace(candidate, mask=mask, evidence=witness.judge(_on_map(mask, found)))


def _fed_back(
    model: SamModel, best: Candidate, witness: Witness, found: ClusterOnSlice, point: AnyArray, rounds: int
) -> Candidate:
    """Feed the best candidate's logits back with its point; each round counts only if the score rises."""
    native = found.prepared.frame.to_native_xy(point)
    placed = np.asarray(best.view.to_frame_xy(native), np.float32).reshape(1, 1, 2)
    for number in range(1, rounds + 1):
        prompts = Prompts(placed, np.ones((1, 1), np.int64), mask_logits=best.logits[None])
        name = f"{best.view.name}point and mask, round {number}"
        again = [_judged(item, witness, found) for item in _asked(model, best.view, prompts, (name,))]
        better = max(again, key=lambda item: item.evidence.score)
        if better.evidence.score <= best.evidence.score:
            break
        best = better
    return best


def keep_touching(mask: BoolArray, cluster: BoolArray) -> BoolArray:
    """Return a mask without the parts that do not touch the cluster: specks and other organs."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    touching = np.zeros(count + 1, bool)
    touching[np.unique(parts[cluster])] = True
    touching[0] = False
    return np.asarray(touching[parts])


def _ranking(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the four best candidates in words, for the report."""
    return tuple(
        f"{item.prompt}, mask {item.mask_index}: score {item.evidence.score:.2f} (agreement with the map "
        f"{item.evidence.agreement:.2f}, with other candidates {item.evidence.consensus:.2f}, contrast "
        f"{item.evidence.contrast:.2f}), predicted IoU {item.predicted_iou:.2f}"
        for item in sorted(candidates, key=lambda item: -item.evidence.score)[:4]
    )


def _map_outline(best: Candidate, found: ClusterOnSlice) -> Candidate:
    """Return the cluster itself as the mask, in place of a candidate that disagrees with the map."""
    logits = np.where(found.cluster, found.values - found.level, -1.0).astype(np.float32)
    mask = np.asarray(frame_to_native(logits, found.prepared.frame) > 0)
    whole = whole_view(found.prepared.frame, found.embedding)
    return replace(best, logits=logits, mask=mask, prompt="map", mask_index="map", view=whole)


def _finding(
    best: Candidate,
    same_prompt: Sequence[Candidate],
    point: AnyArray,
    prompt: PromptKind,
    why: tuple[str, ...],
    found: ClusterOnSlice,
) -> Finding:
    xy = found.prepared.frame.to_native_xy(point)
    pixel_mm2 = found.prepared.plane.pixel_mm2
    return Finding(
        mask=best.mask,
        cog_xy=(float(xy[0]), float(xy[1])),
        point_frame_xy=(float(point[0]), float(point[1])),
        mask_index=best.mask_index,
        prompt=prompt,
        predicted_iou=best.predicted_iou,
        area_mm2=float(best.mask.sum()) * pixel_mm2,
        areas_mm2=tuple(float(item.mask.sum()) * pixel_mm2 for item in same_prompt),
        predicted_ious=tuple(item.predicted_iou for item in same_prompt),
        score=float(found.values[found.cluster].max()),
        agreement=best.evidence.agreement,
        why=why,
    )
