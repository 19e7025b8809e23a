"""How the embedded model was trained: procedural images in, weights out. Not part of the installed package."""
