"""What SQL in a text asks for that a feature module may not. Pure."""

import re
from collections.abc import Collection, Iterator

from nightshift.specs.forbidden import (
    CHANCE,
    CLOCK,
    FILE,
    MOMENTS,
    SPARK,
    SPARK_OF_TIMES,
    SPARK_WITHOUT_ARGUMENT,
    SPARK_WORDS,
)

_LITERAL = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`[^`]*`""")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CALL = re.compile(rf"(?<![\w.])({'|'.join(SPARK)})(\s*)\(", re.IGNORECASE)
_BARE_CALL = re.compile(rf"(?<![\w.])({'|'.join(SPARK_WITHOUT_ARGUMENT)})\s*\(\s*\)", re.IGNORECASE)
_WORD = re.compile(rf"(?<![\w.])({'|'.join(SPARK_WORDS)})(?!\s*\(|[\w.])", re.IGNORECASE)
# Without knowing that a text is SQL: a call with nothing, numbers or a quoted text in its parentheses is no prose.
_EVIDENT = re.compile(r"\(\s*(?:\)|[\d.,\s+-]+\)|''\s*[,)])")
# Nor is one that is all of a text, or has only what SQL has beside it. A whole query has its own words.
_QUERY = re.compile(r"\s*\(?\s*(?:select|with|case)\b", re.IGNORECASE)
_WORD_BEFORE = re.compile(r"\b(\w+)[^\w()]*\s$")
_WORD_AFTER = re.compile(r"[^()]*\)\s+([^\W\d]\w*)")
_WORDS_OF_SQL = frozenset(
    ("all", "and", "as", "asc", "between", "by", "case", "cast", "desc", "distinct", "div", "else", "end", "filter",
     "from", "group", "having", "in", "interval", "join", "like", "limit", "not", "nulls", "on", "or", "order", "over",
     "rlike", "select", "then", "union", "when", "where")
)  # fmt: skip
_MOMENT = rf"""(?:'\s*({"|".join(sorted(MOMENTS))})\b[^']*'|"\s*({"|".join(sorted(MOMENTS))})\b[^"]*")"""
_TIME = r"(?:date|time|timestamp(?:_ltz|_ntz)?)"
_AT_A_MOMENT = re.compile(
    rf"\b(?:date|timestamp(?:_ltz|_ntz)?)\s*{_MOMENT}"
    rf"|\b(?:try_)?cast\s*\(\s*{_MOMENT}\s+as\s+{_TIME}\b|{_MOMENT}\s*::\s*{_TIME}\b"
    rf"|\b(?:{_TIME}|{'|'.join(sorted(SPARK_OF_TIMES))})\s*\((?:[^()]*,)?\s*{_MOMENT}",
    re.IGNORECASE,
)
_SAMPLE = re.compile(r"\btablesample\b", re.IGNORECASE)
_FILE = re.compile(r"(?<![\w.])(?:(?:parquet|csv|json|orc|text|avro|delta|binaryfile)\s*\.\s*`|read_files\s*\()", re.I)


def forbidden_in_sql(text: str, is_sql: bool, columns: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """The names that are asked for, and why they may not be. A text that may be no SQL is searched for calls alone.

    ``columns`` are names of columns in lower case: to Spark a bare word is one of them before it is a function.
    """
    text = _COMMENT.sub(" ", text) if is_sql else text
    for found in _AT_A_MOMENT.finditer(text):
        yield f"'{next(word for word in found.groups() if word).lower()}'", CLOCK
    if is_sql and _FILE.search(text):
        yield "a path in SQL", FILE
    plain = _LITERAL.sub("''", text)
    for found in _CALL.finditer(plain):
        if not is_sql and not _is_evident(plain, found):
            continue
        yield f"{found[1].lower()}()", SPARK[found[1].lower()]
    for found in _BARE_CALL.finditer(plain):
        yield f"{found[1].lower()}()", SPARK_WITHOUT_ARGUMENT[found[1].lower()]
    if is_sql:
        for found in _WORD.finditer(plain):
            if found[1].lower() not in columns:
                yield found[1].lower(), SPARK_WORDS[found[1].lower()]
        if _SAMPLE.search(plain):
            yield "TABLESAMPLE", CHANCE


def _is_evident(text: str, call: re.Match[str]) -> bool:
    """Return whether a call in a text that nobody gives to Spark is one of SQL, and no word before a remark."""
    if call[2] or not _EVIDENT.match(text, call.end() - 1):
        return False
    beside = (_WORD_BEFORE.search(text, 0, call.start()), _WORD_AFTER.match(text, call.end()))
    return bool(_QUERY.match(text)) or all(word[1].lower() in _WORDS_OF_SQL for word in beside if word)
