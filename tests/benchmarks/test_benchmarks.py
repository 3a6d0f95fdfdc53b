"""The benchmarks' own arithmetic, their page, and one pair from end to end."""

import json
import subprocess
import sys
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Figure, Result, Table, Target, rates
from benchmarks.measure import process, take_turns
from benchmarks.page import PAGE, RESULTS, merged, number, rendered, written
from tests.conftest import PROJECT

seconds = st.floats(0.001, 1e6)
samples = st.lists(seconds, min_size=1, max_size=5).map(tuple)
targets = st.none() | st.builds(Target, st.sampled_from(["at most", "at least"]), seconds)
alone = st.builds(Figure, st.text(), st.text(), samples, target=targets)
paired = st.builds(Figure, st.text(), st.text(), samples, st.text(min_size=1), samples, targets)
tables = st.builds(
    Table, st.text(), st.just(("a", "b")), st.lists(st.tuples(st.text(), seconds), max_size=3).map(tuple)
)


def test_a_ratio_is_ours_by_theirs_of_medians() -> None:
    figure = Figure("a day", "wall s", (9.0, 2.0, 3.0), "a shell", (6.0, 1.0, 100.0), Target("at most", 0.5))
    assert (figure.ours, figure.theirs, figure.ratio, figure.met) == (3.0, 6.0, 0.5, True)


@pytest.mark.parametrize(
    ("target", "met"),
    [(None, None), (Target("at most", 1.9), False), (Target("at least", 2.0), True), (Target("at least", 2.1), False)],
)
def test_the_target_of_a_pair_is_one_of_the_ratio(target: Target | None, met: bool | None) -> None:
    assert Figure("", "s", (4.0,), "a peer", (2.0,), target).met is met


def test_without_a_peer_the_target_is_one_of_the_measure() -> None:
    figure = Figure("memory", "MB", (499.0, 501.0, 400.0), target=Target("at most", 500))
    assert (figure.theirs, figure.ratio, figure.met) == (None, None, True)


def test_more_rows_in_less_time_are_a_greater_rate() -> None:
    assert rates(1_000, [2.0, 4.0]) == (500.0, 250.0)


@given(st.builds(Result, st.lists(alone | paired, max_size=3).map(tuple), st.lists(tables, max_size=2).map(tuple)))
def test_a_result_survives_its_json(result: Result) -> None:
    assert Result.read(json.loads(json.dumps(result.document()))) == result


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), ("x", "x"), (0.0042, "0.004"), (0.734, "0.73"), (12.34, "12.3"), (433_210.7, "433,211")],
)
def test_numbers_for_people(value: float | str | None, shown: str) -> None:
    assert number(value) == shown


def document(machine: str = "a", **benchmarks: Result) -> dict[str, Any]:
    found = {name: {"date": "2026-11-25", **result.document()} for name, result in benchmarks.items()}
    return {"machine": {"cpu": machine}, "versions": {"python": "3.11.7"}, "benchmarks": found}


ONE = Result((Figure("scoring", "rows", (9.0,), "alone", (10.0,), Target("at least", 0.8)),))
OTHER = Result((Figure("memory", "MB", (600.0,), target=Target("at most", 500)),), (Table("steps", ("a",), ((1.5,),)),))


def test_new_results_replace_their_own_and_nothing_of_another_machine_stays() -> None:
    before = document(scoring=ONE, rows=ONE)
    assert merged(before, document(rows=OTHER)) == document(scoring=ONE, rows=OTHER)
    assert merged(before, document("b", rows=OTHER)) == document("b", rows=OTHER)


def test_the_page_keeps_what_people_wrote() -> None:
    text = "# Benchmarks\n\n<!-- begin: made by `make bench` -->\nold\n<!-- end -->\n\nWhy.\n"
    found = written(text, document(scoring=ONE, rows=OTHER))
    assert found.startswith("# Benchmarks\n\n<!-- begin")
    assert found.endswith("<!-- end -->\n\nWhy.\n")
    assert "\nold\n" not in found
    lines = found.splitlines()
    assert "Measured on 2026-11-25: a; python 3.11.7." in lines
    assert "| scoring | scoring | rows | 9.00 | alone | 10.0 | 0.90 | at least 0.80 | yes |" in lines
    assert "| rows | memory | MB | 600 |  |  |  | at most 500 | **no** |" in lines
    assert lines[lines.index("**steps**") :][:5] == ["**steps**", "", "| a |", "| --- |", "| 1.50 |"]


def test_the_documented_tables_are_those_of_the_results() -> None:
    results = json.loads(RESULTS.read_text())
    assert rendered(results) in PAGE.read_text(), "run `make bench`, or python -m benchmarks NAME"
    assert PAGE.read_text() == written(PAGE.read_text(), results)


def test_two_sides_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []

    def side(name: str) -> int:
        calls.append(name)
        return len(calls)

    assert take_turns(lambda: side("ours"), lambda: side("theirs"), 2, lambda line: None) == ([3, 5], [4, 6])
    assert calls == ["ours", "theirs"] * 3


@pytest.mark.process
def test_the_cost_of_a_process_is_its_own_and_that_of_its_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint('done')"
    cost = process(sys.executable, "-c", parent)
    assert cost.output == "done\n"
    assert 0.3 <= cost.cpu < 3
    assert cost.wall >= 0.3


@pytest.mark.process
def test_the_memory_of_this_process_is_not_counted() -> None:
    assert psutil.Process().memory_info().rss > 50e6
    assert process("true").rss < 50
    assert process(sys.executable, "-c", "bytearray(b'x') * 200_000_000").rss > 200


@pytest.mark.process
def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3:\n(.|\n)*why not"):
        process("sh", "-c", "echo why not >&2; exit 3")


@pytest.mark.process
def test_the_cheapest_pair_runs() -> None:
    before = [path.read_bytes() for path in (RESULTS, PAGE)]
    command = [sys.executable, "-m", "benchmarks", "--quick", "cli_start"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    figures = Result.read(found["benchmarks"]["cli_start"]).figures
    assert [figure.peer for figure in figures] == ["`airflow --help`", "`mlflow --help`"]
    assert all(figure.ratio and figure.ratio > 0 for figure in figures)
    assert "cli_start: round 1 of 1" in done.stderr
    assert [path.read_bytes() for path in (RESULTS, PAGE)] == before


@pytest.mark.process
def test_a_name_that_is_none_is_wrong_usage() -> None:
    command = [sys.executable, "-m", "benchmarks", "scorin"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there is no benchmark 'scorin'; did you mean scoring?; allowed: cli_start, scoring, " in done.stderr
