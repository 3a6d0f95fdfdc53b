"""Pairs of feature modules that give other rows and so have other hashes, by the kind of what differs."""

from pathlib import Path

import pytest

from tests.unit.syntax.test_reach import feature_code, make

PARCELS, PACKAGE = "spark_jobs/features/parcels.py", "spark_jobs/pieces/__init__.py"
EXACT, CONSTANTS = "spark_jobs/pieces/exact.py", "spark_jobs/pieces/constants.py"
TRAILING = "spark_jobs/pieces/trailing.py"
FILES = {
    "spark_jobs/__init__.py": "",
    "spark_jobs/features/__init__.py": "",
    PACKAGE: "",
    EXACT: "EDGES = [0]\n\n\ndef add(a, b):\n    return a + b\n\n\ndef other(a, b):\n    return a - b\n",
    CONSTANTS: "LAG = 1\nLIMIT = 2\n",
    TRAILING: "def trailing(a):\n    return a + 1\n\n\ndef sums(a):\n    return a * 2\n",
}
Files = dict[str, str]


def built(folder: Path, text: str, files: Files) -> str:
    return feature_code(make(folder, {**FILES, PARCELS: text, **files}), "parcels", "build")


def differ(folder: Path, text: str, files: Files, name: str, old: str, new: str) -> bool:
    """Whether a change of one file changes the hash."""
    before = {**FILES, **files, PARCELS: text}
    assert old in before[name]
    after = {**before, name: before[name].replace(old, new)}
    return built(folder / "a", text, before) != built(folder / "b", after[PARCELS], after)


@pytest.mark.parametrize(
    ("imports", "body", "old", "new"),
    [
        ("from spark_jobs.pieces import trailing", "trailing(inputs)", "a + 1", "a + 2"),
        ("from spark_jobs.pieces.trailing import trailing", "trailing(inputs)", "a + 1", "a + 2"),
        ("from spark_jobs.pieces.trailing import sums", "sums(inputs)", "a * 2", "a * 3"),
        ("from ..pieces.trailing import sums", "sums(inputs)", "a * 2", "a * 3"),
        ("import spark_jobs.pieces.trailing as found", "found(inputs)", "a + 1", "a + 2"),
    ],
)
def test_a_package_that_passes_on_a_function_of_its_modules_name(
    tmp_path: Path, imports: str, body: str, old: str, new: str
) -> None:
    files = {PACKAGE: "from .trailing import trailing\n"}
    text = f"{imports}\n\n\ndef build(inputs, days):\n    return {body}\n"
    assert differ(tmp_path, text, files, TRAILING, old, new)


TRY = "    try:\n        from spark_jobs.pieces.exact import add\n    except ImportError:\n        add = None\n"
AGAIN = "    from spark_jobs.pieces.exact import add\n    add = cache(add)\n"
LOAD = "def load():\n    global add\n    from spark_jobs.pieces.exact import add\n\n\n"
SAME_NAME = "from spark_jobs.pieces.constants import LAG\nclass Kind:\n    LAG = LAG\n"
METHOD = (
    "from spark_jobs.pieces.constants import LAG\nclass Kind:\n    LAG = 5\n    def lag(self):\n        return LAG\n"
)
EXPORT = {PACKAGE: "from .exact import add\n"}
NAMES: Files = {}


