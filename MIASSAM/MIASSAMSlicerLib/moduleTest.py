"""MIASSAMTest: the self-test that runs inside Slicer, offline, in under a minute."""

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest


class MIASSAMTest(ScriptedLoadableModuleTest):
    pass
