"""What the panel's buttons do with packages, models and folders, and how a failure is told."""

import qt
import slicer
from slicer.i18n import tr as _

from . import banks, dependencies
from .errors import ModuleError, RunCancelled


class MaintenanceActions:
    """Slots that touch no volume; ``panel`` is the MIASSAMWidget."""

    def __init__(self, panel):
        self.panel, self.jobs, self.state = panel, panel.jobs, panel.state
        self._isInstalling = False

    @property
    def parameters(self):
        """The scene's parameters, also while another module is open and the panel is not bound to them."""
        return self.panel.logic.getParameterNode()

    def onCheckpointBrowseButton(self):
        path = qt.QFileDialog.getOpenFileName(self.panel.parent, _("Choose a checkpoint"), "", "*.pth *.pt")
        path = path[0] if isinstance(path, tuple) else path
        if path:
            self.parameters.checkpointPath = str(path)

    def onDownloadModelButton(self):
        model = self.parameters.model
        if slicer.util.confirmOkCancelDisplay(
            _("Download {model} from the servers of its authors? It is verified and kept in your user folder.").format(
                model=model.label()
            )
        ):
            self.guarded(
                lambda: self.jobs.start("fetch_model", {"name": model.value}, self._onModelFetched, self.onFailure)
            )

    def _onModelFetched(self, answer):
        self.state.showStatus(_("The model is ready: {path}").format(path=answer["path"]))

    def onRemoveModelsButton(self):
        if slicer.util.confirmOkCancelDisplay(_("Delete all downloaded models? They can be downloaded again.")):
            self.guarded(lambda: self.jobs.start("remove_models", {}, self._onModelsRemoved, self.onFailure))

    def _onModelsRemoved(self, answer):
        self.state.showStatus(_("Freed {size} MB.").format(size=round(answer["freed_bytes"] / 1e6)))

    def onInstallButton(self):
        self.guarded(self._install)

    def _install(self):
        installed = self._ensurePackages()
        self.state.showStatus(_("The packages are installed.") if installed else _("Everything is installed already."))

    def onVersionsButton(self):
        """Write what is installed into the log."""
        for name, version in dependencies.installedVersions().items():
            self.state.log(f"{name} {version or _('not installed')}")
        self.state.showStatus(_("The installed versions are in the log."))

    def onBankFolderButton(self):
        folder = banks.bankFolder()
        folder.mkdir(parents=True, exist_ok=True)
        openFolder(folder)

    def onImportBankButton(self):
        """Take in a bank that somebody shared as one file."""
        path = qt.QFileDialog.getOpenFileName(self.panel.parent, _("Choose a shared memory bank"), "", "*.bank.zip")
        path = path[0] if isinstance(path, tuple) else path
        if path:
            self.guarded(lambda: self.importBank(str(path)))

    def importBank(self, archive):
        """Unpack a shared bank into the user's folder and choose it; a bank of this name is asked about."""
        folder = banks.bankFolder()
        path = folder / f"{banks.archiveName(archive)}.bank"
        question = _("You have a bank '{name}' already. Replace it by the shared one?").format(name=path.stem)
        isThere = path.exists()
        if isThere and not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("MIAS-SAM")):
            return
        self._ensurePackages()
        folder.mkdir(parents=True, exist_ok=True)
        arguments = {"archive": archive, "path": str(path), "overwrite": isThere}
        self.jobs.start("import_bank", arguments, self._onBankImported, self.onFailure)

    def _onBankImported(self, answer):
        self.parameters.bankPath = answer["path"]
        self.state.showBanks(answer["path"])
        told = _("The bank is ready: {count} normal slices.").format(count=answer["n_slices"])
        self.state.showStatus("\n".join((told, *answer["notes"])))

    def onModelFolderButton(self):
        self.guarded(lambda: self.jobs.start("list_models", {}, self._onModelFolder, self.onFailure))

    def _onModelFolder(self, answer):
        openFolder(answer["folder"])

    # Failures

    def _ensurePackages(self):
        if self._isInstalling:
            raise ModuleError(_("Packages are being installed. Wait until that is done."))
        self._isInstalling = True
        try:
            with dependencies.outputTo(self._say):
                return dependencies.ensurePackages(
                    lambda text: slicer.util.confirmOkCancelDisplay(text, windowTitle=_("MIAS-SAM")), self._say
                )
        finally:
            self._isInstalling = False

    def _say(self, text):
        self.state.showStatus(text)
        self.state.log(text)
        slicer.app.processEvents()

    def guarded(self, action):
        try:
            action()
        except ModuleError as error:
            self.onFailure(error)

    def onFailure(self, error):
        text = str(error)
        if getattr(error, "kind", "") == "CheckpointError":
            text += "\n" + _("In this panel: click 'Download...', or choose a model that is given by its file.")
        self.state.showStatus(text)
        self.state.log(text)
        if not isinstance(error, RunCancelled):
            slicer.util.errorDisplay(text, windowTitle=_("MIAS-SAM"))


def openFolder(folder):
    """Show a folder in the system's file browser."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))
