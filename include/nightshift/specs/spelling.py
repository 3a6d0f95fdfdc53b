"""The word that was probably meant."""

import difflib
from collections.abc import Iterable


def nearest_word(word: str, words: Iterable[str]) -> str:
    """The one of ``words`` that is near, empty where none is."""
    return next(iter(difflib.get_close_matches(word, list(words), n=1)), "")


def nearest(word: str, words: Iterable[str]) -> str:
    """``; did you mean …?`` where one of ``words`` is near, else nothing."""
    close = nearest_word(word, words)
    return f"; did you mean {close}?" if close else ""
