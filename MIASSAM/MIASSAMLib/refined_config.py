"""The config of the calibrated way, `refined`, and of its way without a bank: every number, as data; see `config`."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from .base_config import Config, Contrast, MaskChoice, PerPosition
from .errors import UsageError


@dataclasses.dataclass(frozen=True)
class RefinedConfig(Config):
    """What only the calibrated way has: clusters of a z-map, lesions in 3-D, candidates weighed by evidence.

    Features and their calibration on held-out normal slices:
        place_weight: weight of a patch's place in the foreground box among its intensity features.
        intensity_means_px, intensity_spreads_px: sigmas of the intensity statistics, px of the 256 map.
        fusion_weights: weight of each kind's z score in the map.
        per_position: calibrate each place of the foreground by itself: off, on, or where it predicts normal
            volumes better (auto), which takes at least per_position_volumes of them.
        contrast: what the map shows. "" leaves it to the modality: features, and in OCT pockets of fluid, too
            (docs/adr/0006); "features" these alone; "flair" brightness, where lesions are bright.
        fluid_light: pockets are told by light between these, 0 = vitreous, 1 = bright layers: deep shadow is no darker
            than fluid, and a deposit no brighter a wall than a layer.
        fluid_noise, fluid_bright: signal (1 = the retina's 99th percentile) added before its log, near the noise of a
            scanner, and the percentile of the retina that counts as its bright layers.
        fluid_shade: shadows: columns of a neighborhood, and its percentile that a column lacks light beside.
        fluid_walls: twice smoothing and how far the tissue around may be, px of a B-scan of about 248 rows.
        fluid_smooth: smoothing before darkness is measured, and of the whole map, the same px.
        fluid_low_um, fluid_low_weight: below this height above the pigment epithelium a pocket counts this much.
        fluid_share: where features and fluid count (OCT), the share of the false alarms that fluid may make.
        brightness_sigma_px: smoothing of that map, px of the 256 map.
        held_out_slices: how many slices of a build are held out.
        held_out_gap: in a bank of one volume a held-out slice is compared with slices more than this far away.
        scale_width_cells: Gaussian width of the scale by place, along the slice axis and in the plane, in its cells.
        scale_prior: how many mean cells' worth of patches the pooled scale counts for in each place.
        scale_least_spread: no place's spread is smaller than this share of the pooled one.
        tail_quantile: beyond this quantile of normal clusters the tail is an exponential of their logarithms.
        depth_sigma, depth_least_weight: a cluster is compared with slices of its own depth (share of the patient's
            extent) with Gaussian weights, others count this much.
        level_quantile: the cluster-forming level exceeds this share of normal tissue.
        axis_sigma_mm: Gaussian smoothing of maps along the slice axis; 0 = none.

    Without a bank, a volume beside itself (own_volume.py):
        own_level: the cluster-forming level, in the volume's own standard deviations.
        own_smooth_cells: Gaussian smoothing of the map, in cells of 4 px of the 256 map.
        own_apart_mm: slices about this far apart are looked at.
        own_near: the most similar place is sought this near to the mirrored one, mm across slices and cells in them.
        own_sample: places drawn of the volume, and of its usual part, to compare with.
        own_first_cells: smoothing of the first opinion of what is usual, in cells.
        own_rare_share: a place is rare when this share of the volume's tissue lies far from it.
        own_common_share: this share of the volume, the most usual, is what all of it is compared with.
        own_decay: a cluster's height above the level counts as a tail of exp(-own_decay * height): by it no cluster of
            normal phantoms (at most 2.53 high) seeds a lesion in a whole head at the usual sensitivity.
        own_least_mm2: clusters smaller than this seed nothing.

    Lesions (docs/adr/0001):
        grow_tail: a cluster belongs to a lesion it overlaps when at most this share of normal slices has one as heavy.
        independent_mm: slices this far apart count as independent looks at the volume.
        independent_bscan_mm: the same for B-scans of OCT, a hundred times finer than a body.

    Outlines of a cluster (docs/adr/0005):
        zoom: a cluster is looked at again in windows this many times as wide as it is.
        window_least_px: side of the smallest window, native px: less shows nothing but interpolation.
        native_windows: where the slice has more pixels than the model sees, a user's point beside every cluster is
            looked at in windows of these shares of the pixels the model sees.
        window_share: a window larger than this share of the slice is no closer look.
        ring_px: negative points lie between these distances from the cluster, px of the 256 map.
        ring_quiet: and where the map is below this many standard deviations.
        near_px: how far beside the cluster a mask still lies near it, px of the 256 map.
        rim_px: width of the rim a mask is compared with, px of the 256 map.
        shape_px: a cluster this wide is much wider than the map's blur, so that agreement counts in full.
        least_part: parts of a mask smaller than this share of its largest are specks and left out.
        reach_px: a user's point this near to a cluster means the cluster, px of the 256 map.
        least_inside: a mask of which less lies on or near the cluster is not believed; then the cluster is outlined.
    """

    features: tuple[str, ...] = ("embedding", "intensity")
    gamma: float = 2.0
    mask: MaskChoice = "auto"
    place_weight: float = 0.15
    intensity_means_px: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    intensity_spreads_px: tuple[float, ...] = (2.0, 4.0)
    fusion_weights: tuple[float, ...] = (0.5, 1.0)
    per_position: PerPosition = "auto"
    per_position_volumes: int = 3
    contrast: Contrast = ""
    fluid_light: tuple[float, ...] = (0.3, 0.8)
    fluid_noise: float = 0.02
    fluid_bright: float = 75.0
    fluid_shade: tuple[float, ...] = (51.0, 60.0)
    fluid_walls: tuple[float, ...] = (1.5, 32.0, 3.0, 64.0)
    fluid_smooth: tuple[float, ...] = (2.0, 2.0)
    fluid_low_um: float = 120.0
    fluid_low_weight: float = 0.5
    fluid_share: float = 0.8
    brightness_sigma_px: float = 1.0
    held_out_slices: int = 160
    held_out_gap: int = 2
    scale_width_cells: tuple[float, ...] = (0.7, 1.5)
    scale_prior: float = 0.5
    scale_least_spread: float = 0.2
    tail_quantile: float = 0.8
    depth_sigma: float = 0.2
    depth_least_weight: float = 0.02
    level_quantile: float = 0.975
    axis_sigma_mm: float = 0.0
    own_level: float = 1.6
    own_smooth_cells: float = 1.0
    own_apart_mm: float = 3.0
    own_near: tuple[float, ...] = (6.0, 3.0)
    own_sample: int = 1500
    own_first_cells: float = 2.0
    own_rare_share: float = 0.1
    own_common_share: float = 0.6
    own_decay: float = 6.0
    own_least_mm2: float = 50.0
    grow_tail: float = 0.3
    independent_mm: float = 10.0
    independent_bscan_mm: float = 0.25
    zoom: tuple[float, ...] = (2.0, 3.0)
    window_least_px: int = 32
    native_windows: tuple[float, ...] = (0.375, 0.75, 1.5)
    window_share: float = 0.75
    ring_px: tuple[float, ...] = (10.0, 24.0)
    ring_quiet: float = 1.0
    near_px: int = 6
    rim_px: int = 4
    shape_px: float = 64.0
    least_part: float = 0.1
    reach_px: float = 2.0
    least_inside: float = 0.4

    is_calibrated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rim_px < 1:
            raise UsageError(f"rim_px is {self.rim_px}; a mask is compared with a rim of 1 px or more")
        if len(self.fusion_weights) != len(self.features):
            raise UsageError(
                f"{len(self.fusion_weights)} fusion weights came for the {len(self.features)} feature kinds "
                f"{', '.join(self.features)}; give one for each, joined by +"
            )
