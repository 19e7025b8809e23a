"""From an anomaly map to prompts: no threshold, no text."""

from .points import boxes_above, center_of_gravity, dense_prompt_logits, maximum_point

__all__ = ["boxes_above", "center_of_gravity", "dense_prompt_logits", "maximum_point"]
