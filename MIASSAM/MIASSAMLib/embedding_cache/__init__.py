"""Embeddings kept, so that a slice is encoded once."""

from __future__ import annotations

from .cache import EmbeddingCache, embedding_key

__all__ = ["EmbeddingCache", "embedding_key"]
