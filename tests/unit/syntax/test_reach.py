"""What changes the hash of a feature module's code, and what does not."""

import ast
import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.source_code import feature_code
from nightshift.syntax.reach import whole

MODULE = '''"""Features of parcels."""

import functools
from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from spark_jobs.transforms import trailing
from spark_jobs.transforms.days import spread

LAG = 1
WINDOWS = (7, 28)
EDGES = [0, 15]
EDGES.append(30)
UNUSED = 5
NAMES: dict[str, int] = {"a": 1}


def build(inputs: Mapping[str, DataFrame], days: Sequence[str]) -> DataFrame:
    """Build."""
    rows = _clean(inputs["orders"], lag=LAG)
    seen = {name: value for name, value in NAMES.items() if value > 0}
    for window in WINDOWS:
        rows = trailing.sums(rows, days, window) if len(days) >= 2 else rows
    total = [sf.col(f"sum_{edge:>{window}}!") for edge in EDGES]
    return rows.select(*total, sf.lit(not seen)).where(lambda row: row.x + 1)


def label(inputs, days):
    """Label."""
    return spread(inputs, days)


@functools.cache
def _clean(rows, *, lag=0, keep=True):
    try:
        made = rows[lag] and keep
    except KeyError as error:
        raise ValueError("no") from error
    return made - 1


def _unused(rows):
    return rows
'''
TRAILING = """from . import exact

SCALE = 100


def sums(a, b, window):
    return exact.add(a, b) * SCALE // window
"""
FILES = {
    "spark_jobs/__init__.py": '"""Jobs."""\n',
    "spark_jobs/features/__init__.py": "",
    "spark_jobs/features/parcels.py": MODULE,
    "spark_jobs/transforms/__init__.py": '"""Transforms."""\n',
    "spark_jobs/transforms/trailing.py": TRAILING,
    "spark_jobs/transforms/exact.py": "def add(a, b):\n    return a, b\n\n\ndef other(a):\n    return a\n",
    "spark_jobs/transforms/days.py": "def spread(a, b):\n    return a, b\n",
}


def make(folder: Path, files: dict[str, str] = FILES, **changed: str) -> Path:
    for name, text in {**files, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def code(folder: Path, changed: dict[str, str] | None = None) -> tuple[str, str]:
    home = make(folder, {**FILES, **(changed or {})})
    return feature_code(home, "parcels", "build"), feature_code(home, "parcels", "label")


def edited(folder: Path, name: str, old: str, new: str) -> tuple[str, str]:
    text = FILES[f"spark_jobs/{name}"]
    assert old in text
    return code(folder, {f"spark_jobs/{name}": text.replace(old, new)})


PARCELS, SUMS = "features/parcels.py", "transforms/trailing.py"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (PARCELS, '"""Build."""', '"""Says something else."""'),
        (PARCELS, '"""Features of parcels."""\n', "# a remark\n"),
        (PARCELS, "    rows = _clean", "    # why\n    rows = _clean"),
        (PARCELS, "UNUSED = 5", "UNUSED = 6"),
        (PARCELS, "UNUSED = 5", "import logging\nlog = logging.getLogger(__name__)"),
        (PARCELS, "def _unused(rows):\n    return rows", "def _another():\n    return open"),
        (PARCELS, "import functools\n", "import functools, json, spark_jobs.transforms.exact\n"),
        (PARCELS, "from pyspark.sql import functions as sf", "import pyspark.sql.functions as sf"),
        (PARCELS, "inputs: Mapping[str, DataFrame], days: Sequence[str]) -> DataFrame", "inputs, days"
                  ")"),
        (PARCELS, "NAMES: dict[str, int] = ", "NAMES = "),
        (PARCELS, "def build(inputs", "count: int\n\n\ndef build(inputs"),
        (PARCELS, "from spark_jobs.transforms import trailing", "from ..transforms import trailing"),
        (PARCELS, "from spark_jobs.transforms import trailing", "import spark_jobs.transforms.trailing as trailing"),
        (PARCELS, "_clean", "_cleaned"),
        (PARCELS, "LAG", "DELAY"),
        (PARCELS, "from collections.abc import Mapping, Sequence",
                  "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from collections.abc import Mapping"),
        (PARCELS, "def _unused", "if __name__ == '__main__':\n    print(1)\n\n\ndef _unused"),
        (SUMS, "SCALE", "FACTOR"),
        (SUMS, "from . import exact", "from spark_jobs.transforms import exact"),
        ("transforms/exact.py", "def other(a):\n    return a", "def other(a):\n    return -a"),
        ("transforms/__init__.py", '"""Transforms."""', '"""Pieces."""\nfrom .exact import add\nX = 1'),
        ("__init__.py", '"""Jobs."""', "from . import transforms"),
    ],
)  # fmt: skip
def test_what_changes_no_hash(tmp_path: Path, name: str, old: str, new: str) -> None:
    assert edited(tmp_path / "after", name, old, new) == code(tmp_path / "before")


