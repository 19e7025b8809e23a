"""Where the user's memory banks are, and what the panel says about one."""

import json
import os
from pathlib import Path

import qt
from slicer.i18n import tr as _

FOLDER_SETTING = "MIASSAM/BankFolder"


def userFolder():
    """Return this extension's folder for the user's data: outside Slicer, so that it survives an upgrade."""
    moved = os.environ.get("MIASSAM_DATA_FOLDER")
    if moved:
        return Path(moved)
    return Path(str(qt.QStandardPaths.writableLocation(qt.QStandardPaths.GenericDataLocation))) / "MIASSAM"


def bankFolder():
    """Return the folder of the user's banks; it need not exist yet."""
    chosen = qt.QSettings().value(FOLDER_SETTING)
    return Path(str(chosen)) if chosen else userFolder() / "banks"


def listBanks():
    """Return the banks of the user's folder, by name."""
    folder = bankFolder()
    found = folder.glob("*.bank") if folder.is_dir() else []
    return sorted((path for path in found if (path / "manifest.json").is_file()), key=lambda path: path.name.lower())


def archiveName(path):
    """Return the name of a bank from that of its archive, NAME.bank.zip."""
    return Path(path).name.removesuffix(".zip").removesuffix(".bank")


def readManifest(path):
    """Return a bank's manifest as data; {} where it cannot be read."""
    try:
        data = json.loads((Path(path) / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def lessons(path):
    """Return what a bank was taught, oldest first; [] where nothing can be read."""
    try:
        data = json.loads((Path(path) / "taught.json").read_text(encoding="utf-8"))
        return list(data["lessons"].values())
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return []


def describeBank(path):
    """Say in a line what a bank is: modality, anatomy, slices, model. Cheap: it only reads the manifest."""
    if not path:
        return _(
            "Without a bank the volume is compared with itself: what is found is unusual within this patient. 'Add "
            "inside', 'Add outside' and 'Box' outline what you point at without any search."
        )
    manifest = readManifest(path)
    draft = manifest.get("draft", {})
    if not draft:
        return _("'{name}' is no memory bank, or its manifest is damaged.").format(name=Path(path).name)
    words = " ".join(word for word in (draft.get("modality", "").upper(), draft.get("anatomy", "")) if word)
    told = _("{words}: {slices} normal slices, model {model}, preset {preset}").format(
        words=words or _("Unnamed anatomy"),
        slices=manifest.get("n_slices", 0),
        model=draft.get("model_name", "?"),
        preset=draft.get("preset", "?"),
    )
    taught = len(lessons(path))
    return told + (_("; taught {count} more").format(count=taught) if taught else "")