@pytest.mark.parametrize(
    ("text", "files", "name", "old", "new"),
    [
        (f"def build(i, d):\n{TRY}    return add(i, d)", NAMES, EXACT, "a + b", "a * b"),
        (f"from functools import cache\ndef build(i, d):\n{AGAIN}    return add(i, d)", NAMES, EXACT, "a + b", "a * b"),
        (f"{LOAD}def build(i, d):\n    load()\n    return add(i, d)", NAMES, EXACT, "a + b", "a * b"),
        (f"class K:\n{AGAIN[:43]}\ndef build(i, d):\n    return K.add(i, d)", NAMES, EXACT, "a + b", "a * b"),
        (f"{SAME_NAME}def build(i, d):\n    return Kind.LAG", NAMES, CONSTANTS, "LAG = 1", "LAG = 2"),
        (f"{METHOD}def build(i, d):\n    return Kind().lag()", NAMES, CONSTANTS, "LAG = 1", "LAG = 2"),
        ("from spark_jobs.pieces import *\ndef build(i, d):\n    return add(i, d)", EXPORT, EXACT, "a + b", "a * b"),
        (
            "import spark_jobs.pieces as p\ndef build(i, d):\n    return getattr(p, 'ad' + 'd')(i, d)",
            EXPORT, EXACT, "a + b", "a * b",
        ),
        (
            "from spark_jobs.pieces.exact import add\ndef build(i, d):\n    return globals()['add'](i, d)",
            NAMES, EXACT, "a + b", "a * b",
        ),
        (
            "from spark_jobs.pieces.exact import EDGES\ndef build(i, d):\n    return [EDGES for EDGES in EDGES]",
            NAMES, EXACT, "[0]", "[1]",
        ),
    ],
)  # fmt: skip
def test_imports_that_a_text_does_not_resolve_count(
    tmp_path: Path, text: str, files: Files, name: str, old: str, new: str
) -> None:
    assert differ(tmp_path, text, files, name, old, new)


E = "E = [0]\n"
BUILD_E = "\ndef build(i, d):\n    return E\n"
BUILD = "\ndef build(i, d):\n    return "
UDF = "import pandas as pd\nfrom pyspark.sql import functions as sf\n"
USED = f"{BUILD}[f(i) for f in R], one, two"
THIRD = f"{BUILD}decimal.Decimal(i) / 3"
REGISTRY = "R = []\ndef reg(f):\n    R.append(f)\n    return f\n"
ONE, TWO = "@reg\ndef one(x):\n    return x + 1\n", "@reg\ndef two(x):\n    return x * 2\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{E}E.append(1)\nW = tuple(E){BUILD}W, E", f"{E}W = tuple(E)\nE.append(1){BUILD}W, E"),
        (
            f"L = 1\ndef s():\n    return L\nX = s()\nL = 2{BUILD}X, L",
            f"L = 1\ndef s():\n    return L\nL = 2\nX = s(){BUILD}X, L",
        ),
        (
            f"{E}A = [1]\nB = tuple(A)\nA.append(2)\nE.extend(B){BUILD_E}",
            f"{E}A = [1]\nA.append(2)\nB = tuple(A)\nE.extend(B){BUILD_E}",
        ),
        (f"{REGISTRY}{ONE}{TWO}{USED}", f"{REGISTRY}{TWO}{ONE}{USED}"),
        (f"{E}A = E\n_ = A.append(1){BUILD_E}", f"{E}A = E{BUILD_E}"),
        (f"{E}O = [0]\nA = E\nA.append(1){BUILD}E, O", f"{E}O = [0]\nA = O\nA.append(1){BUILD}E, O"),
        *(
            (f"import decimal\n{text}{THIRD}", f"import decimal\n{text.replace('5', '6')}{THIRD}")
            for text in (
                "_ = decimal.setcontext(decimal.Context(prec=5))",
                "class Setup:\n    decimal.getcontext().prec = 5",
                "def unused(x=decimal.setcontext(decimal.Context(prec=5))):\n    pass",
            )
        ),
        (f"{E}class Setup:\n    E.append(1){BUILD_E}", f"{E}class Setup:\n    E.append(2){BUILD_E}"),
        *(
            (text, text.replace("+ 1", "+ 2"))
            for text in (
                "import pandas as pd\n@pd.api.extensions.register_dataframe_accessor('p')\nclass P:\n"
                f"    def f(self):\n        return self.o + 1{BUILD}i.mapInPandas(lambda x: x.p.f(), 'a long')",
                f'def rule():\n    """a + 1"""{BUILD}i.selectExpr(rule.__doc__)',
                f'"""a + 1"""{BUILD}i.selectExpr(__doc__)',
                f'import inspect\ndef rule():\n    """a + 1"""{BUILD}i.selectExpr(inspect.getdoc(rule))',
                f"L = 0 + 1{BUILD}build.__globals__['L']",
                f"import sys\nL = 0 + 1{BUILD}sys.modules[__name__].L",
                f"L = 0 + 1\ndef f(x):\n    return x.query('a > @L'){BUILD}i.mapInPandas(f, 'a long')",
            )
        ),
        *(
            (text, text.replace("mean", "average"))
            for text in (
                f"def mean(x):\n    return x{BUILD}[f(i).alias(f.__name__) for f in (mean,)]",
                "def build(i, d):\n    def mean(x):\n        return x\n"
                "    return [f(i).alias(f.__name__) for f in (mean,)]",
                f"import inspect\ndef r(mean):\n    return 1{BUILD}list(inspect.signature(r).parameters)",
                f"def r(mean):\n    return 1{BUILD}r.__code__.co_varnames",
            )
        ),
        *(
            (text, text.replace("-> pd.Series", "-> float"))
            for text in (
                f"{UDF}def build(i, d):\n    def f(x: pd.Series) -> pd.Series:\n        return x.sum()\n"
                "    return sf.pandas_udf(f, 'long')",
                f"{UDF}if True:\n    def f(x: pd.Series) -> pd.Series:\n        return x.sum()\n"
                f"{BUILD}sf.pandas_udf(f, 'long')",
            )
        ),
        *(
            (text, text.replace("real=1", "imag=1"))
            for text in ("def build(i, d):\n    match i:\n        case complex(real=1):\n            return 2\n",)
        ),
    ],
)  # fmt: skip
def test_what_gives_other_rows_has_another_hash(tmp_path: Path, before: str, after: str) -> None:
    assert before != after
    assert built(tmp_path / "a", before, {}) != built(tmp_path / "b", after, {})


