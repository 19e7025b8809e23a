"""PythonQt shows every Qt property as a Python attribute: ``widget.text``, not ``widget.text()``."""

from PySide6 import QtCore

# Virtual getters: a property of the same name would hide the C++ override lookup.
KEPT_AS_METHODS = {"sizeHint", "minimumSizeHint", "heightForWidth"}

_patched: set[type] = set()
uiLoadersAtWork: list = []
"""PySide's loader puts each named child on its parent's wrapper; PythonQt's does not, so that is dropped."""


class QtProperty:
    """Data descriptor: on an instance the Qt property, on the class the original method."""

    def __init__(self, name, original, isWritable):
        self.name, self.original, self.isWritable = name, original, isWritable

    def __get__(self, instance, owner=None):
        if instance is not None:
            return instance.property(self.name)
        return self.original.__get__(None, owner) if hasattr(self.original, "__get__") else self.original

    def __set__(self, instance, value):
        kind = type(instance).__name__
        if not self.isWritable:
            raise AttributeError(f"Property '{self.name}' of type '{kind}' is not writable")
        value = list(value) if isinstance(value, tuple) else value
        if not instance.setProperty(self.name, value):
            raise ValueError(
                f"Property '{self.name}' of type '{kind}' does not accept an object of type "
                f"{type(value).__name__} ({value!r})"
            )


def exposeProperties(cls):
    """Turn each Q_PROPERTY that ``cls`` itself declares into a Python attribute."""
    if cls in _patched or not hasattr(cls, "staticMetaObject"):
        return
    _patched.add(cls)
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        declared = meta.property(index)
        if declared.name() not in KEPT_AS_METHODS:
            setattr(
                cls,
                declared.name(),
                QtProperty(declared.name(), cls.__dict__.get(declared.name()), declared.isWritable()),
            )


def setAttribute(self, name, value):
    """PythonQt's rule: properties are set, dynamic properties are set, anything else is refused."""
    if isinstance(value, QtCore.SignalInstance):  # PySide caches its signals through setattr
        self.__dict__[name] = value
        return
    for cls in type(self).__mro__:
        found = cls.__dict__.get(name)
        if found is None:
            continue
        if isinstance(found, QtCore.Property):
            self.setProperty(name, list(value) if isinstance(value, tuple) else value)
            return
        if hasattr(type(found), "__set__"):
            found.__set__(self, value)
            return
    _setUndeclared(self, name, value)


def _setUndeclared(self, name, value):
    if uiLoadersAtWork and isinstance(value, QtCore.QObject) and not name.startswith("_"):
        return
    isCplusplus = type(self).__module__.startswith("PySide6") or getattr(type(self), "standsForCplusplus", False)
    if not isCplusplus or name.startswith("_"):
        self.__dict__[name] = value
    elif bytes(name, "utf-8") in [bytes(known.data()) for known in self.dynamicPropertyNames()]:
        self.setProperty(name, value)
    else:
        raise AttributeError(
            f"'{name}' does not exist on {type(self).__name__} and creating new attributes on "
            "C++ objects is not allowed"
        )