@pytest.mark.parametrize(
    ("name", "old", "new", "build", "label"),
    [
        (PARCELS, "LAG = 1", "LAG = 2", True, False),
        (PARCELS, "(7, 28)", "(7, 29)", True, False),
        (PARCELS, "EDGES.append(30)", "EDGES.append(31)", True, True),
        (PARCELS, "EDGES.append(30)\n", "", True, True),
        (PARCELS, "UNUSED = 5", "UNUSED = EDGES.pop()", True, True),
        (PARCELS, "UNUSED = 5", "sf.lit = None", True, True),
        (PARCELS, "UNUSED = 5", "if LAG:\n    WINDOWS = (1,)", True, True),
        (PARCELS, "UNUSED = 5", "for item in (1, 2):\n    EDGES.append(item)", True, True),
        (PARCELS, "lag=0, keep=True", "lag=0, keep=False", True, False),
        (PARCELS, "@functools.cache\n", "", True, False),
        (PARCELS, "functools.cache", "functools.wraps", True, False),
        (PARCELS, "sf.lit", "sf.col", True, False),
        (PARCELS, "functions as sf", "types as sf", True, False),
        (PARCELS, "spread(inputs, days)", "spread(days, inputs)", False, True),
        (PARCELS, "KeyError", "IndexError", True, False),
        (PARCELS, "sum_{edge:>{window}}!", "sum_{edge:<{window}}!", True, False),
        (PARCELS, "rows[lag] and keep", "rows[lag] or keep", True, False),
        (SUMS, "SCALE = 100", "SCALE = 10", True, False),
        (SUMS, "exact.add(a, b)", "exact.add(b, a)", True, False),
        (SUMS, "exact.add", "exact.other", True, False),
        ("transforms/exact.py", "return a, b", "return b, a", True, False),
        ("transforms/days.py", "return a, b", "return b, a", False, True),
        ("transforms/__init__.py", '"""Transforms."""', "from .exact import add as trailing", True, False),
        ("transforms/__init__.py", '"""Transforms."""', "import json\njson.loads = None", True, True),
        ("__init__.py", '"""Jobs."""', "import decimal\ndecimal.getcontext().prec = 5", True, True),
    ],
)  # fmt: skip
def test_what_changes_a_hash(tmp_path: Path, name: str, old: str, new: str, build: bool, label: bool) -> None:
    before, after = code(tmp_path / "before"), edited(tmp_path / "after", name, old, new)
    assert (after[0] != before[0], after[1] != before[1]) == (build, label)


def test_a_file_that_moves_and_a_package_that_is_renamed_change_nothing(tmp_path: Path) -> None:
    before = code(tmp_path / "before")
    moved = {name.replace("transforms/", "pieces/old/"): text for name, text in FILES.items()}
    moved["spark_jobs/pieces/__init__.py"] = ""
    text = MODULE.replace("spark_jobs.transforms", "spark_jobs.pieces.old")
    moved["spark_jobs/features/parcels.py"] = text
    home = make(tmp_path / "moved", moved)
    assert (feature_code(home, "parcels", "build"), feature_code(home, "parcels", "label")) == before
    # A function that goes to another file, with what it needs.
    sums = TRAILING.replace("from . import exact\n", "")
    here = MODULE.replace("from spark_jobs.transforms import trailing\n", "from spark_jobs.transforms import exact\n")
    here = here.replace("trailing.sums", "sums") + sums
    assert code(tmp_path / "here", {"spark_jobs/features/parcels.py": here}) == before


def test_what_is_passed_on_by_a_package_is_what_it_is(tmp_path: Path) -> None:
    before = code(tmp_path / "before")
    through = {
        "spark_jobs/transforms/__init__.py": "from .days import spread as spread\n",
        "spark_jobs/features/parcels.py": MODULE.replace("transforms.days import", "transforms import"),
    }
    assert code(tmp_path / "after", through) == before


@pytest.mark.parametrize(
    "reason",
    [
        "from spark_jobs.transforms.exact import *",
        "class Kind:\n    LIMIT = 1\n\n    def value(self):\n        return self.LIMIT\n\n\nKINDS = Kind()",
    ],
)
def test_what_cannot_be_resolved_counts_its_whole_module(tmp_path: Path, reason: str) -> None:
    text = MODULE.replace("UNUSED = 5", f"UNUSED = 5\n{reason}")
    text = text.replace(
        "return made - 1", "return made - KINDS.value()" if "KINDS" in reason else "return add(made, 1)"
    )
    before = code(tmp_path / "before", {"spark_jobs/features/parcels.py": text})
    for number, (old, new) in enumerate([("UNUSED = 5", "UNUSED = 6"), ("return rows\n", "return rows, 1\n")]):
        after = code(tmp_path / f"after{number}", {"spark_jobs/features/parcels.py": text.replace(old, new)})
        assert after[0] != before[0]
    words = code(tmp_path / "words", {"spark_jobs/features/parcels.py": text.replace('"""Build."""', '"""Words."""')})
    assert words == before