def test_the_order_counts_in_which_modules_act(tmp_path: Path) -> None:
    acting = {f"spark_jobs/pieces/{name}.py": f"from .exact import EDGES\nEDGES.append('{name}')\n" for name in "ab"}
    text = "import spark_jobs.pieces.a\nimport spark_jobs.pieces.b\nfrom spark_jobs.pieces.exact import EDGES\n"
    lines = text.splitlines()
    other = "\n".join([lines[1], lines[0], *lines[2:]])
    end = "\n\ndef build(i, d):\n    return EDGES\n"
    assert built(tmp_path / "a", text + end, acting) != built(tmp_path / "b", other + end, acting)


@pytest.mark.parametrize(
    "unused",
    [
        "class K:\n    v = 1\n\n    def f(self):\n        return 2",
        "from dataclasses import dataclass\n\n\n@dataclass\nclass K:\n    v: int = 1",
        "from pyspark.sql import functions as sf\n\n\n@sf.udf('long')\ndef f(x):\n    return x",
        "import re\nfrom pyspark.sql import Window\nR = re.compile('a')\nW = Window.partitionBy('a').orderBy('b')",
        "import logging\nlog = logging.getLogger(__name__)",
        "import numpy as np\nB = np.array([1]) * 2\nC = {**{}, 'a': B}",
    ],
)
def test_what_nobody_asks_for_has_no_trace(tmp_path: Path, unused: str) -> None:
    text = "E = [0]\nE.append(1)\n\n\ndef build(i, d):\n    return E\n"
    assert built(tmp_path / "a", text, {}) == built(tmp_path / "b", f"{unused}\n\n{text}", {})


ANY = "import builtins, operator, sys, spark_jobs.pieces.exact, spark_jobs.pieces as p\nq = p\nTABLE = [p]\n"
DEEP = "spark_jobs/pieces/deep/more.py"


