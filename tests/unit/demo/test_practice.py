"""The made-up rows are those of the skeleton's spec, and always the same."""

from datetime import date
from pathlib import Path

import pytest

from nightshift import storage
from nightshift.demo.practice import COLUMNS, land
from nightshift.errors import NightshiftError
from nightshift.inputs.landing import partition_files
from nightshift.inputs.parse import Landing, parse
from nightshift.settings import Settings
from nightshift.specs.load import load
from nightshift.specs.skeleton import write_skeleton

DAY = date(2024, 3, 2)


def test_rows_are_those_of_the_skeleton_and_always_the_same(tmp_path: Path) -> None:
    settings = Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path)})
    pipeline = load(write_skeleton(settings, "practice")[0])
    lines: list[str] = []

    assert land(settings, date(2024, 3, 1), DAY, lines.append) == 4
    assert land(settings, date(2024, 3, 1), DAY, lines.append) == 0
    assert lines[-1] == "outcomes: unchanged"
    for name, source in pipeline.inputs.items():
        assert COLUMNS[name] == tuple(source.columns)
        seen = Landing()
        batches = list(parse(partition_files(settings, source, DAY), source, pipeline.schedule.zone, seen))
        assert sum(batch.num_rows for batch in batches) == 40
    file = Path(settings.landing, "practice", "items", "ds=2024-03-02", "items.csv")
    assert file.read_text().startswith("item_id,kind,size\n0302-00,")
    assert len(storage.list_files(settings.landing, recursive=True)) == 4


def test_days_in_the_wrong_order_are_refused(settings: Settings) -> None:
    with pytest.raises(NightshiftError) as caught:
        land(settings, DAY, date(2024, 3, 1), lambda line: None)
    assert str(caught.value) == (
        "there is no day from 2024-03-02 to 2024-03-01. Allowed: a first day not after the last."
    )
