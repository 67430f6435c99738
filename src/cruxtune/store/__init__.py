"""Stage directories: atomic Parquet parts, a manifest, resume. Nothing here imports torch."""

from cruxtune.store.manifest import Manifest, ModelIdentity, installed_versions
from cruxtune.store.stage import (
    StageWriter,
    forget_other,
    is_complete,
    parts_of,
    read_manifest,
    read_part,
    read_part_table,
    read_records,
    require_intact,
    require_same,
)

__all__ = [
    "Manifest",
    "ModelIdentity",
    "StageWriter",
    "forget_other",
    "installed_versions",
    "is_complete",
    "parts_of",
    "read_manifest",
    "read_part",
    "read_part_table",
    "read_records",
    "require_intact",
    "require_same",
]
