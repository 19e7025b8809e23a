"""A stand-in for the Slicer application, so that the module runs without it.

MRML, the module logics and the displayable managers are Slicer's own (the ``slicer-core`` wheel).
``qt``, ``ctk`` and the qMRML widgets are stand-ins on PySide6 with PythonQt's manners.
Where ``SLICER_PYTHON`` names the folder ``Base/Python/slicer`` of a Slicer source tree, Slicer's own
``ScriptedLoadableModule``, ``parameterNodeWrapper``, ``i18n`` and ``packaging`` are used instead of ours.

Nothing here is shipped with the extension.
"""

from .host import SlicerHost, startHost

__all__ = ["SlicerHost", "startHost"]
