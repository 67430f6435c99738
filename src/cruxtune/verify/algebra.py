"""Equality of expressions by math-verify, with its known false equalities taken out.

Only for processes that can be killed: sympy may run for ever on a short answer. Importing this
module imports sympy.
"""

import logging
import re

from latex2sympy2_extended.latex2sympy2 import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, N

from cruxtune.verify.notation import tidy

logging.getLogger("math_verify").setLevel(logging.CRITICAL)

_AS_IT_STANDS = LatexExtractionConfig(
    boxed_match_priority=-1,
    normalization_config=NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
    ),
)
_AND = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z]))\s*")
_DECIMALS = 12
"""Floats inside expressions are compared to this many decimals; plain numbers never come here."""


def equal_by_algebra(reference: str, answer: str) -> bool:
    """Whether math-verify finds the expressions equal, and not by rounding alone."""
    gold, target = _parsed(reference), _parsed(answer)
    if gold is None or target is None:
        return False
    equal = verify(
        [gold], [target], float_rounding=_DECIMALS, timeout_seconds=None, allow_set_relation_comp=True
    )
    return equal and not _equal_by_rounding(gold, target)


def _parsed(text: str) -> Basic | None:
    """The whole text as one expression; no number is picked out of what cannot be read."""
    latex = _AND.sub(", ", tidy(text)).replace("$", "")
    found = parse(
        f"${latex}$",
        extraction_config=[_AS_IT_STANDS],
        fallback_mode="no_fallback",
        extraction_mode="first_match",
        parsing_timeout=None,
    )
    return found[0] if found else None


def _equal_by_rounding(gold: Basic, target: Basic) -> bool:
    """Whether two numbers are equal only because they are both tiny or both huge."""
    if not (getattr(gold, "is_number", False) and getattr(target, "is_number", False)):
        return False
    one, other = gold.doit(), target.doit()
    if one.is_Rational and other.is_Rational:
        return one != other
    one, other = N(one, 30), N(other, 30)
    return bool(abs(one - other) > abs(one) * 10**-_DECIMALS)
