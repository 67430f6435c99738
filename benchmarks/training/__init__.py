"""What `train.py` is made of: the trainers that are compared, and how they are measured and told."""
