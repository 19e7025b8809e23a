"""Embeddings kept, so that a slice is encoded once."""
