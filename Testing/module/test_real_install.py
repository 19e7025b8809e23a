"""The install flow with the real pip: a wheel made here is really installed, into a folder of this test."""

import base64
import hashlib
import importlib.metadata
import zipfile

import pytest
import slicer

NAME, VERSION = "miassam-install-probe", "1.2"


def writeWheel(folder, requires="", name=NAME, version=VERSION):
    """Write a pure Python wheel and return its path."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        "miassam_install_probe.py": "ANSWER = 42\n",
        f"{stem}.dist-info/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items())
    files[f"{stem}.dist-info/RECORD"] = record + f"{stem}.dist-info/RECORD,,\n"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def _digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(params=["5.10", "5.12"])
def shop(script, monkeypatch, tmp_path, request):
    """A folder of wheels that pip takes instead of the network, and a folder that it installs into."""
    from MIASSAMSlicerLib import dependencies

    wheels, target = tmp_path / "wheels", tmp_path / "target"
    wheels.mkdir()
    target.mkdir()
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": wheels.as_uri(),
        "PIP_TARGET": str(target),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(target)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# what is needed\n{NAME}=={VERSION}\n")
    monkeypatch.setattr(dependencies, "REQUIREMENTS_FILE", requirements)
    monkeypatch.setattr(
        type(slicer.app), "testingEnabled", lambda self: True
    )  # else Slicer shows its own progress box
    if request.param == "5.10":
        monkeypatch.setattr(dependencies, "_slicerPackaging", lambda: None)
    return dependencies, wheels, target


def test_a_package_is_really_installed_after_one_question(shop):
    dependencies, wheels, target = shop
    writeWheel(wheels)
    asked, said = [], []
    assert dependencies.missingPackages() == [f"{NAME}=={VERSION}"]
    assert dependencies.ensurePackages(lambda text: asked.append(text) or True, said.append)
    assert len(asked) == 1 and NAME in asked[0]
    assert importlib.metadata.version(NAME) == VERSION
    assert (target / "miassam_install_probe.py").read_text() == "ANSWER = 42\n"
    assert not dependencies.ensurePackages(lambda text: asked.append(text) or True, said.append)
    assert len(asked) == 1


def test_a_package_that_is_not_to_be_had_is_named(shop):
    dependencies, _wheels, target = shop
    with pytest.raises(dependencies.MissingPackagesError) as raised:
        dependencies.ensurePackages(lambda text: True)
    assert f"{NAME}=={VERSION} could not be installed" in str(raised.value)
    assert not list(target.iterdir())


def test_a_package_that_would_replace_numpy_is_not_installed(shop):
    dependencies, wheels, target = shop
    writeWheel(wheels, requires="numpy<1.0")
    writeWheel(wheels, name="numpy", version="0.9")
    numpy = importlib.metadata.version("numpy")
    with pytest.raises(dependencies.MissingPackagesError, match="could not be installed"):
        dependencies.ensurePackages(lambda text: True)
    assert not list(target.iterdir()) and importlib.metadata.version("numpy") == numpy
