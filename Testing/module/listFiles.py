"""Write the file lists of MIASSAM/CMakeLists.txt from what is on the disk: ``python Testing/module/listFiles.py``."""

from pathlib import Path

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "MIASSAM"
NOT_SHIPPED = {"CMakeLists.txt"}


def shippedFiles():
    """Return (scripts, resources) that belong into the extension, as paths relative to the module folder."""
    scripts, resources = [], []
    for path in sorted(MODULE_FOLDER.rglob("*")):
        name = path.relative_to(MODULE_FOLDER).as_posix()
        if not path.is_file() or name in NOT_SHIPPED or "__pycache__" in path.parts or path.name.startswith("."):
            continue
        if ".egg-info" in name:
            continue
        (scripts if path.suffix == ".py" else resources).append(name)
    return scripts, resources


def render(lists):
    """Return the part of CMakeLists.txt between the marks."""
    names = ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")
    blocks = ["# [scripts]\n", "# [resources]\n"]
    return "\n".join(
        f"{mark}set({name}\n" + "".join(f"  {file}\n" for file in files) + "  )\n"
        for mark, name, files in zip(blocks, names, lists)
    )


def main():
    path = MODULE_FOLDER / "CMakeLists.txt"
    text = path.read_text()
    before, rest = text.split("# [scripts]\n")
    path.write_text(before + render(shippedFiles()) + "\n# [end]\n" + rest.split("# [end]\n")[1])


if __name__ == "__main__":
    main()
