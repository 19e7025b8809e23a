"""The install flow on Slicer 5.10 and 5.12: accepted, declined, failed, offline; nothing happens unasked."""

import subprocess
import sys
import types

import pytest
import slicer
from packaging.requirements import Requirement


@pytest.fixture
def flow(script, monkeypatch):
    """The dependencies module on a fresh Slicer, with a PyTorch extension that records."""
    from MIASSAMSlicerLib import dependencies

    state = types.SimpleNamespace(
        installed=set(),
        asked=[],
        torchCalls=[],
        gpu=False,
        torchWorks=True,
        module=dependencies,
        answer=True,
        failing=set(),
    )
    monkeypatch.setattr(dependencies, "_isInstalled", lambda name: name in state.installed)
    monkeypatch.setattr(dependencies, "_isMet", lambda requirement: requirement.name in state.installed)
    monkeypatch.setattr(dependencies, "torchIsMet", lambda: "torch" in state.installed)
    monkeypatch.setattr(dependencies.shutil, "which", lambda name: "/bin/nvidia-smi" if state.gpu else None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", _torchExtension(state))
    return state


def _torchExtension(state):
    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation=False, torchVersionRequirement=None):
            state.torchCalls.append((askConfirmation, torchVersionRequirement))
            if state.torchWorks:
                state.installed |= {"torch", "torchvision"}
                return object()
            return None

    return types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic)


def confirming(state):
    def confirm(text):
        state.asked.append(text)
        return state.answer

    return confirm


@pytest.fixture(params=["5.10", "5.12"])
def pip(flow, monkeypatch, request):
    """Record what pip is asked, by the function of that Slicer version."""
    calls = []

    def install(requirements, constraints):
        calls.append((requirements, constraints))
        names = {Requirement(each).name for each in requirements}
        if names & flow.failing:
            raise subprocess.CalledProcessError(1, "pip")
        flow.installed |= names

    if request.param == "5.12":

        def ensure(
            requirements,
            constraints=None,
            prompt_install=True,
            requester=None,
            skip_in_testing=True,
            show_progress=True,
        ):
            assert not prompt_install, "the one question was asked already"
            assert not skip_in_testing, "with --testing Slicer would install nothing and say nothing"
            assert not show_progress, "else Slicer opens an error box of its own"
            install(requirements, constraints)

        packaging = types.SimpleNamespace(pip_ensure=ensure)
        monkeypatch.setattr(flow.module, "_slicerPackaging", lambda: packaging)
    else:
        monkeypatch.setattr(flow.module, "_slicerPackaging", lambda: None)
        monkeypatch.setattr(slicer.util, "pip_install", lambda arguments: install(arguments[2:], arguments[1]))
    return calls


def test_one_question_names_packages_and_size(flow, pip):
    assert flow.module.ensurePackages(confirming(flow))
    assert len(flow.asked) == 1
    for word in ("torch", "segment-anything", "faiss-cpu", "MB"):
        assert word in flow.asked[0]
    assert flow.torchCalls == [(False, flow.module.TORCH_REQUIREMENT)], "torch only through the PyTorch extension"
    assert [sorted(Requirement(each).name for each in names) for names, _ in pip] == [
        sorted(each.name for each in flow.module._fileRequirements())
    ], "one call of pip"
    assert all(constraints for _, constraints in pip), "numpy and SimpleITK are held"
    assert not flow.module.ensurePackages(confirming(flow)), "the second click finds everything there"
    assert len(flow.asked) == 1


def test_declining_changes_nothing(flow, pip):
    flow.answer = False
    with pytest.raises(flow.module.MissingPackagesError, match="Nothing was changed"):
        flow.module.ensurePackages(confirming(flow))
    assert pip == [] and flow.torchCalls == [] and flow.installed == set()


def test_a_failed_install_names_package_and_next_step(flow, pip):
    flow.failing = {"segment-anything"}
    with pytest.raises(flow.module.MissingPackagesError) as raised:
        flow.module.ensurePackages(confirming(flow))
    assert "segment-anything==1.0" in str(raised.value) and "could not be installed" in str(raised.value)
    assert "internet connection" in str(raised.value) and "again" in str(raised.value)


