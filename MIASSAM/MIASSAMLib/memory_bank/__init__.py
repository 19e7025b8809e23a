"""The memory bank: normal patches on disk and in memory, and the search for the nearest one.

The only room that knows Faiss; opening this package does not load it.
"""

from .bank import MemoryBank, bank_info, verify_bank
from .manifest import KindRecord, Manifest, ManifestDraft, SourceRecord, read_manifest
from .writer import BankWriter, StoredPart

__all__ = [
    "BankWriter",
    "KindRecord",
    "Manifest",
    "ManifestDraft",
    "MemoryBank",
    "SourceRecord",
    "StoredPart",
    "bank_info",
    "read_manifest",
    "verify_bank",
]
