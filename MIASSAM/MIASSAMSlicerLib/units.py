"""What the numbers of a result mean: units in words and in short."""

from slicer.i18n import tr as _

CALIBRATED_UNIT = "standard deviations above normal"
SQUARED_UNIT = "squared L2 distance to normal"
DISTANCE_UNIT = "L2 distance to normal"
LEAST_TAIL = 1e-6
"""A tail probability below this is an extrapolation: no bank holds that many normal slices."""


def unitInWords(unit):
    """Return the unit of a heat map, which the library names, in the user's language."""
    return {
        CALIBRATED_UNIT: _("standard deviations (SD) above normal"),
        SQUARED_UNIT: _("squared L2 distance to the nearest normal patch"),
        DISTANCE_UNIT: _("L2 distance to the nearest normal patch"),
    }.get(unit, unit)


def shortUnit(unit):
    """Return a unit as the head of a table has room for it."""
    return {CALIBRATED_UNIT: _("SD"), SQUARED_UNIT: _("squared L2"), DISTANCE_UNIT: _("L2")}.get(unit, unit)


def legendTitle(unit):
    """Return the title of the color legend: as short as the bar is wide, so that it does not cover the image."""
    return {
        CALIBRATED_UNIT: _("SD"),
        SQUARED_UNIT: _("L2\u00b2"),
        DISTANCE_UNIT: _("L2"),
    }.get(unit, unit)


def scoreText(score):
    """Write a score with three digits or more, the same number of them for like scores."""
    return f"{score:.1f}" if score >= 10 else f"{score:.2f}" if score >= 1 else f"{score:.3g}"


def scoreWithUnit(score, unit):
    """Write a score with its unit; a distance has none."""
    return _("{score} SD").format(score=scoreText(score)) if unit == CALIBRATED_UNIT else scoreText(score)


def tailInWords(probability):
    """Say how often a normal slice is as unusual; "" where the bank is not calibrated."""
    if probability is None:
        return ""
    text = f"{probability:.1g}" if probability >= LEAST_TAIL else _("below {limit}").format(limit=f"{LEAST_TAIL:.0e}")
    return _("Probability that a normal slice is as unusual: {probability} (estimated)").format(probability=text)