def test_a_failed_torch_stops_before_the_rest(flow, pip):
    flow.torchWorks = False
    with pytest.raises(flow.module.MissingPackagesError, match="torch could not be installed"):
        flow.module.ensurePackages(confirming(flow))
    assert pip == []


def test_a_missing_pytorch_extension_is_named(flow, pip, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(flow.module.MissingPackagesError, match="Extensions Manager"):
        flow.module.ensurePackages(confirming(flow))


def test_where_nobody_can_be_asked_it_fails_fast(flow, pip):
    with pytest.raises(flow.module.MissingPackagesError, match="Install required packages"):
        flow.module.ensurePackages(None)
    assert pip == [] and flow.torchCalls == []


@pytest.mark.parametrize(("gpu", "least"), [(False, 200), (True, 2500)])
def test_the_question_names_the_real_size(flow, pip, monkeypatch, gpu, least):
    """With an NVIDIA GPU PyTorch brings gigabytes of CUDA libraries; faiss-gpu would bring them a second time."""
    flow.gpu = gpu
    monkeypatch.setattr(sys, "platform", "linux")
    everything = [str(each) for each in flow.module._fileRequirements()]
    assert {each.name for each in flow.module._fileRequirements()} == set(flow.module._ABOUT_MB)
    assert 20 <= flow.module.downloadMB(everything) <= 40
    assert flow.module.downloadMB(["torch", "rich"]) > least
    assert str(flow.module.downloadMB(["torch", "rich"])) in flow.module.question(["torch", "rich"])
    assert not any("gpu" in str(each) for each in flow.module._fileRequirements()), "a GPU is searched by PyTorch"


def test_a_torch_that_is_too_old_is_told_and_not_replaced(script, monkeypatch):
    """numpy 2, which Slicer brings, needs PyTorch 2.3; pip could not replace a torch that is loaded."""
    from MIASSAMSlicerLib import dependencies

    versions = {"torch": "2.2.1", "torchvision": "0.17.0"}
    monkeypatch.setattr(dependencies, "_isInstalled", lambda name: True)
    monkeypatch.setattr(dependencies.importlib.metadata, "version", lambda name: versions.get(name, "99"))
    monkeypatch.setattr(dependencies, "_isMet", lambda requirement: True)
    assert dependencies.missingPackages() == ["torch"]
    with pytest.raises(dependencies.MissingPackagesError, match="PyTorch 2.2.1 is installed"):
        dependencies.ensurePackages(lambda text: True)
    versions["torch"] = "2.3.0+cpu"
    assert dependencies.missingPackages() == []


def test_another_build_of_faiss_will_do(script, monkeypatch):
    """faiss-cpu over a faiss-gpu that is there would break both."""
    from MIASSAMSlicerLib import dependencies

    monkeypatch.setattr(dependencies, "_isInstalled", lambda name: name == "faiss-gpu-cu12")
    faiss = next(each for each in dependencies._fileRequirements() if each.name == "faiss-cpu")
    assert dependencies._isMet(faiss)


def test_constraints_hold_what_slicer_brings():
    import importlib.metadata

    from MIASSAMSlicerLib import dependencies

    path = dependencies._constraintsFile()
    lines = path.read_text().splitlines()
    path.unlink()
    assert f"numpy=={importlib.metadata.version('numpy')}" in lines
    assert any(line.startswith("SimpleITK==") for line in lines)


def test_the_requirements_file_never_names_torch():
    from MIASSAMSlicerLib import dependencies

    assert not {each.name for each in dependencies._fileRequirements()} & {"torch", "torchvision"}


def test_everything_here_is_installed_without_importing_it():
    program = (
        "import sys; sys.path[:0] = {paths!r}\nfrom slicer_host import startHost; startHost()\n"
        "from MIASSAMSlicerLib import dependencies\nprint(dependencies.missingPackages(), 'torch' in sys.modules,"
        " 'faiss' in sys.modules)"
    )
    from .conftest import MODULE_FOLDER, REPOSITORY

    done = subprocess.run(
        [sys.executable, "-c", program.format(paths=[str(REPOSITORY / "Testing"), str(MODULE_FOLDER)])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[] False False"
