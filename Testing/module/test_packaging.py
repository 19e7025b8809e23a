"""What is shipped: every file is listed, the catalog entries agree, and CMake takes the project."""

import json
import re
import shutil
import struct
import subprocess
import sys

import pytest

from .conftest import MODULE_FOLDER, REPOSITORY
from .listFiles import shippedFiles
from .setRepository import FILES, currentAddress, setAddress

STUB_CONFIG = """
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown keywords: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "nonexistent file ${file}")
    endif()
    file(APPEND ${RECORD} "file ${file}\\n")
  endforeach()
  file(APPEND ${RECORD} "module ${MY_NAME} ${MY_WITH_GENERIC_TESTS}\\n")
endmacro()
macro(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT" "" ${ARGN})
  file(APPEND ${RECORD} "unittest ${MY_SCRIPT}\\n")
endmacro()
"""


def extensionSettings():
    text = (REPOSITORY / "CMakeLists.txt").read_text()
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"]*)"\)', text, re.MULTILINE))


def catalogEntry():
    lines = [
        line
        for line in (REPOSITORY / "MIASSAM.s4ext").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    return {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines}


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """The macro calls that a real cmake makes of this project, against a stub of Slicer's package."""
    folder = tmp_path_factory.mktemp("cmake")
    stub, record = folder / "stub", folder / "calls.txt"
    stub.mkdir()
    (stub / "SlicerConfig.cmake").write_text(
        STUB_CONFIG
        + "".join(
            f"set({name} {stub}/{name}.cmake)\n"
            for name in ("Slicer_USE_FILE", "Slicer_EXTENSION_GENERATE_CONFIG", "Slicer_EXTENSION_CPACK")
        )
    )
    (stub / "Slicer_USE_FILE.cmake").write_text("")
    for name in ("Slicer_EXTENSION_GENERATE_CONFIG", "Slicer_EXTENSION_CPACK"):
        (stub / f"{name}.cmake").write_text(f'file(APPEND ${{RECORD}} "included {name} ${{EXTENSION_DEPENDS}}\\n")\n')
    command = [
        "cmake",
        "-S",
        REPOSITORY,
        "-B",
        folder / "built",
        f"-DSlicer_DIR={stub}",
        f"-DRECORD={record}",
        "-DBUILD_TESTING=ON",
        "-Wno-dev",
    ]
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return record.read_text().splitlines()


def test_cmake_ships_every_file_and_no_other(configured):
    listed = sorted(line[5:] for line in configured if line.startswith("file "))
    scripts, resources = shippedFiles()
    assert listed == sorted(scripts + resources), "run: python Testing/module/listFiles.py"


def test_cmake_builds_the_module_with_its_tests(configured):
    assert "module MIASSAM TRUE" in configured
    assert "unittest MIASSAM.py" in configured
    assert configured[-2:] == [
        "included Slicer_EXTENSION_GENERATE_CONFIG PyTorch",
        "included Slicer_EXTENSION_CPACK PyTorch",
    ]


def test_only_packages_lie_beside_the_entry_file():
    """Slicer takes every .py beside MIASSAM.py for a module."""
    assert [path.name for path in MODULE_FOLDER.glob("*.py")] == ["MIASSAM.py"]


def test_the_catalog_entries_agree_with_cmake():
    settings, entry = extensionSettings(), catalogEntry()
    for key, name in (
        ("homepage", "HOMEPAGE"),
        ("contributors", "CONTRIBUTORS"),
        ("description", "DESCRIPTION"),
        ("iconurl", "ICONURL"),
        ("screenshoturls", "SCREENSHOTURLS"),
        ("depends", "DEPENDS"),
    ):
        assert entry[key] == settings[name], key
    data = json.loads((REPOSITORY / "MIASSAM.json").read_text())
    assert set(data) == {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "scm_revision",
        "scm_url",
        "tier",
    }
    assert data["build_dependencies"] == settings["DEPENDS"].split()
    for key, name in (
        ("scm_url", "scmurl"),
        ("scm_revision", "scmrevision"),
        ("category", "category"),
        ("build_subdirectory", "build_subdirectory"),
    ):
        assert data[key] == entry[name], key
    assert str(data["tier"]) == entry["tier"]
    assert data["$schema"].rstrip("#").endswith("slicer-extension-catalog-entry-schema-v1.0.1.json")


def addresses(folder):
    """Return every address in the catalog entries but that of their schema."""
    text = "".join((folder / name).read_text() for name in FILES)
    return [each for each in re.findall(r"https://[^\s\"]+", text) if "/Slicer/Slicer/" not in each]


def test_every_address_is_of_the_one_repository_and_can_be_set_at_once(tmp_path):
    assert {each.startswith(currentAddress()) for each in addresses(REPOSITORY)} == {True}
    for name in FILES:
        shutil.copy(REPOSITORY / name, tmp_path)
    setAddress("https://git.example.net/group/SlicerMIASSAM/", tmp_path)
    expected = [
        each.replace(currentAddress(), "https://git.example.net/group/SlicerMIASSAM") for each in addresses(REPOSITORY)
    ]
    assert addresses(tmp_path) == expected


@pytest.mark.parametrize("name", ["MIASSAM.json", "MIASSAM.s4ext", "CMakeLists.txt", "MIASSAM/CMakeLists.txt"])
def test_line_endings_are_plain(name):
    data = (REPOSITORY / name).read_bytes()
    assert b"\r" not in data and data.endswith(b"\n")


def test_the_icon_is_a_png_of_128_pixels():
    data = (MODULE_FOLDER / "Resources" / "Icons" / "MIASSAM.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (128, 128)


def test_pictures_named_in_cmake_are_there():
    settings = extensionSettings()
    for url in [settings["ICONURL"], *settings["SCREENSHOTURLS"].split()]:
        assert (REPOSITORY / url.split("/main/")[1]).is_file(), url


def test_the_card_is_complete(host, script):
    import slicer

    card = slicer.modules.miassam
    assert card.title == "MIAS-SAM"
    assert card.categories == ["Segmentation"]
    assert "arXiv:2505.22762" in card.acknowledgementText
    assert "research only" in card.helpText
    assert not card.icon.isNull()
    for name in ("MIASSAM", "MIASSAMWidget", "MIASSAMLogic", "MIASSAMTest"):
        assert hasattr(script, name)


IMPORT_PROBE = """
import sys
sys.path[:0] = {paths!r}
from slicer_host import startHost
host = startHost()
import slicer.ScriptedLoadableModule, slicer.parameterNodeWrapper, slicer.i18n, packaging.requirements
before = set(sys.modules)
script = host.loadModule({entry!r})
loaded = {{name.split(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names)
host.openWidget(script, "MIASSAM")
heavy = sorted({{"torch", "faiss", "segment_anything", "nibabel", "SimpleITK", "scipy"}} & set(sys.modules))
print(",".join(sorted(loaded)), ",".join(heavy))
"""


def test_importing_loads_this_module_alone_and_opening_loads_nothing_heavy():
    program = IMPORT_PROBE.format(
        paths=[str(REPOSITORY / "Testing"), str(MODULE_FOLDER)], entry=str(MODULE_FOLDER / "MIASSAM.py")
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded, heavy = done.stdout.splitlines()[-1].split(" ")
    assert heavy == ""
    assert set(loaded.split(",")) <= {"MIASSAM", "MIASSAMLib", "MIASSAMSlicerLib", "vtk"}
