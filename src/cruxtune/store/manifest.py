"""What a stage directory says of itself: made from what, by what, and what it holds."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from cruxtune.errors import ArtifactError
from cruxtune.store.files import hash_values, write_json
from cruxtune.store.schema import SCHEMA_VERSION

RECORDED_PACKAGES = (
    "cruxtune",
    "torch",
    "transformers",
    "tokenizers",
    "trl",
    "peft",
    "accelerate",
    "math-verify",
)


class ModelIdentity(BaseModel):
    """Which weights and which tokenizer: token ids belong to one model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    revision: str | None
    weights_sha256: str
    tokenizer_sha256: str

    @property
    def hashes(self) -> tuple[str, str]:
        """What tells models apart; the name is for people."""
        return self.weights_sha256, self.tokenizer_sha256


class Part(BaseModel):
    """One Parquet file of a stage directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    num_rows: int
    sha256: str


class Manifest(BaseModel):
    """No clock and no host in it, so that equal runs give equal manifests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    stage: str
    settings: dict[str, Any]
    """The part of the resolved recipe that this stage's results depend on."""
    model: ModelIdentity
    inputs: dict[str, str]
    """Digest of each directory that was read, by its path inside the output directory."""
    versions: dict[str, str]
    earlier_versions: list[dict[str, str]] = []
    """Other versions that wrote parts before a stop."""
    complete: bool = False
    parts: list[Part] = []
    """Empty until the stage is through or was paused with something usable."""
    counts: dict[str, float] = {}
    """The numbers that the stage reports."""

    @property
    def is_usable(self) -> bool:
        """Whether later stages may read the directory: all of it is there, or it was paused."""
        return self.complete or bool(self.parts)

    @property
    def digest(self) -> str:
        """Hash of the contents, by which later stages name what they were made from."""
        return hash_values(f"{part.file} {part.sha256}" for part in self.parts)

    def going_on_from(self, recorded: Self | None) -> Self:
        """This manifest, with the versions that an interrupted run of it was made with."""
        if recorded is None:
            return self
        earlier = [v for v in [*recorded.earlier_versions, recorded.versions] if v != self.versions]
        return self.model_copy(update={"earlier_versions": earlier})

    def write(self, directory: Path) -> None:
        write_json(directory / "manifest.json", self.model_dump(mode="json"))

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """The manifest of a directory, or None where there is none."""
        path = directory / "manifest.json"
        if not path.exists():
            return None
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ArtifactError(
                f"{path} is damaged, or from another version of cruxtune: delete {directory} and run again"
            ) from error


def installed_versions() -> dict[str, str]:
    """Versions of the packages that results can depend on; asks the installer, imports nothing."""
    return {name: found for name in RECORDED_PACKAGES if (found := _version(name))}


def difference(recorded: Manifest, wanted: Manifest) -> str | None:
    """The first thing in which a directory differs from what the recipe asks for, in words."""
    if recorded.schema_version != wanted.schema_version:
        return f"has schema version {recorded.schema_version}, this cruxtune writes {wanted.schema_version}"
    if recorded.model.hashes != wanted.model.hashes:
        return f"was made with {_describe(recorded.model)}, the recipe names {_describe(wanted.model)}"
    for key, old, new in _differing(recorded.settings, wanted.settings):
        return f"was made with {key} = {old!r}, the recipe says {new!r}"
    for key, _, _ in _differing(recorded.inputs, wanted.inputs):
        grown = ", which was partial or has been made again" if key == "annotate" else ""
        return f"was made from other contents of `{key}` than there are now{grown}"
    return None


def difference_of_models(one: Manifest, other: Manifest) -> str | None:
    """That two directories were made with different models, naming both."""
    if one.model.hashes == other.model.hashes:
        return None
    return f"one was made with {_describe(one.model)}, the other with {_describe(other.model)}"


def _differing(
    before: dict[str, Any], now: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(before.keys() | now.keys(), key=lambda key: (key != "type", key)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differing(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", old, new


def _describe(model: ModelIdentity) -> str:
    revision = f"@{model.revision[:8]}" if model.revision else ""
    return (
        f"{model.name}{revision} (weights {model.weights_sha256[:8]}, tokenizer {model.tokenizer_sha256[:8]})"
    )


@cache
def _version(name: str) -> str | None:
    """Asked for every directory, found out once a process."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
