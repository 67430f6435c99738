"""`python -m cruxtune`."""

from cruxtune.cli import main

main()
