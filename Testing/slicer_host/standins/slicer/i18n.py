"""Stand-in for Slicer's translation functions; ``slicer.app.translate`` does the work, as in Slicer."""

import inspect
import os


def translate(context, text):
    from slicer import app

    return app.translate(context, text)


def getContext(sourceFile):
    name = os.path.basename(sourceFile).replace(".py", "")
    folder = os.path.dirname(sourceFile)
    isPackage = os.path.isfile(os.path.join(folder, "__init__.py"))
    return f"{os.path.basename(folder)}.{name}" if isPackage else name


def tr(text):
    frame = inspect.currentframe().f_back
    return translate(getContext(frame.f_code.co_filename), text)
