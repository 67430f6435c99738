"""Is the final answer of a response right? Extraction, comparison, and grades that never hang.

Importing this imports neither sympy nor torch; algebra happens in processes of its own.
"""

from cruxtune.verify.equivalence import equivalent
from cruxtune.verify.extract import extract_answer
from cruxtune.verify.verifier import Verifier

__all__ = ["Verifier", "equivalent", "extract_answer"]
