"""The TOML recipe as frozen models."""

from cruxtune.recipe.loading import find_recipe, load_recipe, parse_recipe, shipped_recipes
from cruxtune.recipe.recipe import Recipe

__all__ = ["Recipe", "find_recipe", "load_recipe", "parse_recipe", "shipped_recipes"]
