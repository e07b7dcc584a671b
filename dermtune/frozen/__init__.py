"""Heads on a frozen backbone: features computed once a machine, and many heads trained on them in one program."""
