"""PythonQt's signals: ``object.connect('clicked(bool)', slot)`` and ``object.clicked.connect(slot)``.

PythonQt cuts the arguments to ``co_argcount`` for a plain function or method without ``*args``; every other
callable gets them all. So ``lambda index=index: ...`` on ``clicked`` receives the ``checked`` flag as index.
"""

import re
import types

from PySide6 import QtCore


def cutToArguments(slot):
    """Return ``slot`` called the way PythonQt calls it."""
    function, bound = (slot.__func__, 1) if isinstance(slot, types.MethodType) else (slot, 0)
    if isinstance(function, types.FunctionType) and not function.__code__.co_flags & 4:  # CO_VARARGS
        taken = function.__code__.co_argcount - bound
        return lambda *arguments: slot(*arguments[:taken])
    return lambda *arguments: slot(*arguments)


def _fixedArity(callee, count):
    """PySide passes a defaulted argument such as ``checked`` only to a slot that declares it."""
    return [
        lambda: callee(),
        lambda a: callee(a),
        lambda a, b: callee(a, b),
        lambda a, b, c: callee(a, b, c),
        lambda a, b, c, d: callee(a, b, c, d),
    ][count]


class BoundSignal:
    """What ``object.clicked`` is in PythonQt."""

    _connections: list = []

    def __init__(self, native, arity):
        self._native, self._arity = native, arity

    def connect(self, slot):
        wrapped = _fixedArity(cutToArguments(slot), self._arity)
        self._native.connect(wrapped)
        self._connections.append((slot, wrapped))
        return True

    def disconnect(self, slot=None):
        if slot is None:
            return self._native.disconnect()
        return any(entry[0] == slot and self._drop(entry) for entry in list(self._connections))

    def _drop(self, entry):
        try:
            self._native.disconnect(entry[1])
        except (RuntimeError, TypeError):
            return False
        self._connections.remove(entry)
        return True

    def emit(self, *arguments):
        self._native.emit(*arguments)

    def __call__(self, *arguments):
        self._native.emit(*arguments)


def arityOf(instance, name):
    """Largest number of arguments among the overloads of a signal."""
    meta = instance.metaObject()
    counts = [0]
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.Signal and bytes(method.name().data()).decode() == name:
            counts.append(method.parameterCount())
    return max(counts)


def namedSignal(instance, signature):
    """Find a signal by its C++ signature; an unknown one raises as PythonQt refuses it."""
    match = re.match(r"\s*(\w+)\s*(?:\((.*)\))?\s*$", signature)
    signal = getattr(instance, match.group(1), None)
    if not isinstance(signal, BoundSignal):
        raise ValueError(f"'{signature}' is not a signal of {type(instance).__name__}")
    return signal


def connect(self, *arguments):
    if len(arguments) == 2:
        return namedSignal(self, arguments[0]).connect(arguments[1])
    if len(arguments) == 3:  # sender.connect(signal, receiver, "slot()")
        return namedSignal(self, arguments[0]).connect(getattr(arguments[1], arguments[2].split("(")[0]))
    raise TypeError(f"connect() takes a signal and a slot, not {len(arguments)} arguments")


def disconnect(self, *arguments):
    if len(arguments) == 2:
        return namedSignal(self, arguments[0]).disconnect(arguments[1])
    raise TypeError(f"disconnect() takes a signal and a slot, not {len(arguments)} arguments")
