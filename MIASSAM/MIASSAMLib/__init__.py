"""Find and outline what is abnormal in a medical volume, having seen only normal anatomy.

MIAS-SAM (BMVC 2025): patches of SAM image embeddings are compared with a memory bank of normal
patches; the distances form an anomaly map whose center of gravity prompts SAM's decoder.
This package never imports slicer, qt, ctk or vtk.
"""

__version__ = "0.1.0"
