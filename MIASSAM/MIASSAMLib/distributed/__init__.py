"""Many machines or processes: one task per volume; the only room that knows Dask."""

from .building import DaskEncoder, ModelRecipe
from .cluster import connect
from .ordered import map_in_order, map_on_processes

__all__ = ["DaskEncoder", "ModelRecipe", "connect", "map_in_order", "map_on_processes"]
