"""The base of every section of a recipe: frozen, and strict about unknown keys."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""What becomes the name of a directory."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every random generator takes."""


class Settings(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )
