"""The embedded model: a small SAM, trained by this project on procedural images, shipped with the package."""

from MIASSAMLib.sam.embedded.model import (
    CARD_PATH,
    WEIGHTS_PATH,
    EmbeddedSam,
    load_embedded,
)

__all__ = ["CARD_PATH", "WEIGHTS_PATH", "EmbeddedSam", "load_embedded"]
