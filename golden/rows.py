"""The golden rows: what each part makes of small inputs. Numbers of boosting are rounded: XGBoost's versions differ."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nightshift.specs.model import Input

Rows = list[Any]

_CSV = (
    "id,name,count,share,flag,day,at\n"
    'a,"x, ""y""",1,0.5,true,2024-02-29,2024-03-10 01:30:00\n'
    "b,,-7,1e3,FALSE,2024-03-01,2024-03-10T03:30:00Z\n"
    "c,NA,9007199254740993,-0.1,1,1900-01-01,2024-11-03 01:30:00\n"
    'd,"two\nlines",12.0,nan,0,,\n'
    "e,é,x,inf,maybe,2024-02-30,2024-03-10 02:30:00\n"
    "f, padded ,007,.5,true,0001-01-01,1969-12-31T23:59:59.999999+01:00\n"
)
_KINDS = {"id": "string", "name": "string", "count": "integer", "share": "number", "flag": "boolean", "day": "date"}


def csv() -> Rows:
    """CSV with quotes, line breaks, nulls, great numbers, skipped and ambiguous hours, cells that are wrong."""
    contract = {**_KINDS, "at": "timestamp"}
    files = {"part-0.csv": _CSV.encode(), "part-1.csv": b"\xef\xbb\xbf" + _CSV.splitlines()[0].encode() + b"\r\n"}
    return _parsed(contract, "csv", files)


def parquet() -> Rows:
    """Parquet whose types are the contract's, or fit into them, or do not."""
    return _parsed(_KINDS, "parquet", {"part-0.parquet": _parquet(times=False)})


def parquet_times() -> Rows:
    """Parquet with timestamps: with a zone, without, and as INT96."""
    files = {f"part-{number}.parquet": _parquet(times=True, int96=bool(number)) for number in (0, 1)}
    return _parsed({**_KINDS, "at": "timestamp"}, "parquet", files)


def building() -> Rows:
    """What Spark reads, conforms and writes: a source, a snapshot, a day without rows; nulls, types, order, names."""
    from golden.spark_rows import built

    return built()


def training() -> Rows:
    """How days are split, and what boosting makes of a matrix with categories and nulls."""
    from golden.models import trained

    return trained()


def scoring() -> Rows:
    """The matrix of a batch, its scores and the rows of predictions."""
    from golden.models import scored

    return scored()


def evaluation() -> Rows:
    """The quality of scores, ties, one class and no row among them."""
    import numpy as np

    from nightshift.monitoring import decay

    labels, scores = np.array([0, 1, 1, 0, 1.0]), np.array([0.1, 0.9, 0.4, 0.4, 0.0])
    cases = [("binary", labels, scores), ("binary", np.ones(5), scores), ("binary", labels[:0], scores[:0])]
    found = [decay.evaluate(*case) for case in [*cases, ("regression", labels * 3, scores)]]
    return [{name: round(value, 9) for name, value in item.items()} for item in found]


MAKERS: Mapping[str, Callable[[], Rows]] = {
    item.__name__: item for item in (csv, parquet, parquet_times, building, training, scoring, evaluation)
}


def text(part: str) -> str:
    """The golden rows of a part as text."""
    return json.dumps(MAKERS[part](), default=str, sort_keys=True)


def _parsed(contract: Mapping[str, str], kind: str, files: Mapping[str, bytes]) -> Rows:
    from zoneinfo import ZoneInfo

    from nightshift import storage, tables
    from nightshift.inputs.parse import Landing, parse

    columns = {name: {"type": type_, "nulls": 1.0} for name, type_ in contract.items()}
    source = Input.model_validate({"path": f"golden/{{ds}}/*.{kind}", "key": ("id",), "columns": columns})
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        landing = Landing()
        batches = parse(storage.list_files(folder), source, ZoneInfo("America/New_York"), landing)
        schema = tables.arrow_schema(contract)
        written = tables.write_partition(f"{folder}/table", "a", "2024-03-10", "f", schema, batches)
        rows = tables.read(f"{folder}/table", written, list(contract), schema)
    rejected = [asdict(item) for item in landing.rejected]
    return [landing.rows, [str(field) for field in rows.schema], rows.to_pylist(), rejected]


def _parquet(times: bool, int96: bool = False) -> bytes:
    from datetime import UTC, date, datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {
        "id": pa.array(["a", "b", "c"]),
        "name": pa.array(["x", None, "x"]).dictionary_encode(),
        "count": pa.array([1, None, 2**40], pa.int64()),
        "share": pa.array([0.5, float("nan"), None], pa.float32()),
        "flag": pa.array([True, False, None]),
        "day": pa.array([date(2024, 2, 29), None, date(1900, 1, 1)]),
    }
    if times:
        moments = [datetime(2024, 3, 10, 2, 30, 0, 1, UTC), None, datetime(1969, 12, 31, tzinfo=UTC)]
        table["at"] = pa.array(moments, pa.timestamp("ns" if int96 else "us", None if int96 else "UTC"))
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(table), out, use_deprecated_int96_timestamps=int96)
    return bytes(out.getvalue().to_pybytes())