def test_getattr_counts_its_whole_module(tmp_path: Path) -> None:
    text = MODULE.replace("sf.lit(not seen)", 'getattr(sf, "lit")(not seen)')
    before = code(tmp_path / "before", {"spark_jobs/features/parcels.py": text})
    after = code(tmp_path / "after", {"spark_jobs/features/parcels.py": text.replace("UNUSED = 5", "UNUSED = 6")})
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_parameters_that_are_given_by_name_are_told_apart(tmp_path: Path) -> None:
    text = (
        "def build(inputs, days):\n    return _minus(a=inputs, b=days)\n\n\ndef label(inputs, days):\n    return days\n"
    )
    one, two = f"{text}\n\ndef _minus(a, b):\n    return a - b\n", f"{text}\n\ndef _minus(b, a):\n    return b - a\n"
    name = "spark_jobs/features/parcels.py"
    assert code(tmp_path / "one", {name: one})[0] != code(tmp_path / "two", {name: two})[0]


def test_annotations_of_a_function_for_pandas_count(tmp_path: Path) -> None:
    text = MODULE.replace("@functools.cache\ndef _clean(rows, ", "@sf.pandas_udf('long')\ndef _clean(rows: int, ")
    name = "spark_jobs/features/parcels.py"
    after = text.replace("rows: int", "rows: float")
    assert code(tmp_path / "before", {name: text})[0] != code(tmp_path / "after", {name: after})[0]


class _Renamed(ast.NodeTransformer):
    """Other names for the locals of all functions; parameters that are given by name keep theirs."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self.names.get(node.arg, node.arg), node.annotation)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = self.names.get(node.name or "", node.name)
        return self.generic_visit(node)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_names_order_of_imports_words_and_layout_never_count(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tree = ast.parse(MODULE)
    locals_ = ["rows", "seen", "name", "value", "window", "total", "edge", "row", "made", "error", "inputs", "days"]
    new = data.draw(st.permutations([f"n{number}" for number in range(len(locals_))]))
    tree = _Renamed(dict(zip(locals_, new, strict=True))).visit(tree)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    others = [node for node in tree.body if node not in imports]
    functions = [node for node in others if isinstance(node, ast.FunctionDef)]
    for function in data.draw(st.lists(st.sampled_from(functions), unique_by=id)):
        function.body.insert(0, ast.Expr(ast.Constant("Words.")))
    unused = ast.parse(
        data.draw(st.sampled_from(["def f(x):\n    return EDGES", "Y = 3", "'words'", "import re"]))
    ).body
    rest = [node for node in others if not isinstance(node, ast.FunctionDef)]
    tree.body = [*data.draw(st.permutations(imports)), *rest, *data.draw(st.permutations([*functions, *unused]))]
    text = ast.unparse(ast.fix_missing_locations(tree))
    folder = tmp_path_factory.mktemp("home")
    after = code(folder, {"spark_jobs/features/parcels.py": text})
    assert after == code(tmp_path_factory.mktemp("home"))


def _mutations(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """The module with one constant, operator, comparison, argument or statement changed, each in its turn."""
    kinds = {
        ast.BinOp: ("op", ast.MatMult()),
        ast.BoolOp: ("op", None),
        ast.Compare: ("ops", [ast.IsNot()]),
        ast.Constant: ("value", "another"),
        ast.Attribute: ("attr", "another"),
    }
    count = len(list(ast.walk(tree)))
    for number in range(count):
        changed = copy.deepcopy(tree)
        node = list(ast.walk(changed))[number]
        if isinstance(node, ast.Call) and node.args:
            node.args.pop()
        elif type(node) in kinds:
            name, value = kinds[type(node)]
            other = (ast.Or() if isinstance(node.op, ast.And) else ast.And()) if value is None else value  # type: ignore[attr-defined]
            setattr(node, name, other)
        else:
            continue
        yield ast.dump(node), changed


def test_every_constant_operator_and_argument_that_is_reached_counts(tmp_path: Path) -> None:
    tree = ast.parse(MODULE)
    wanted = ("build", "_clean")
    reached = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    for node in reached:
        node.returns = None
        for item in (*node.args.args, *node.args.kwonlyargs):
            item.annotation = None
        node.body = [item for item in node.body if not isinstance(item, ast.Expr)]
    others = [node for node in tree.body if node not in reached]
    name, seen = "spark_jobs/features/parcels.py", 0
    before = code(tmp_path, {name: ast.unparse(ast.fix_missing_locations(tree))})[0]
    for words, changed in _mutations(ast.Module(reached, [])):
        text = "\n".join(
            ast.unparse(ast.fix_missing_locations(ast.Module(part, []))) for part in (others, changed.body)
        )
        make(tmp_path, {name: text})
        assert feature_code(tmp_path, "parcels", "build") != before, words
        seen += 1
    assert seen > 30


def test_all_that_a_module_says() -> None:
    before = whole(MODULE.encode(), "x.py")
    assert whole(MODULE.replace('"""Build."""', '"""Words."""').encode(), "elsewhere/y.py") == before
    assert whole(MODULE.replace("import functools\n", "import functools, json\n").encode(), "x.py") == before
    for old, new in (("UNUSED = 5", "UNUSED = 6"), ("made - 1", "made + 1"), ("return rows\n", "return None\n")):
        assert whole(MODULE.replace(old, new).encode(), "x.py") != before
