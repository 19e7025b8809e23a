"""The memory bank: normal patches on disk and in memory, and the search for the nearest one.

The only room that knows Faiss; opening this package does not load it.
"""

from .archive import ARCHIVE_SUFFIX, Origin, export_bank, import_bank
from .bank import MemoryBank, bank_info, verify_bank
from .manifest import KindRecord, Manifest, ManifestDraft, SourceRecord, read_manifest
from .merge import merge_banks
from .publish import Candidates, Selector
from .spool import StoredPart
from .storage import COMPRESS_CHOICES, Compress
from .taught import Lesson, taught_digest, teach, unteach
from .writer import BankWriter, check_free

__all__ = [
    "ARCHIVE_SUFFIX",
    "BankWriter",
    "Candidates",
    "KindRecord",
    "Manifest",
    "ManifestDraft",
    "MemoryBank",
    "SourceRecord",
    "Origin",
    "Lesson",
    "StoredPart",
    "bank_info",
    "check_free",
    "export_bank",
    "import_bank",
    "merge_banks",
    "COMPRESS_CHOICES",
    "Compress",
    "Selector",
    "read_manifest",
    "taught_digest",
    "teach",
    "unteach",
    "verify_bank",
]
