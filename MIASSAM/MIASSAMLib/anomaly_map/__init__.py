"""From patch scores to the anomaly map, and its normalization by a stated rule."""

from .upsample import anomaly_map, normalize_map, patch_scores, upsampling_matrix

__all__ = ["anomaly_map", "normalize_map", "patch_scores", "upsampling_matrix"]
