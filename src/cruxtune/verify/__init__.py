"""Is the final answer of a response right? Extraction, comparison, and grades that never hang.

Importing this imports neither sympy nor torch; algebra happens in processes of its own.
"""

from cruxtune.verify.equivalence import equivalent
from cruxtune.verify.extract import answer_start, extract_answer
from cruxtune.verify.settled import StopRule, is_settled
from cruxtune.verify.verifier import Verifier

__all__ = ["StopRule", "Verifier", "answer_start", "equivalent", "extract_answer", "is_settled"]
