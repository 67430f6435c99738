"""Where a model's files are and which ones they are. Nothing here imports torch."""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from cruxtune.errors import ModelError
from cruxtune.store.files import hash_file, hash_values
from cruxtune.store.manifest import ModelIdentity

TINY = "tiny"
WEIGHTS = ("*.safetensors", "*.bin")
TOKENIZER = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*.tiktoken",
    "*.jinja",
)
VOCABULARY = ("tokenizer.json", "vocab*", "*.model", "*.tiktoken")
"""Without one of these transformers would make up an empty tokenizer."""
CONFIG = ("config.json", "generation_config.json")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's directory on this machine, and the name by which the recipe knows it."""

    name: str
    directory: Path
    revision: str | None = None

    def identity(self) -> ModelIdentity:
        """Hashes of the weights (with their configuration) and of the tokenizer."""
        return ModelIdentity(
            name=self.name,
            revision=self.revision,
            weights_sha256=self._hash(*WEIGHTS, *CONFIG),
            tokenizer_sha256=self._hash(*TOKENIZER),
        )

    def _hash(self, *patterns: str) -> str:
        files = sorted({path for pattern in patterns for path in self.directory.glob(pattern)})
        return hash_values(f"{path.name} {_content_hash(path)}" for path in files)


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """The files of `tiny`, of a directory, or of a Hub repository (downloaded into its cache)."""
    if name == TINY:
        return _checked(ModelFiles(TINY, Path(str(resources.files("cruxtune"))) / "tiny"))
    if Path(name).is_dir():
        return _checked(ModelFiles(name, Path(name)))
    return _checked(_download(name, revision))


def _content_hash(path: Path) -> str:
    """SHA-256 of a file; large files in the Hub's cache are links to a file of that name."""
    blob = path.resolve().name
    return blob if path.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", blob) else hash_file(path)


def _checked(files: ModelFiles) -> ModelFiles:
    if not (files.directory / "config.json").is_file():
        raise ModelError(f"{files.directory} is not a model directory: it has no config.json")
    if not any(path for pattern in WEIGHTS for path in files.directory.glob(pattern)):
        raise ModelError(f"{files.directory} has no weights (*.safetensors)")
    return files


def _download(name: str, revision: str | None) -> ModelFiles:
    from huggingface_hub import snapshot_download

    patterns = [*CONFIG, *TOKENIZER, "*.safetensors", "*.safetensors.index.json", "*.py"]
    try:
        directory = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"the model {name!r} is neither `tiny`, nor a directory, nor to be had from the Hub: {reason}"
        ) from error
    return ModelFiles(name, directory, revision=directory.name)


def load_tokenizer(files: ModelFiles, trust_remote_code: bool = False) -> Any:
    """The model's tokenizer, as transformers loads it."""
    from transformers import AutoTokenizer

    if not any(path for pattern in VOCABULARY for path in files.directory.glob(pattern)):
        raise ModelError(f"can't load the tokenizer of {files.name}: {files.directory} has no tokenizer.json")
    try:
        return AutoTokenizer.from_pretrained(files.directory, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"can't load the tokenizer of {files.name}: {str(error).splitlines()[0]}") from error
