"""A model's identity follows what its numbers depend on, and nothing else."""

import shutil

import pytest

from cruxtune.errors import ModelError
from cruxtune.models import TINY, ModelFiles, find_model, load_tokenizer


@pytest.fixture
def copy(tiny_files, tmp_path) -> ModelFiles:
    shutil.copytree(tiny_files, tmp_path / "model")
    return find_model(str(tmp_path / "model"))


def changed(files: ModelFiles, name: str, content: bytes = b"{}") -> tuple[bool, bool]:
    """Whether the hash of the weights and that of the tokenizer change with a file."""
    before = files.identity()
    (files.directory / name).write_bytes(content)
    after = files.identity()
    return (
        before.weights_sha256 != after.weights_sha256,
        before.tokenizer_sha256 != after.tokenizer_sha256,
    )


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "generation_config.json"])
def test_the_weights_hash_follows_weights_and_configuration(copy, name):
    assert changed(copy, name) == (True, False)


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "tokenizer.model", "chat_template.jinja"]
)
def test_the_tokenizer_hash_follows_all_that_prompts_depend_on(copy, name):
    assert changed(copy, name) == (False, True)


@pytest.mark.parametrize("name", ["README.md", "LICENSE", ".gitattributes"])
def test_neither_hash_follows_the_readme(copy, name):
    assert changed(copy, name) == (False, False)


def test_the_same_files_elsewhere_have_the_same_hashes(tiny_files, copy):
    here, there = copy.identity(), find_model(str(tiny_files)).identity()
    assert here.weights_sha256 == there.weights_sha256
    assert here.tokenizer_sha256 == there.tokenizer_sha256


def test_the_tiny_model_ships():
    files = find_model(TINY)
    assert files.name == TINY and (files.directory / "model.safetensors").is_file()


def test_a_directory_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"is not a model directory: it has no config\.json"):
        find_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="has no weights"):
        find_model(str(tmp_path))


def test_a_model_without_a_tokenizer_is_named_in_one_line(copy):
    for path in copy.directory.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="can't load the tokenizer of") as caught:
        load_tokenizer(copy)
    assert "\n" not in str(caught.value)
