"""Problems from files, the Hub and the project's own generator, and the prompts made of them."""

from cruxtune.problems.files import read_rows
from cruxtune.problems.gsm8k import load_gsm8k
from cruxtune.problems.hub import read_hub
from cruxtune.problems.math import load_math
from cruxtune.problems.prompts import PromptEncoder, find_template
from cruxtune.problems.rows import Columns, to_problems
from cruxtune.problems.splitting import hold_out

__all__ = [
    "Columns",
    "PromptEncoder",
    "find_template",
    "hold_out",
    "load_gsm8k",
    "load_math",
    "read_hub",
    "read_rows",
    "to_problems",
]