@pytest.mark.parametrize(
    "reference",
    ["getattr(p, 'exact')", "getattr(p, 'ex' + 'act')", "getattr(spark_jobs.pieces, 'exact')", "vars(p)['exact']",
     "getattr(getattr(spark_jobs, 'pieces'), 'exact')", "operator.attrgetter('pieces.exact')(spark_jobs)", "q.exact",
     "(lambda m: m.exact)(p)", "TABLE[0].exact", "builtins.getattr(p, 'exact')", "p.__dict__['exact']",
     "sys.modules['spark_jobs.pieces.exact']"],
)  # fmt: skip
def test_a_module_that_is_reached_by_way_of_its_package_counts(tmp_path: Path, reference: str) -> None:
    text = f"{ANY}{BUILD}{reference}.add(i, d)"
    assert differ(tmp_path, text, NAMES, EXACT, "a + b", "a * b")


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("from spark_jobs.pieces import *\ndef build(i, d):\n    return exact.add(i, d)", "__all__ = ['exact']\n"),
        (
            "from spark_jobs.pieces import get\ndef build(i, d):\n    return get('exact').add(i, d)",
            "def get(name):\n    return globals()[name]\n",
        ),
        (
            "from spark_jobs.pieces import anything\ndef build(i, d):\n    return anything.add(i, d)",
            "def __getattr__(name):\n    from . import exact\n    return exact\n",
        ),
    ],
)
def test_a_module_that_its_package_gives_out_counts(tmp_path: Path, text: str, package: str) -> None:
    assert differ(tmp_path, text, {PACKAGE: package}, EXACT, "a + b", "a * b")


def test_a_module_deep_in_a_package_counts_that_is_a_value(tmp_path: Path) -> None:
    files = {"spark_jobs/pieces/deep/__init__.py": "", DEEP: "def f():\n    return 1\n"}
    for number, found in enumerate(("getattr(getattr(p, 'deep'), 'more')", "TABLE[0].deep.more")):
        text = f"{ANY}{BUILD}{found}.f()"
        assert differ(tmp_path / str(number), text, files, DEEP, "return 1", "return 2")


def test_a_package_that_is_a_value_may_have_a_module_that_is_not_python(tmp_path: Path) -> None:
    text = f"{ANY}{BUILD}TABLE[0].exact.add(i, d)"
    broken = {"spark_jobs/pieces/broken.py": "def"}
    assert built(tmp_path / "a", text, {}) == built(tmp_path / "b", text, broken)
    assert differ(tmp_path / "c", text, broken, EXACT, "a + b", "a * b")


def test_a_module_that_is_there_later_counts_where_its_lack_is_caught(tmp_path: Path) -> None:
    text = "try:\n    import spark_jobs.pieces.late\n    N = 2\nexcept ImportError:\n    N = 1\n"
    before = built(tmp_path / "a", f"{text}{BUILD}N", {})
    assert before != built(tmp_path / "b", f"{text}{BUILD}N", {"spark_jobs/pieces/late.py": "X = 1\n"})


CHECKED = "\n    X = 1\nelse:\n    X = 0\n"


@pytest.mark.parametrize(
    "condition",
    ["TYPE_CHECKING = True\nif TYPE_CHECKING:", "TYPE_CHECKING: bool = True\nif TYPE_CHECKING:",
     "TYPE_CHECKING = False\nTYPE_CHECKING = True\nif TYPE_CHECKING:",
     "from spark_jobs.pieces.constants import LAG as TYPE_CHECKING\nif TYPE_CHECKING:",
     "from typing import TYPE_CHECKING\nfrom spark_jobs.pieces.constants import *\nif TYPE_CHECKING:",
     "class S:\n    TYPE_CHECKING = True\nif S.TYPE_CHECKING:",
     "import typing\ntyping.TYPE_CHECKING = True\nif typing.TYPE_CHECKING:",
     "import typing\nif typing.TYPE_CHECKING or True:", "__name__ = '__main__'\nif __name__ == '__main__':",
     "from typing import TYPE_CHECKING\nif not TYPE_CHECKING:"],
)  # fmt: skip
def test_a_condition_that_only_looks_like_one_of_type_checkers_counts(tmp_path: Path, condition: str) -> None:
    assert differ(tmp_path, f"{condition}{CHECKED}{BUILD}X", NAMES, PARCELS, "X = 1", "X = 2")


