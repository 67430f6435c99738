"""What `annotate.py` is made of: the ways that are compared, and how they are measured and told."""
