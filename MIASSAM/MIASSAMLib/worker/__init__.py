"""The child process that holds the model: requests in, results out, over a pipe.

The Slicer module talks to the library only through it, so that torch and Faiss never load into the
application, a cancel takes effect at once, and embeddings stay warm for re-decoding.
"""

from .messages import FINAL_KINDS, PROTOCOL_VERSION, LineBuffer, decode, encode

__all__ = ["FINAL_KINDS", "PROTOCOL_VERSION", "LineBuffer", "decode", "encode"]
