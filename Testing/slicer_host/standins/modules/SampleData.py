"""Stand-in for Slicer's Sample Data module: keeps the registered sources and runs custom downloaders."""

import inspect

import slicer


class SampleDataSource:
    def __init__(self, **fields):
        if fields.get("uris") is None:
            raise TypeError("Slicer's SampleDataSource counts its uris, so None is refused there too")
        self.__dict__.update(fields)


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataCategory(category, title=""):
        categories = slicer.modules.__dict__.setdefault("sampleDataSourceCategories", {})
        categories.setdefault(category, {})["title"] = title

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ):
        sources = slicer.modules.__dict__.setdefault("sampleDataSources", {}).setdefault(category, [])
        if sampleName not in [source.sampleName for source in sources]:
            fields = {name: value for name, value in locals().items() if name not in ("sources", "category")}
            sources.append(SampleDataSource(**fields))

    @staticmethod
    def sourceForSampleName(sampleName):
        for sources in slicer.modules.sampleDataSources.values():
            for source in sources:
                if source.sampleName == sampleName:
                    return source
        return None

    def downloadFromSource(self, source, maximumAttemptsCount=3):
        assert len(inspect.signature(source.customDownloader).parameters) == 1
        return source.customDownloader(source)


def downloadSample(sampleName):
    return SampleDataLogic().downloadFromSource(SampleDataLogic.sourceForSampleName(sampleName))
