"""Nightshift: batch machine learning at night.

The library behind the DAGs, the ``nightshift`` command and the scoring pods. Importing this package costs
nothing: heavy libraries are imported where they are used.
"""

__version__ = "0.1.0"
