"""Boot Slicer's real MRML and logics in this process and load a scripted module into it."""

import importlib.util
import os
import shutil
import stat
import sys
import types
from pathlib import Path

import slicer
import slicer.util
import vtk

from .ctkWidgets import installCtk
from .folders import temporaryFolder
from .pythonqt import installQt

LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Units": "vtkSlicerUnitsLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}

_host = None


class _Module:
    """What ``slicer.modules.<name>`` offers for a C++ module."""

    def __init__(self, name, logic):
        self.name, self._logic, self.path = name, logic, ""

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return None


class SlicerHost:
    """The running stand-in: scene, application and the loaded modules."""

    def __init__(self, scene, application, kept):
        self.scene, self.application, self._kept = scene, application, kept

    def loadModule(self, path):
        """Import a scripted module file and make its card, as Slicer's module factory does."""
        name = Path(path).stem
        specification = importlib.util.spec_from_file_location(name, path)
        script = importlib.util.module_from_spec(specification)
        sys.modules[name] = script
        specification.loader.exec_module(script)
        core = slicer.qSlicerScriptedLoadableModule(str(path))
        setattr(slicer.modules, name.lower(), core)
        setattr(slicer.modules, name + "Instance", getattr(script, name)(core))
        setattr(slicer.moduleNames, name, name)
        return script

    def openWidget(self, script, name):
        """Open the module's panel, as selecting it in the module list does."""
        import qt

        panel = slicer.qSlicerScriptedLoadableModuleWidget()
        qt.QVBoxLayout(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        widget = getattr(script, name + "Widget")(panel)
        panel._self = widget
        getattr(slicer.modules, name.lower()).widget = panel
        setattr(slicer.modules, name + "Widget", widget)
        widget.setup()
        panel.isEntered = True
        widget.enter()
        panel.show()
        self.application.processEvents()
        return widget

    def closeWidget(self, name):
        """Leave the panel and unload the module's widget."""
        widget = getattr(slicer.modules, name + "Widget", None)
        if widget is None:
            return
        if widget.parent.isEntered:
            widget.exit()
        widget.parent.isEntered = False
        self.application.moduleManager().moduleAboutToBeUnloaded.emit(name)
        widget.parent.close()
        widget.parent.deleteLater()
        setattr(slicer.modules, name + "Widget", None)
        self.application.processEvents()


def startHost():
    """Start the stand-in once per process."""
    global _host
    if _host is None:
        installQt()
        installCtk()
        scene, applicationLogic, register = _bootScene()
        kept = _bootRemoteData(scene, applicationLogic)
        for name, className in LOGICS.items():
            register(name, getattr(slicer, className)())
        applicationLogic.GetColorLogic()
        from .application import Application
        from .mrmlWidgets import installMrmlWidgets

        slicer.app = Application(scene, applicationLogic)
        installMrmlWidgets()
        _installScripts()
        _provideConsolePython()
        _host = SlicerHost(scene, slicer.app, kept)
    return _host


def _bootScene():
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    for node in (crosshair, slicer.vtkMRMLSelectionNode(), slicer.vtkMRMLInteractionNode()):
        scene.AddNode(node)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    logic.SetTemporaryPath(temporaryFolder("files"))
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    for name in ("modules", "moduleNames"):
        module = types.ModuleType("slicer." + name)
        setattr(slicer, name, module)
        sys.modules["slicer." + name] = module

    def register(name, moduleLogic):
        if hasattr(moduleLogic, "SetMRMLApplicationLogic"):
            moduleLogic.SetMRMLApplicationLogic(logic)
        moduleLogic.SetMRMLScene(scene)
        logic.SetModuleLogic(name, moduleLogic)
        setattr(slicer.modules, name.lower(), _Module(name, moduleLogic))

    return scene, logic, register


def _bootRemoteData(scene, applicationLogic):
    """Reading a scene from .mrb needs the remote data logic and its cache folder."""
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    remote.SetMRMLApplicationLogic(applicationLogic)
    remote.GetCacheManager().SetRemoteCacheDirectory(temporaryFolder("cache"))
    manager = slicer.vtkDataIOManagerLogic()
    manager.SetMRMLScene(scene)
    manager.SetMRMLApplicationLogic(applicationLogic)
    manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    return remote, manager


def _installScripts():
    """Slicer's own scripts where a source tree is named, our stand-ins otherwise."""
    source = os.environ.get("SLICER_PYTHON")
    folder = source or str(Path(__file__).parent / "standins" / "slicer")
    slicer.__path__.append(folder)
    if source:
        import slicer_core.MRMLCore

        sys.modules.setdefault("MRMLCorePython", slicer_core.MRMLCore)
    sys.path.append(str(Path(__file__).parent / "standins" / "modules"))


def _provideConsolePython():
    """Slicer puts PythonSlicer on the path; here it is this interpreter."""
    if shutil.which("PythonSlicer"):
        return
    folder = Path(temporaryFolder("bin"))
    script = folder / "PythonSlicer"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = str(folder) + os.pathsep + os.environ.get("PATH", "")
