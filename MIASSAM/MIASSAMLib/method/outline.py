"""Outline one thing on one slice: what the map shows, or what the user points at, by one and the same function.

Prompts: the point alone, with negative points beside the cluster, and with a box; and the point again in closer looks.
Each gives three masks. What speaks for each is weighed (`evidence`), and a point weighs most: a mask that leaves it
out, or that covers a point outside, is taken only when all do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from ..arrays import BoolArray, DoubleArray, FloatArray
from ..config import MAP_PX, MaskChoice, RefinedConfig
from ..protocols import Prompts, SamModel
from ..volume.slice_image import frame_to_native, native_to_map, render_raster
from .evidence import Evidence, Witness
from .prepare import PreparedVolume
from .prompts import UserPrompts, bounded, quiet_points
from .results import Finding
from .view import View, Window, closer_windows, encode_windows, native_windows, whole_view

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Target:
    """What is to be outlined on one slice, and all that is known about the slice.

    Attributes:
        index: slice index.
        points: where to ask, native pixels; with a box where there is one.
        kind: "cog", "max" or "box" for the map's own point, "user" for the user's.
        is_box_only: ask by the box alone.
        values: the map (256, 256); zero where there is none.
        cluster: the part of the map it belongs to, bool (256, 256), or None.
        level: the cluster-forming level.
        is_sharp: the map is about as sharp as the image, so that it shows the shape of what it shows.
        embedding: image embedding of the slice (256, 64, 64).
        prepared: the volume.
    """

    index: int
    points: UserPrompts
    kind: str
    is_box_only: bool
    values: FloatArray
    cluster: BoolArray | None
    level: float
    is_sharp: bool
    embedding: torch.Tensor
    prepared: PreparedVolume

    @classmethod
    def at(cls, prepared: PreparedVolume, index: int, points: UserPrompts, embedding: torch.Tensor) -> Target:
        """Return what points alone ask for on a slice whose embedding is known."""
        nothing = np.zeros((MAP_PX, MAP_PX), np.float32)
        return cls(index, points, "user", not len(points.inside), nothing, None, 0.0, False, embedding, prepared)

    @property
    def pixels(self) -> FloatArray:
        """The windowed slice (H, W)."""
        return self.prepared.pixels(self.index)

    @cached_property
    def native_cluster(self) -> BoolArray:
        """The cluster in native pixels, bool (H, W)."""
        if self.cluster is None:
            return np.zeros(self.prepared.plane.shape_yx, bool)
        signed = np.where(self.cluster, 1, -1).astype(np.float32)
        return np.asarray(frame_to_native(signed, self.prepared.frame) > 0)

    @cached_property
    def anchor(self) -> BoolArray:
        """What a mask must touch, bool (H, W): the cluster and the points inside, or all that lies in the box."""
        anchor = self.native_cluster.copy()
        columns, rows = np.round(self.points.inside).astype(int).T
        anchor[rows, columns] = True
        return anchor if anchor.any() else np.ones_like(anchor)


@dataclass(frozen=True)
class Candidate:
    """One mask of one prompt in one look.

    Attributes:
        mask: bool (H, W), native.
        predicted_iou: SAM's estimate.
        prompt: what was asked, in words.
        mask_index: "1", "2", "3", or "map".
        evidence: what speaks for it.
        obeyed: share of the points that lie on their side of it.
    """

    mask: BoolArray
    predicted_iou: float
    prompt: str
    mask_index: str
    evidence: Evidence = field(default_factory=Evidence.none)
    obeyed: float = 1.0

    @property
    def rank(self) -> tuple[float, float]:
        """Points first, then the evidence."""
        return self.obeyed, self.evidence.score


def outline(model: SamModel, targets: Sequence[Target], config: RefinedConfig, mask: MaskChoice) -> list[Finding]:
    """Outline targets on one slice: decode the candidates of each, choose one, or fall back to the map itself."""
    decoded = candidates_of(model, targets, config)
    return [choose(found, target, config, mask) for found, target in zip(decoded, targets, strict=True)]


def candidates_of(model: SamModel, targets: Sequence[Target], config: RefinedConfig) -> list[list[Candidate]]:
    """Decode every prompt of each target of one slice in every look."""
    if not targets:
        return []
    pixels = targets[0].pixels
    windows = [_windows(target, pixels, model.input_px, config) for target in targets]
    views = iter(encode_windows(model, pixels, [window for each in windows for window in each]))
    return [
        _candidates(model, target, [next(views) for _ in own], config)
        for target, own in zip(targets, windows, strict=True)
    ]


def _windows(target: Target, pixels: FloatArray, seen_px: int, config: RefinedConfig) -> list[Window]:
    if target.is_box_only:
        return []
    shape_yx = (pixels.shape[0], pixels.shape[1])
    if target.cluster is None:
        return native_windows(shape_yx, target.points.shown_xy, seen_px, config)
    return closer_windows(shape_yx, target.native_cluster, config)


def _candidates(model: SamModel, target: Target, closer: Iterable[View], config: RefinedConfig) -> list[Candidate]:
    """Decode every prompt of a target in every look."""
    whole = whole_view(target.prepared.frame, target.embedding)
    found: list[Candidate] = []
    points = _seen(target.points, whole)
    if not target.is_box_only:
        asked = {"point": points}
        if target.cluster is not None:
            at = (points.inside[0] + 0.5) / 4 - 0.5
            quiet = quiet_points(target.values, target.cluster, at, config)
            asked["point and negatives"] = _with_outside(points, quiet)
        found += _asked(model, whole, asked, None)
    box = target.points.frame_box(target.prepared.frame)
    if box is not None and _all_in_box(points.inside, box[0]):
        found += _asked(model, whole, {"point and box": points}, box)
    for view in closer:
        seen = _seen(target.points, view)
        if len(seen.inside):
            found += _asked(model, view, {f"{view.name}point": seen}, None)
    return found


def _seen(points: UserPrompts, view: View) -> UserPrompts:
    """Return the points that lie within a look, in px of its 1024 frame."""
    rows, columns = view.window.frame.shape_yx
    native = points.xy - view.window.corner_yx[::-1]
    is_seen = (native > -0.5).all(1) & (native[:, 0] < columns - 0.5) & (native[:, 1] < rows - 0.5)
    return UserPrompts(view.to_frame_xy(points.xy)[is_seen], points.labels[is_seen])


def _with_outside(points: UserPrompts, outside: FloatArray) -> UserPrompts:
    return UserPrompts(
        np.concatenate([points.xy, outside]), np.concatenate([points.labels, np.zeros(len(outside), np.int64)])
    )


def _all_in_box(points: DoubleArray, box: FloatArray) -> bool:
    return bool(((points >= box[:2] - 0.5) & (points <= box[2:] + 0.5)).all())


def _asked(model: SamModel, view: View, asked: dict[str, UserPrompts], box: FloatArray | None) -> list[Candidate]:
    """Decode prompts in one call; shorter lists of points are padded."""
    longest = max(1, *(len(points.labels) for points in asked.values()))
    xy = np.zeros((len(asked), longest, 2), np.float32)
    labels = np.full((len(asked), longest), -1, np.int64)
    for row, points in enumerate(asked.values()):
        xy[row, : len(points.labels)], labels[row, : len(points.labels)] = points.xy, points.labels
    decoded = model.decode(view.embedding, Prompts(xy, labels, box))
    return [
        Candidate(view.native_mask(logits), float(iou), name, str(column + 1))
        for name, masks, ious in zip(asked, decoded.low_res_logits, decoded.predicted_iou, strict=True)
        for column, (logits, iou) in enumerate(zip(masks, ious, strict=True))
    ]


def choose(candidates: list[Candidate], target: Target, config: RefinedConfig, mask: MaskChoice) -> Finding:
    """Weigh the candidates and describe the best."""
    frame = target.prepared.frame
    raster = render_raster(target.pixels, frame, MAP_PX)
    if target.is_sharp and target.cluster is not None:
        candidates = [*candidates, _map_outline(target)]
    kept = [replace(one, mask=_kept(one.mask, target, config)) for one in candidates]
    on_map = [np.asarray(native_to_map(one.mask, frame) > 0.5) for one in kept]
    thirds = [number for number, one in enumerate(kept) if one.mask_index == "3"]
    cluster = () if target.cluster is None else (target.cluster,)
    others = (*(on_map[n] for n in thirds), *cluster)
    witness = Witness(raster, target.values, target.cluster, others, config, target.is_sharp)
    judged = [
        replace(one, evidence=witness.judge(on_map[number], thirds.index(number) if number in thirds else None),
                obeyed=_obeyed(one.mask, target.points))
        for number, one in enumerate(kept)
    ]  # fmt: skip
    best = max((one for one in judged if mask in ("auto", one.mask_index)), key=lambda one: one.rank)
    why = _ranking(judged)
    same_prompt = [one for one in judged if one.prompt == (best.prompt if best.mask_index != "map" else "point")]
    if mask == "auto" and target.cluster is not None and best.evidence.inside < config.least_inside:
        own = _map_outline(target)
        if _obeyed(own.mask, target.points) >= best.obeyed:
            best = replace(own, predicted_iou=best.predicted_iou, evidence=best.evidence)
            why = ("no SAM mask agreed with the map: the map's own outline was taken", *why)
    return _finding(best, same_prompt, why, target)


def _obeyed(mask: BoolArray, points: UserPrompts) -> float:
    """Return the share of points that lie on their side of a mask."""
    if not len(points.labels):
        return 1.0
    columns, rows = np.round(points.xy).astype(int).T
    return float((mask[rows, columns] == (points.labels == 1)).mean())


def _kept(mask: BoolArray, target: Target, config: RefinedConfig) -> BoolArray:
    """Return what of a mask lies in the region and is no speck."""
    inside = target.points.inside
    mask = bounded(mask, target.prepared.region(target.index), inside, target.kind)
    return keep_parts(mask, target.anchor, inside, config.least_part)


def keep_parts(mask: BoolArray, anchor: BoolArray, inside_xy: DoubleArray, least_part: float) -> BoolArray:
    """Return a mask without the parts that do not touch the anchor, and without specks beside its largest part."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    touching = np.zeros(count + 1, bool)
    touching[np.unique(parts[anchor])] = True
    touching[0] = False
    sizes = np.where(touching, np.bincount(parts.ravel()), 0)
    kept = sizes >= max(1.0, least_part * sizes.max())
    columns, rows = np.round(inside_xy).astype(int).T
    kept[parts[rows, columns]] = True  # a part that was pointed at is no speck
    kept[0] = False
    return np.asarray(kept[parts])


