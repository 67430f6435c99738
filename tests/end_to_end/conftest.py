"""One undisturbed run that many tests look at."""

from pathlib import Path

import pytest
from commands import cruxtune, write_recipe


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The output directory of a run that nothing disturbed; `../small.toml` beside it is its recipe."""
    folder = tmp_path_factory.mktemp("finished")
    recipe = write_recipe(folder, folder / "out")
    result = cruxtune("run", recipe)
    assert result.returncode == 0, result.stderr
    return folder / "out"
