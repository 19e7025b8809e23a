"""What a drag costs: ``PYTHONPATH=Testing python -m slicer_host.deskSpeed``.

Segments the brain sample with the embedded model, drags the first point `DRAGS` times and prints the processor time of
the application's side and of the child process from the release to the changed outline, and the wall time.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from .events import settle, waitFor
from .host import startHost
from .pictures import MODULE_FOLDER, PATIENCE_S

DRAGS = 12


def main():
    host = startHost()
    sys.path.insert(0, str(MODULE_FOLDER))
    script = host.loadModule(MODULE_FOLDER / "MIASSAM.py")
    with tempfile.TemporaryDirectory() as data:
        os.environ["MIASSAM_DATA_FOLDER"] = data
        panel = host.openWidget(script, "MIASSAM")
        panel.ui.loadSampleButton.click()
        waitFor(lambda: panel.parameters.bankPath and not panel.jobs.isBusy, PATIENCE_S, "the sample and its bank")
        panel.ui.segmentButton.click()
        waitFor(lambda: panel.results is not None and not panel.jobs.isBusy, PATIENCE_S, "the results")
        settle(0.5)
        costs = np.array([drag(panel, step) for step in range(DRAGS)])
        names = ("application, processor ms", "child, processor ms", "wall ms")
        for name, column in zip(names, 1000 * np.median(costs[2:], 0)):
            sys.stdout.write(f"{name}: {column:.0f}\n")
        host.closeWidget("MIASSAM")


def drag(panel, step):
    """Drag the first point a little and return (own, child's processor, wall) seconds until the outline changed."""
    import slicer
    from MIASSAMSlicerLib import cogPoints, volumes

    results, child = panel.results, panel.jobs.worker.processId
    ijk = volumes.ijkFromWorld(results.inputVolume, cogPoints.worldPosition(results.points, 0))
    ijk = ijk + np.array([2, 1, 0]) * (1 if step % 2 else -1)
    results.points.SetNthControlPointPositionWorld(0, *volumes.worldFromIjk(results.inputVolume, ijk))
    before = time.process_time(), childSeconds(child), time.monotonic()
    results.points.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    waitFor(lambda: not panel.corrections.isBusy, PATIENCE_S, "the new outline")
    after = time.process_time(), childSeconds(child), time.monotonic()
    return [b - a for a, b in zip(before, after)]


def childSeconds(process):
    """Return the processor time a process has used; Linux only."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
