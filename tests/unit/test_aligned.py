from nightshift.aligned import aligned

ROWS = [("day", "rows"), ("2024-02-05", "7"), ("", "1,000")]


def test_columns_end_or_begin_together_and_no_line_ends_in_blanks() -> None:
    assert aligned(ROWS) == "day         rows\n2024-02-05  7\n            1,000"
    assert aligned(ROWS, [False, True]) == "day          rows\n2024-02-05      7\n            1,000"
    assert aligned(ROWS, rule=True).splitlines()[1] == "----------  -----"
    assert aligned([("day", "why"), ("2024-02-05", "")]) == "day         why\n2024-02-05"
    assert aligned([("day", "rows")], rule=True) == "day  rows\n---  ----"
