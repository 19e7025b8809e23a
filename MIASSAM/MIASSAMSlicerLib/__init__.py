"""The Slicer side of MIASSAM: nodes, views and widgets. The method itself is in ``MIASSAMLib``."""
