"""Register the samples in Slicer's Sample Data module."""

from pathlib import Path

from slicer.i18n import tr as _

CATEGORY = "MIASSAM"
ICONS_FOLDER = Path(__file__).resolve().parent.parent / "Resources" / "Icons"


def registerSampleData():
    """Offer the generated samples; they are made on a click, so nothing is downloaded."""
    import SampleData

    from .samples import SAMPLES

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # Slicer 5.12
        logic.registerCustomSampleDataCategory(CATEGORY, title=_("MIAS-SAM"))
    for sample in SAMPLES:
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample.name,
            uris="",
            fileNames=f"{sample.name}.nrrd",
            nodeNames=sample.name,
            thumbnailFileName=str(ICONS_FOLDER / f"{sample.name}.png"),
            customDownloader=_downloader(sample),
        )


def _downloader(sample):
    def load(_source=None):
        from .samples import loadSample
        from .workerBlocking import BlockingWorker

        with BlockingWorker() as worker:
            return [loadSample(worker, sample)]

    return load