@pytest.mark.parametrize(
    "condition",
    ["from typing import TYPE_CHECKING\nif TYPE_CHECKING:", "import typing as t\nif t.TYPE_CHECKING:",
     "from typing_extensions import TYPE_CHECKING\nif TYPE_CHECKING:", "TYPE_CHECKING = False\nif TYPE_CHECKING:",
     "if __name__ == '__main__':"],
)  # fmt: skip
def test_what_is_for_type_checkers_alone_has_no_trace(tmp_path: Path, condition: str) -> None:
    assert not differ(tmp_path, f"{condition}{CHECKED}{BUILD}X", NAMES, PARCELS, "X = 1", "X = 2")


ARRAY = "import numpy as np\nE = np.array([0, 0])\n"
LIST = "import collections, itertools, operator\nE = [0]\n"
SPARK = "import pyspark.sql\nfrom pyspark.sql import SparkSession\nE = 0\n"


@pytest.mark.parametrize(
    ("top", "acting"),
    [
        *((ARRAY, f"np.{call}") for call in (
            "add.at(E, 0, 1)", "copyto(E, 1)", "put(E, 0, 1)", "add(E, 1, out=E)", "fill_diagonal(E, 1)",
            "place(E, E > 0, 1)", "putmask(E, E > 0, 1)",
        )),
        *((LIST, call) for call in (
            "operator.iadd(E, [1])", "operator.delitem(E, 0)", "list(map(E.append, [1]))", "sorted([1], key=E.append)",
            "sorted([1], key=lambda v: E.append(v))", "max([1, 2], key=E.append)", "list(filter(E.append, [1]))",
            "collections.deque(map(E.append, [1]))", "list(itertools.starmap(E.append, [(1,)]))",
            "tuple(map(lambda v: E.append(v), [1]))", "[*map(E.append, [1])]",
            "lambda x=E.append(1): x",
        )),
        (SPARK, "SparkSession.builder.config('spark.sql.ansi.enabled', 'false').getOrCreate()"),
        (SPARK, "pyspark.sql.SparkSession.active().sql('SET spark.sql.ansi.enabled = false')"),
    ],
)  # fmt: skip
def test_a_call_that_changes_something_counts_whatever_becomes_of_its_result(
    tmp_path: Path, top: str, acting: str
) -> None:
    before = built(tmp_path / "before", f"{top}{BUILD_E}", {})
    for number, line in enumerate((f"_ = {acting}", f"class U:\n    _ = {acting}", f"def unused(x={acting}): pass")):
        assert built(tmp_path / str(number), f"{top}{line}\n{BUILD_E}", {}) != before


@pytest.mark.parametrize(
    "pure",
    ["NAMES = {'a': 1}\nU = sorted(NAMES.items(), key=lambda p: p[1])", "U = list(map(lambda x: x + 1, (1, 2)))",
     "import operator\nU = sorted({'a': 1}.items(), key=operator.itemgetter(1))", "U = max((1, 2), key=abs)",
     "import numpy as np\nU = np.add(np.array([1]), 1)"],
)  # fmt: skip
def test_a_call_that_changes_nothing_has_no_trace(tmp_path: Path, pure: str) -> None:
    acting = "E = [0]\nE.append(1)\n"
    assert built(tmp_path / "a", f"{pure}\n{acting}{BUILD_E}", {}) == built(tmp_path / "b", f"{acting}{BUILD_E}", {})


@pytest.mark.parametrize("text", ["X: int = 1", "X: int"])
@pytest.mark.parametrize("look", ["__annotations__", "typing.get_type_hints(sys.modules[__name__])"])
def test_annotations_of_a_module_count_where_somebody_looks_at_them(tmp_path: Path, text: str, look: str) -> None:
    assert differ(tmp_path, f"import typing, sys\n{text}\n{BUILD}{look}", NAMES, PARCELS, "X: int", "X: str")
