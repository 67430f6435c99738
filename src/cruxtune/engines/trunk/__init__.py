"""The fast engine: branches share the keys and values of their solution and are drafted from it."""

from cruxtune.engines.trunk.engine import TrunkEngine
from cruxtune.engines.trunk.support import reason_against, trunk_or_reference

__all__ = ["TrunkEngine", "reason_against", "trunk_or_reference"]
