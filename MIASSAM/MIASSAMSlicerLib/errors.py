"""Errors whose text is written for the person at the screen."""


class ModuleError(Exception):
    """Something the user can act on; the text says what came, what was wanted and what to do."""


class EditedSegmentsError(ModuleError):
    """A new run would replace segments the user has edited."""

    def __init__(self, text, segmentNames):
        super().__init__(text)
        self.segmentNames = segmentNames


class MissingPackagesError(ModuleError):
    """Python packages are missing and were not installed."""


class WorkerError(ModuleError):
    """The worker refused a request; ``kind`` is the library's error class."""

    def __init__(self, text, kind="InternalError"):
        super().__init__(text)
        self.kind = kind


class RunCancelled(ModuleError):
    """The user stopped the work."""
