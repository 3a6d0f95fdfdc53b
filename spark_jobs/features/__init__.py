"""One module for each pipeline: ``build(inputs, days)`` and ``label(inputs, days)``, pure functions of frames.

``inputs`` maps a source's name to a frame with the source's columns and its day as text, ``ds``. A snapshot has
``as_of`` and ``until`` instead: the days for which it is the newest, the latter excluded. ``days`` are the days
wanted, as text, sorted. What comes back has ``ds``, the key and the columns that the spec declares, rows of exactly
these days. It must not matter which other days are computed along.
"""
