"""The page about reliability is made from the tests."""

import re

from tests.faults.faults import table
from tests.live import PROJECT

PAGE = PROJECT / "docs" / "reliability.md"
MARKED = re.compile(r"(<!-- faults: made by tests/faults -->\n).*?(\n<!-- end of faults -->)", re.DOTALL)


def test_the_table_of_the_page_is_made_from_the_tests() -> None:
    before = PAGE.read_text()
    made = MARKED.sub(lambda found: f"{found[1]}{table()}{found[2]}", before)
    PAGE.write_text(made)
    assert made == before, f"{PAGE} was stale and is written anew: commit it"
