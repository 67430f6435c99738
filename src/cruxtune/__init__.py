"""Cruxtune: find the critical tokens of a model's correct solutions, fine-tune on those alone.

A critical token is one whose every reasonable replacement turns a correct solution into a wrong one.
Start with `cruxtune.recipe.load_recipe` and the functions in `cruxtune.stages`.
"""

__version__ = "0.1.0"
