"""PythonQt's enums: their values are integers, combined they are a plain int, and constructors are tried in reverse.

PythonQt derives each enum from ``int`` without operators of its own, so ``Ok | Cancel`` has no type any more. A
method takes such a number for the enum it wants. A constructor is chosen among its overloads, and those declared
later are tried first once the one declared first did not fit: so ``QDialogButtonBox(int)`` is
``QDialogButtonBox(Qt::Orientation)`` and has no buttons.
"""

import enum
import inspect
import operator
import types
import typing

from PySide6 import QtCore, QtWidgets
from shibokensupport.signature import get_signature


def plainEnums(namespace):
    """Give the enums of a class, or of ``Qt``, the manners of PythonQt's."""
    for name in dir(namespace):
        value = getattr(namespace, name, None)
        if not isinstance(value, type) or not issubclass(value, enum.Enum) or issubclass(value, int):
            continue
        value.__int__ = value.__index__ = lambda member: member.value
        value.__eq__ = _isEqual
        value.__hash__ = lambda member: hash(member.value)
        for operation in (operator.or_, operator.and_, operator.xor):
            name = operation.__name__.strip("_")
            setattr(value, f"__{name}__", _plain(operation))
            setattr(value, f"__r{name}__", _plain(operation))


def _isEqual(member, other):
    return int(member) == int(other) if isinstance(other, (int, enum.Enum)) else NotImplemented


def _plain(operation):
    return lambda member, other: operation(int(member), int(other))


def takingNumbers(method):
    """Return a Qt method that also takes the plain numbers PythonQt lets pass for an enum."""

    def call(*arguments, **named):
        try:
            return method(*arguments, **named)
        except TypeError:
            numbers = _asEnums(method, arguments)
            if numbers is None:
                raise
            return method(*numbers, **named)

    return call


def _asEnums(method, arguments):
    """Return the arguments with numbers turned into the enums that an overload of this length wants; else None."""
    if not any(type(each) is int for each in arguments):
        return None
    signatures = get_signature(method)
    for signature in signatures if isinstance(signatures, list) else [signatures]:
        kinds = [each.annotation for each in signature.parameters.values()] if signature else []
        kinds = kinds[1:] if kinds and kinds[0] is inspect.Parameter.empty else kinds  # self
        turned = [_asEnum(kind, each) for kind, each in zip(kinds, arguments)]
        if len(kinds) >= len(arguments) and [*map(type, turned)] != [*map(type, arguments)]:
            return turned
    return None


def _asEnum(kind, value):
    kinds = typing.get_args(kind) or (kind,)
    wanted = [each for each in kinds if isinstance(each, type) and issubclass(each, enum.Enum)]
    return wanted[0](value) if wanted and type(value) is int else value


def reverseConstructors():
    """Choose the overload of a constructor as PythonQt does, where that differs from what a reader expects."""
    box, build = QtWidgets.QDialogButtonBox, QtWidgets.QDialogButtonBox.__init__

    def construct(self, first=None, *rest):
        if isinstance(first, (int, enum.Enum)) and not isinstance(first, QtCore.Qt.Orientation):
            isVertical = int(first) == int(QtCore.Qt.Vertical)
            first = QtCore.Qt.Vertical if isVertical else QtCore.Qt.Horizontal
        build(self, *([] if first is None else [first, *rest]))

    box.__init__ = construct


METHODS = (types.BuiltinFunctionType, types.BuiltinMethodType)
