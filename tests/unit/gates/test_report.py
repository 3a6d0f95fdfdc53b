import re
from html.parser import HTMLParser
from typing import Any

import pytest

from nightshift.gates.report import html_page, next_steps, threshold
from nightshift.gates.results import CheckResult, GateReport


def report(*results: CheckResult, status: Any = "blocked", **changes: Any) -> GateReport:
    return GateReport("parcels", "inputs/orders", "2024-02-10", "t", status, 1200, 7, results, **changes)


class Page(HTMLParser):
    """The tags and the text of a page; raises where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_needs_neither_network_nor_script() -> None:
    results = (
        CheckResult(
            "expect_column_values_to_be_between",
            "weight",
            {"column": "weight", "min_value": 0},
            False,
            {},
            3,
            1200,
            True,
        ),
        CheckResult("expect_table_row_count_to_be_between", None, {"max_value": 5000}, True, {"observed": 1200}),
    )
    text = html_page(report(*results))
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import|\$\w", text)
    for words in (
        "blocked",
        "1,200",
        "Failed (1)",
        "Passed (1)",
        "column values to be between",
        "≥ 0",
        "3 of 1,200 (0.25 %)",
    ):
        assert words in page.text
    assert "default-src 'none'" in text


def test_everything_is_escaped() -> None:
    nasty = "<script>alert('$x & \"y\"')</script>"
    result = CheckResult(
        nasty, nasty, {"regex": nasty, "value_set": [nasty]}, False, {nasty: nasty, "observed": nasty}, error=""
    )
    text = html_page(GateReport(nasty, nasty, nasty, nasty, "warned", 1, 0, (result,), run_id=nasty, fingerprint=nasty))
    assert "<script" not in text
    assert Page(text).text.count(nasty) >= 5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"column": "c", "min_value": 0.0, "max_value": 10}, "≥ 0, ≤ 10"),
        ({"column": "c", "min_value": 1000, "strict_min": True}, "> 1,000"),
        ({"column": "c", "value_set": ["N", "S"], "mostly": 0.99}, "one of N, S, for at least 99 % of the rows"),
        ({"column": "c", "regex": "^a"}, "regex ^a"),
        ({"column_list": ["a", "b"], "sum_total": 1.5}, "sum_total 1.5"),
    ],
)
def test_thresholds(arguments: dict[str, Any], expected: str) -> None:
    assert threshold(CheckResult("expect_x", None, arguments, True)) == expected


def test_what_is_implied_is_said() -> None:
    assert threshold(CheckResult("expect_column_values_to_not_be_null", "c", {"column": "c"}, True)) == "no nulls"
    tolerant = CheckResult("expect_column_values_to_not_be_null", "c", {"column": "c", "mostly": 0.95}, True)
    assert threshold(tolerant) == "nulls in at most 5 % of the rows"


def test_every_outcome_says_what_to_do() -> None:
    bad = CheckResult("x", None, {}, False, row_level=True)
    assert next_steps(report(status="passed")) == ["Nothing."]
    assert next_steps(report(bad, status="warned")) == [
        "Look at the failed expectations.",
        "To stop such data, set the gate's policy in include/pipelines/parcels.yaml.",
    ]
    assert next_steps(report(bad, status="quarantined"))[0] == (
        "Look at the 7 rows in the table quarantine/inputs/orders, ds 2024-02-10."
    )
    assert next_steps(report(CheckResult("x", None, {}, False, error="could not be evaluated (TypeError)")))[1] == (
        "An expectation could not be evaluated: correct its name, column or arguments in "
        "include/pipelines/parcels.yaml."
    )
