"""The batch run: every input through the logic, files and a table out, no dialog ever."""

import argparse
import csv
import json
import logging
import sys
import time
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from . import dependencies
from .errors import MissingPackagesError, ModuleError
from .logic import MIASSAMLogic

DONE, SOME_FAILED, WRONG_USE = 0, 1, 2
COLUMNS = (
    "case",
    "source",
    "status",
    "reason",
    "n_slices",
    "n_segmented_slices",
    "n_lesions",
    "volume_ml",
    "device",
    "seconds",
)
_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")


def main(arguments, logic=None):
    """Run the batch and return the exit code."""
    try:
        options = parse([word for word in arguments if word != "--"])
        dependencies.ensurePackages(None)
    except SystemExit as stop:  # argparse has told what is wrong
        return DONE if stop.code == 0 else WRONG_USE
    except (ModuleError, MissingPackagesError) as error:
        logging.error(str(error))
        return WRONG_USE
    logic = logic if logic is not None else MIASSAMLogic()
    try:
        rows = []
        for path, name in namedInputs(options.inputs):
            rows.append(_segment(logic, path, name, options))
            if options.json:
                sys.stdout.write(json.dumps(rows[-1]) + "\n")
    finally:
        logic.close()
    writeTable(Path(options.output) / "cases.csv", rows)
    return SOME_FAILED if any(row["status"] == "failed" for row in rows) else DONE


def parse(arguments):
    """Read the options of ``miassam segment``; they are declared once, in the library."""
    from MIASSAMLib.cli.segment import add_arguments, changes_of
    from MIASSAMLib.errors import UsageError

    parser = argparse.ArgumentParser(prog="batch.py", description=_("Segment volumes in Slicer without its window."))
    add_arguments(parser)
    options = parser.parse_args(arguments)
    if options.dask:
        raise ModuleError(_("--dask is an option of 'miassam segment' alone; Slicer takes one case after the other."))
    try:
        options.options = runOptions(options)
        options.changes = changes_of(options)
    except UsageError as error:
        raise ModuleError(str(error)) from error
    if not (Path(options.bank) / "manifest.json").is_file():
        raise ModuleError(
            _("'{path}' is no memory bank. Give a folder whose name ends in .bank.").format(path=options.bank)
        )
    Path(options.output).mkdir(parents=True, exist_ok=True)
    return options


def runOptions(options):
    """Return the run options as the worker is told."""
    from MIASSAMLib.cli.arguments import parse_slices

    slices = parse_slices(options.slices)
    chosen = {"prompt": options.prompt, "mask": options.mask, "slices": list(slices) if slices else None}
    return {
        "all_slices": options.all_slices,
        "sensitivity": options.sensitivity,
        **{name: value for name, value in chosen.items() if value is not None},
    }


def namedInputs(inputs):
    """Return (path, unique case name) of every volume in the inputs; a DICOM folder is one volume."""
    paths = [found for path in map(Path, inputs) for found in _inputsIn(path)]
    names = {}
    for path in paths:
        stem = path.name
        for ending in _ENDINGS:
            stem = stem[: -len(ending)] if stem.lower().endswith(ending) else stem
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}_{number}", number + 1
        names[name] = path
    return [(path, name) for name, path in names.items()]


def _inputsIn(path):
    """Return what the command line would take from a path; what cannot be read fails later, as its own case."""
    from MIASSAMLib.errors import InputError
    from MIASSAMLib.volume_io import find_inputs

    try:
        return find_inputs([path])
    except InputError:
        return [path]


def _segment(logic, path, name, options):
    """Segment one input and return its row; what goes wrong is its reason."""
    start = time.monotonic()
    row = {"case": name, "source": str(path), "status": "failed", "reason": ""}
    try:
        volumeNode = loadInput(path, name)
        results = logic.segmentVolume(
            volumeNode,
            options.bank,
            model=options.model or modelOfBank(options.bank),
            device=options.device,
            checkpoint=str(options.checkpoint or ""),
            preset=options.preset or "",
            modality="" if options.modality == "auto" else options.modality,
            changes=options.changes,
            log=logging.info,
            **options.options,
        )
        row.update(saveCase(results, Path(options.output), name), status="done")
    except (ModuleError, OSError, RuntimeError) as error:
        row["reason"] = str(error)
        logging.error(f"{name}: {error}")
    finally:
        slicer.mrmlScene.Clear(0)
    row["seconds"] = round(time.monotonic() - start, 2)
    return row


def loadInput(path, name):
    """Load a volume by Slicer's own reader."""
    from MIASSAMLib.volume_io.dicom import is_dicom

    if not path.exists():
        raise ModuleError(_("{path} is not there; check the path.").format(path=path))
    isFolder = path.is_dir()  # of a DICOM series, which Slicer reads from any of its files
    files = sorted(each for each in path.iterdir() if each.is_file() and is_dicom(each)) if isFolder else [path]
    if not files:
        raise ModuleError(_("{path} holds no volume; give a volume file or a DICOM folder.").format(path=path))
    node = slicer.util.loadVolume(str(files[0]), {"name": name, "singleFile": not isFolder, "show": False})
    if node is None:
        raise ModuleError(_("{path} could not be read as a volume.").format(path=path))
    return node


def modelOfBank(bank):
    """Return the model a bank was built with."""
    manifest = json.loads((Path(bank) / "manifest.json").read_text(encoding="utf-8"))
    return manifest.get("draft", {}).get("model_name") or "embedded"


def saveCase(results, folder, name):
    """Write segmentation, heat map, points and record of a case; return its part of the table."""
    for node, ending in (
        (results.segmentation, ".seg.nrrd"),
        (results.heat, "_anomaly.nii.gz"),
        (results.points, "_cog.mrk.json"),
    ):
        path = folder / f"{name}{ending}"
        path.unlink(missing_ok=True)
        slicer.util.saveNode(node, str(path))
        if not path.is_file():
            raise ModuleError(_("{path} could not be written; check the disk and its permissions.").format(path=path))
    record = results.record
    (folder / f"{name}.json").write_text(json.dumps({"case": name, **record}, indent=1) + "\n", encoding="utf-8")
    return {
        "n_slices": len(record["slices"]),
        "n_lesions": record["n_lesions"],
        "device": record["device"],
        "n_segmented_slices": sum(bool(each["findings"]) for each in record["slices"]),
        "volume_ml": round(segmentedMl(results), 3),
    }


def segmentedMl(results):
    """Return the volume of all segments in milliliters."""
    import numpy as np

    from .anomalySegments import ownSegments, segmentArray
    from .volumes import ijkToWorld

    voxelMl = abs(np.linalg.det(ijkToWorld(results.inputVolume)[:3, :3])) / 1000
    count = sum(
        int(segmentArray(results.segmentation, each, results.inputVolume).sum())
        for each in ownSegments(results.segmentation).values()
    )
    return count * voxelMl


def writeTable(path, rows):
    """Write one row per case."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
