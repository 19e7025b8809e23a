"""Procedural volumes with known truth: brain MRI, liver CT and retina OCT.

They are formulas of position, sampled on any grid, for the demo and for tests of geometry. No
shipped model is trained on them.
"""

from .grid import GEOMETRIES, Grid, vary
from .phantom import KINDS, Phantom, TrueLesion, default_grid, make_phantom

__all__ = ["GEOMETRIES", "KINDS", "Grid", "Phantom", "TrueLesion", "default_grid", "make_phantom", "vary"]
