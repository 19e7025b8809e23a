"""Stand-in for Slicer's parameter node wrapper: the part of it that this module uses.

Values are stored as Slicer stores them (numbers and paths by ``str``, enums by name, nodes as references).
"""

from .connectors import createGuiConnector
from .serializers import serializerFor
from .validators import Choice, Default, Maximum, Minimum, WithinRange
from .wrapper import SlicerParameterNamePropertyName, isParameterNodeWrapper, parameterNodeWrapper

__all__ = [
    "Choice",
    "Default",
    "Maximum",
    "Minimum",
    "SlicerParameterNamePropertyName",
    "WithinRange",
    "createGuiConnector",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
    "serializerFor",
]