def _ranking(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the four best candidates in words, for the report."""
    return tuple(
        f"{one.prompt}, mask {one.mask_index}: score {one.evidence.score:.2f} (agreement with the map "
        f"{one.evidence.agreement:.2f}, with other candidates {one.evidence.consensus:.2f}, contrast "
        f"{one.evidence.contrast:.2f}), predicted IoU {one.predicted_iou:.2f}"
        for one in sorted(candidates, key=lambda one: one.rank, reverse=True)[:4]
    )


def _map_outline(target: Target) -> Candidate:
    """Return the cluster itself as the mask, in place of a candidate that disagrees with the map."""
    assert target.cluster is not None
    above = np.where(target.cluster, target.values - target.level, -1.0).astype(np.float32)
    mask = np.asarray(frame_to_native(above, target.prepared.frame) > 0) & target.prepared.region(target.index)
    return Candidate(mask, 0.0, "map", "map")


def _finding(best: Candidate, same_prompt: Sequence[Candidate], why: tuple[str, ...], target: Target) -> Finding:
    pixel_mm2 = target.prepared.plane.pixel_mm2
    shown = target.points.shown_xy
    on_map = native_to_map(best.mask, target.prepared.frame) > 0.5
    return Finding(
        mask=best.mask,
        cog_xy=(float(shown[0]), float(shown[1])),
        mask_index=best.mask_index,
        prompt=target.kind,
        predicted_iou=best.predicted_iou,
        area_mm2=float(best.mask.sum()) * pixel_mm2,
        areas_mm2=tuple(float(one.mask.sum()) * pixel_mm2 for one in same_prompt),
        predicted_ious=tuple(one.predicted_iou for one in same_prompt),
        score=float(target.values[on_map].max(initial=0.0)),
        agreement=None if target.cluster is None else best.evidence.agreement,
        why=why,
    )
