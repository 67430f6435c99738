"""The TOML recipe as frozen models."""

from cruxtune.recipe.inheritance import find_recipe, shipped_recipes
from cruxtune.recipe.loading import load_recipe, parse_recipe
from cruxtune.recipe.recipe import Recipe

__all__ = ["Recipe", "find_recipe", "load_recipe", "parse_recipe", "shipped_recipes"]
