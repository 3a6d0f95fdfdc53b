"""``python -m nightshift.cli``: the same as ``nightshift``."""

from nightshift.cli import main

main()
