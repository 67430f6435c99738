"""Stage directories: atomic Parquet parts, a manifest, resume. Nothing here imports torch."""

from cruxtune.store.journal import Journal
from cruxtune.store.manifest import (
    Manifest,
    ModelIdentity,
    difference,
    difference_of_models,
    installed_versions,
)
from cruxtune.store.parts import num_items, parts_of, read_part, read_part_table
from cruxtune.store.reading import read_column, read_manifest, read_records, require_intact
from cruxtune.store.stage import StageWriter, forget_other, holds, is_complete, require_same

__all__ = [
    "Journal",
    "Manifest",
    "ModelIdentity",
    "StageWriter",
    "difference",
    "difference_of_models",
    "forget_other",
    "holds",
    "installed_versions",
    "is_complete",
    "num_items",
    "parts_of",
    "read_column",
    "read_manifest",
    "read_part",
    "read_part_table",
    "read_records",
    "require_intact",
    "require_same",
]
