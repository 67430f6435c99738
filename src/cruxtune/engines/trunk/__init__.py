"""Branches on the trunk of their solution."""
