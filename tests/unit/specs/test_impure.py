"""What ``check`` refuses in a feature module since it is no function of its inputs."""

from pathlib import Path

import pytest

from nightshift.specs.check import check_specs
from tests.unit.specs.home import add_spec, make_home

MODULE = """import os.path
from datetime import date, datetime
from pyspark.sql import functions as sf
{top}

def build(inputs, days):
    rows = inputs["orders"]
    {body}
    return rows


def label(inputs, days):
    return inputs["deliveries"]
"""
BODY = 8


def problems(folder: Path, top: str = "", body: str = "pass", **features: object) -> list[str]:
    settings = make_home(folder)
    add_spec(settings, "parcels", **({"features": features} if features else {}))
    (settings.feature_modules / "parcels.py").write_text(MODULE.format(top=top, body=body))
    return [f"{Path(item.file).name}:{item.line}: {item.text}" for item in check_specs(settings).problems]


CLOCKS = [
    ("", "rows.where(sf.current_date() > sf.col('due'))"),
    ("", "rows.withColumn('age', sf.now())"),
    ("import pyspark", "rows.withColumn('age', pyspark.sql.functions.current_timestamp())"),
    ("import pyspark.sql.functions as anything", "anything.localtimestamp()"),
    ("from pyspark.sql.functions import current_date as today", "today()"),
    ("from pyspark.sql.functions import *", "rows.withColumn('age', current_timestamp())"),
    ("", "date.today()"),
    ("", "datetime.now().date()"),
    ("import datetime as clock", "clock.datetime.utcnow()"),
    ("import time", "time.time()"),
    ("from time import monotonic as tick", "tick()"),
    ("import time", "time.strftime('%Y')"),
    ("import time", "time.gmtime()"),
    ("import pandas as pd", "pd.Timestamp.now()"),
    ("import pandas as pd", "pd.to_datetime('today')"),
    ("", "sf.unix_timestamp()"),
    ("", "getattr(sf, 'current_date')()"),
    ("", "sf.call_function('now')"),
    ("", "rows.where('due < current_date')"),
    ("", "rows.where('due < CURRENT_DATE()')"),
    ("", "rows.selectExpr('*', f'datediff(now(), {days[0]}) AS age')"),
    ("", "rows.sparkSession.sql('SELECT current_timestamp AS at')"),
    ("", "rows.withColumn('age', sf.expr(\"date 'today' - due\"))"),
    ("", "rows.withColumn('age', sf.expr('unix_timestamp()'))"),
    ("AGE = 'datediff(current_date, due)'", "rows.withColumn('age', sf.expr(AGE))"),
    ("", "type(date(2024, 1, 1)).today()"),
    ("", "[sf.now() for _ in days]"),
    ("", "(lambda: date.today())()"),
    ("", "rows.withColumn('age', sf.lit('now').cast('timestamp'))"),
    ("", "rows.withColumn('age', sf.lit(' Today ').cast('date'))"),
    ("from pyspark.sql.types import DateType", "sf.lit('tomorrow').astype(DateType())"),
    ("from pyspark.sql import types", "sf.lit('now UTC').cast(types.TimestampType())"),
    ("NOW = 'now'", "sf.lit(NOW).cast('timestamp_ntz')"),
    ("", "sf.to_date(sf.lit('now'))"),
    ("", "sf.to_date('now')"),
    ("", "sf.expr(\"'now'\").cast('timestamp')"),
    ("", "sf.datediff(sf.lit('today'), 'due')"),
    ("", "sf.to_timestamp(sf.lit('yesterday'))"),
    ("", "sf.unix_timestamp(sf.lit('now'))"),
    ("", "rows.selectExpr(\"cast('now' as timestamp) AS at\")"),
    ("", "rows.selectExpr('to_date(\"now\") AS at')"),
    ("", "rows.where(\"due < 'today'::date\")"),
    ("", "rows.where(\"datediff(due, 'now') > 1\")"),
    ("", "sf.expr(\"try_cast('now' AS DATE)\")"),
    ("", "sf.expr(\"date('today')\")"),
    ("TEXT = 'current_timestamp()'\ndef later(text):\n    return sf.expr(text)", "later(TEXT)"),
    ("", "rows.groupBy('ds').agg({'due': 'current_date'})"),
    ("import pandas as pd", "pd.Period('now', 'D')"),
    ("import pandas as pd", "pd.date_range(end='today', periods=2)"),
    ("", "sf.expr(\"timestamp 'now UTC' - due\")"),
    ("", "sf.expr('date \"today\" - due')"),
    ("AGES = {'age': 'datediff(current_date, due)'}", "[sf.expr(text).alias(name) for name, text in AGES.items()]"),
    ("class Rules:\n    LATE = 'due < current_date'", "rows.where(Rules.LATE)"),
    ("AGES = ['current_timestamp']", "[rows.selectExpr(text) for text in AGES]"),
    ("from datetime import datetime as dt", "dt.now(days)"),
    ("from time import *", "monotonic()"),
    ("import time", "time.localtime(0)"),
    ("import time", "time.get_clock_info('time')"),
    ("clock = date", "clock.today()"),
    ("spark_functions = sf", "spark_functions.now()"),
    ("", "getattr(type(days), 'utcnow')()"),
    ("class Calendar:\n    date = 1\n    def day(self):\n        return date.today()", "pass"),
    ("", "rows.select(sf.col('now')).select(sf.to_date(sf.lit('now')))"),
    ("def at():\n    now = 'now'\n    return sf.lit(now).cast('timestamp')", "pass"),
    ("", "rows.filter(condition='due < current_date')"),
    ("TEXT = 'SELECT current_timestamp() at'", "pass"),
    ("TEXT = 'datediff(now(), due) AS age'", "pass"),
    ("TEXT = 'CASE WHEN due > now() THEN 1 END'", "pass"),
    ("PARTS = ', '.join(['due', 'now() AS at'])", "pass"),
]
CHANCE = [
    ("", "rows.withColumn('noise', sf.rand())"),
    ("", "rows.withColumn('noise', sf.rand(seed=7))"),
    ("", "rows.withColumn('noise', sf.randn(7))"),
    ("", "rows.withColumn('key', sf.uuid())"),
    ("", "rows.withColumn('key', sf.expr('uuid ()'))"),
    ("", "rows.withColumn('list', sf.shuffle('list'))"),
    ("", "rows.sample(0.5)"),
    ("", "rows.sample(fraction=0.5, seed=7)"),
    ("", "rows.randomSplit([0.5, 0.5])"),
    ("", "rows.sampleBy('origin', {})"),
    ("", "rows.sparkSession.sql('SELECT * FROM x TABLESAMPLE (10 PERCENT)')"),
    ("import numpy as np", "np.random.default_rng(7)"),
    ("import uuid", "uuid.uuid4()"),
    ("", "os.urandom(4)"),
    ("", "hash('text')"),
    ("EXPRESSIONS = {'noise': sf.rand}", "pass"),
    ("import random", "pass"),
    ("from random import choice", "pass"),
    ("from scipy import stats", "stats.norm.rvs(size=3)"),
    ("from numpy.random import Generator, PCG64", "pass"),
    ("import numpy", "numpy.random.Generator(numpy.random.PCG64(1)).normal()"),
    ("", "rows.groupBy('ds').agg({'due': 'rand'})"),
    ("HOW = {'due': 'uuid'}", "rows.agg({**HOW, 'key': 'rand'})"),
    ("HOW = {'due': 'uuid'}", "rows.agg(HOW)"),
    ("", "rows.selectExpr(*[f'rand({n}) AS r{n}' for n in (1, 2)])"),
    ("", "rows.selectExpr('shuffle(list) AS list')"),
    ("", "rows.where('random() < 0.5')"),
    ("TEXTS = ['uniform(0, 1)']", "pass"),
    ("", "id(rows)"),
    ("", "'text'.__hash__()"),
    ("import secrets as s", "pass"),
]
PLACES = [
    ("", "rows.withColumn('id', sf.monotonically_increasing_id())"),
    ("", "rows.withColumn('id', sf.spark_partition_id())"),
    ("", "rows.withColumn('file', sf.input_file_name())"),
    ("", "rows.inputFiles()"),
    ("", "rows.rdd.getNumPartitions()"),
    ("", "rows.rdd.zipWithIndex()"),
    ("from pyspark import TaskContext", "TaskContext.get().partitionId()"),
]
ENVIRONMENT = [
    ("", "os.environ['X']"),
    ("", "os.getenv('X', 'y')"),
    ("from os import environ", "pass"),
    ("import sys", "sys.argv"),
    ("import platform", "pass"),
    ("import subprocess", "pass"),
    ("", "rows.withColumn('who', sf.current_user())"),
    ("", "rows.withColumn('x', sf.expr(\"reflect('java.lang.System', 'nanoTime')\"))"),
    ("", "rows.sparkSession.conf.get('x')"),
    ("", "rows.sparkSession.version"),
    ("", "rows.sparkSession.catalog.listTables()"),
    ("", "rows.sparkSession.sparkContext.defaultParallelism"),
    ("from pyspark.sql import SparkSession", "SparkSession.getActiveSession().version"),
    ("", "found = rows.sparkSession; found.catalog.currentDatabase()"),
    ("from pyspark import SparkContext", "pass"),
    ("import socket", "pass"),
    ("import requests", "pass"),
    ("import locale", "pass"),
    ("import urllib.request", "pass"),
    ("import multiprocessing", "pass"),
    ("import sys", "sys.version"),
    ("import sys", "sys.flags.optimize"),
    ("import sys", "sys.getdefaultencoding()"),
    ("", "os.name"),
    ("", "os.cpu_count()"),
    ("", "os.getuid()"),
    ("import time", "time.tzname"),
    ("", "datetime.fromtimestamp(0)"),
    ("", "datetime(2024, 1, 1).astimezone()"),
    ("", "spark.version"),
    ("", "spark.conf.get('x')"),
    ("", "spark.catalog.listTables()"),
    ("from pathlib import Path", "Path('x').absolute()"),
    ("from pathlib import Path", "Path('~').expanduser()"),
    ("import pandas", "pandas.__version__"),
    ("", "sf.current_path()"),
]
IMPORTS = [
    ("import importlib", "pass"),
    ("from importlib import import_module as load", "load('x')"),
    ("", "__import__('x')"),
    ("", "exec('x = 1')"),
    ("", "eval('1')"),
]
FILES = [
    ("", "open('spark_jobs/features/holidays.csv')"),
    ("from pathlib import Path", "Path(__file__).with_name('holidays.csv').read_text()"),
    ("from pathlib import Path", "Path('holidays.csv').open()"),
    ("import pandas as pd", "pd.read_csv('holidays.csv')"),
    ("", "rows.sparkSession.read.parquet('holidays')"),
    ("", "rows.sparkSession.sql('SELECT * FROM parquet.`/holidays`')"),
    ("", "os.listdir('x')"),
    ("", "os.path.getctime('x')"),
    ("", "[open for open in open('x')]"),
    ("import glob", "pass"),
    ("import numpy as np", "np.load('x.npy')"),
    ("from pathlib import Path", "Path('x').exists()"),
    ("from pathlib import Path", "(Path(__file__).parent / 'x').stat().st_mtime"),
    ("from pathlib import Path\nFOLDER = Path(__file__).parent\nFILE = FOLDER / 'x'", "FILE.exists()"),
    ("from pathlib import Path", "list(Path('x').glob('*'))"),
    ("from pathlib import Path", "Path('x').is_file()"),
    ("import pathlib", "pathlib.Path('x').iterdir()"),
    ("import pathlib", "map(pathlib.Path.exists, [])"),
    ("from pathlib import Path", "[path.stat() for path in Path('x').parents]"),
    ("", "os.path.exists('x')"),
    ("", "os.path.expanduser('~')"),
    ("", "os.path.realpath('x')"),
    ("", "os.path.lexists('x')"),
    ("from os import path", "path.isfile('x')"),
    ("from os.path import exists as there", "there('x')"),
    ("", "rows.sparkSession.table('x')"),
    ("", "spark.table('x')"),
    ("", "spark.read.csv('x')"),
    ("", "session = rows.sparkSession; session.read.text('x')"),
    ("class Store:\n    def open(self):\n        return open('x')", "pass"),
    ("from pathlib import Path\nclass Store:\n    def open(self):\n        pass", "Path('x').open()"),
    ("import xml.dom.pulldom as anything", "anything.open('x')"),
]


@pytest.mark.parametrize(
    ("top", "body", "words"),
    [
        *((*case, "for a clock") for case in CLOCKS),
        *((*case, "for chance") for case in CHANCE),
        *((*case, "for where Spark put a row") for case in PLACES),
        *((*case, "for the environment") for case in ENVIRONMENT),
        *((*case, "for an import that is made while it runs") for case in IMPORTS),
        *((*case, "for a file") for case in FILES),
    ],
)
def test_what_is_no_function_of_the_inputs_is_refused_with_its_line(
    tmp_path: Path, top: str, body: str, words: str
) -> None:
    found = problems(tmp_path, top, body)
    assert found
    lines = {f"parcels.py:{4 + number}: asks" for number in range(top.count("\n") + 1)}
    called = f"parcels.py:{BODY + top.count(chr(10))}: asks"
    assert all(item.startswith((*lines, called)) and words in item for item in found), found
    assert body == "pass" or any(item.startswith(called) for item in found) or "TEXT" in top


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("", "rows.where(sf.col('now') > rows.today)"),
        ("", "date.fromisoformat(days[0]).isoformat()"),
        ("", "datetime.strptime(days[0], '%Y-%m-%d')"),
        ("", "sf.hash('key')"),
        ("", "sf.unix_timestamp('at')"),
        ("import time", "time.strptime('1', '%H'), time.strftime('%Y', time.gmtime(0))"),
        ("import uuid", "uuid.uuid5(uuid.NAMESPACE_DNS, 'x')"),
        ("from datetime import time", "time(2, 0)"),
        ("def now(x):\n    return x", "now(rows)"),
        ("", "[open for open in days]"),
        ("", "(lambda random, id: random + id)(1, 2)"),
        ("", "rows.where(\"kind = 'now()' -- current_date\")"),
        ("", "rows.where('`current_date` > ds')"),
        ("", "rows.select('current_date', 'random', 'uuid')"),
        ("", "getattr(sf, 'max')('x')"),
        ("", "os.path.basename('x')"),
        ("import operator, itertools, functools, math, re, decimal", "math.pi"),
        ("if __name__ == '__main__':\n    import random", "pass"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from random import Random", "pass"),
        ("import pandas as pd", "pd.DataFrame().sample(3, random_state=7)"),
        ("class Calendar:\n    def today(self):\n        return 1\n", "Calendar().today()"),
        ("class Rule:\n    def now(self):\n        return 1\nRULES = [Rule()]\n", "[rule.now() for rule in RULES]"),
        (
            "class Shop:\n    def open(self):\n        return 1\n    def sample(self):\n        return self.open()\n",
            "Shop().open(), Shop().sample(), getattr(Shop(), 'open')()",
        ),
        ("TITLE = 'user(s) of version (2)'", "rows.withColumn('user(s)', sf.lit(TITLE))"),
        ("", "rows.where(sf.col('kind') == 'user(s)')"),
        ("", "rows.where(sf.col('kind').isin('now()', 'rand()'))"),
        ("", "rows.select(sf.col('rand()').alias('uuid()'))"),
        ("", "rows.groupBy('rand').agg({'rand': 'max', 'now': 'min'})"),
        ("", "rows.selectExpr('rand', '`now()`', 'today AS tomorrow')"),
        ("import logging\nlog = logging.getLogger(__name__)", "log.info('no user() of %s', days)"),
        ("", "raise ValueError('now() and user(s)')"),
        ("", "assert days, 'now() is no day'"),
        ("", "rows.where((rows.kind == 'rand()') | rows.kind.like('now()')).fillna('user()').drop('uuid()')"),
        ("", "rows.where(\"kind = 'today'\")"),
        ("", "rows.withColumn('kind', sf.lit('now')).withColumn('day', sf.to_date('due'))"),
        ("", "sf.col('kind').cast('string') == 'today'"),
        ("", "sf.to_date(sf.col('due'), 'yyyy-MM-dd'), sf.date_trunc('month', 'due')"),
        ("", "rows.selectExpr('cast(due as date) AS today', \"concat('now', cast(due as date)) AS text\")"),
        ("", "os.path.join('a', os.sep, os.path.splitext('b')[0]), os.path.dirname('c')"),
        ("import sys", "sys.maxsize, sys.float_info.max"),
        ("from os.path import *", "len(join('a', 'b'))"),
        ("", "rows = rows.withColumn('now', sf.lit('today')).where(sf.to_date(rows.due) > rows.end.cast('date'))"),
        ("", "is_user = sf.col('kind') == 'user(s)'; rows = rows.where(is_user)"),
        ("", "sf.when(rows.end_time > rows.due, sf.lit('now')).cast('string')"),
        ("HOW = {'rand': 'max'}", "rows.agg(HOW)"),
        ("import os", "pass"),
        ("text = 'ds'\n" + "text = text + text\n" * 30, "rows.selectExpr(text)"),
        ("from pathlib import PurePath\nx = 1\n" + "x = x / x.a\n" * 30, "x.exists(), sf.to_date(sf.lit(x))"),
        ("a = b = c = 1\na = b.x\nb = c.x\nc = a.x", "a.table('x'), a.today"),
        ("import sys, time", "time.strptime('1', '%H')"),
        ("from pathlib import PurePosixPath", "PurePosixPath('a').with_suffix('.b').name"),
        ("from datetime import UTC", "datetime.fromtimestamp(0, UTC)"),
        ("", "rows.where(sf.exists('list', lambda item: item > 1))"),
        ("", "rows.stat.corr('a', 'b'), rows.fillna(0).replace(1, 2)"),
        ("", "rows.filter(lambda row: row.kind == 'user(s)'), list(filter(None, ['current_date']))"),
        ("import re", "re.sub('now', 'today', 'x')"),
        ("", "rows.withColumn('today', sf.lit(days[0])).select(sf.year('today'), sf.add_months('today', 1))"),
        ("", "rows.select(sf.max('due').alias('now')).select(sf.to_date('now'), sf.datediff('ds', 'now'))"),
        ("AT = 'now'", "rows.select('now').select(sf.hour(AT), sf.to_utc_timestamp('now', 'UTC'))"),
        (
            "from typing import NamedTuple\nclass Names(NamedTuple):\n    now: str = 'now'",
            "now = sf.lit(days[0]); now.cast('timestamp')",
        ),
        ("def name():\n    at = 'now'\n    return at", "at = rows.at; at.cast('timestamp')"),
        ("", "rows.where(rows['current_date'])"),
        ("import numpy as np", "np.where(rows.x, 'current_date', 'current_user')"),
        ("", "rows.toPandas().filter(items=['current_date']), rows.toPandas().filter(['current_user', 'x'])"),
        ("import warnings", "warnings.warn('no user() of now()')"),
        ("import logging\nlog = logging.getLogger(__name__)", "log.log(logging.INFO, 'uuid()')"),
        (
            "import logging\nlog = logging.getLogger(__name__)",
            "log.info(f'rand() of {days}'); log.info('now() ' + days[0])",
        ),
        ("ERRORS = {'now': 'no rows at now()'}", "pass"),
        ("REMARK = 'rand() is refused; see uuid()'", "pass"),
        ("", "rows.where(sf.col('kind').isin(['now()', 'rand()'])).replace({'uuid()': 'x'})"),
    ],
)
def test_what_only_looks_like_it_is_not(tmp_path: Path, top: str, body: str) -> None:
    assert problems(tmp_path, top, body) == []


def test_a_column_of_the_spec_is_that_also_where_sql_has_a_function_of_its_name(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    path = add_spec(settings, "parcels")
    path.write_text(path.read_text().replace("weight:", "current_date:"))
    module = settings.feature_modules / "parcels.py"
    module.write_text(MODULE.format(top="", body="rows.where('current_date > ds').where('current_user = 1')"))
    assert ["current_user" in item.text for item in check_specs(settings).problems] == [True]


def test_the_message_says_what_to_do(tmp_path: Path) -> None:
    assert problems(tmp_path, "", "rows.withColumn('noise', sf.rand())") == [
        "parcels.py:8: asks pyspark.sql.functions.rand for chance: a day that is built twice must have the same rows; "
        "derive it from the key, with hash or md5"
    ]


def test_a_module_that_is_imported_is_read_too_and_what_it_passes_on(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    add_spec(settings, "parcels")
    text = MODULE.format(top="from ..transforms.noise import chance, noise", body="rows.select(chance(), noise())")
    (settings.feature_modules / "parcels.py").write_text(text)
    noise = settings.feature_modules.parent / "transforms" / "noise.py"
    noise.write_text("from pyspark.sql.functions import lit as noise, rand as chance\n")
    found = [(Path(item.file).name, item.line) for item in check_specs(settings).problems]
    assert found == [("parcels.py", 4), ("parcels.py", 8), ("noise.py", 1)] or sorted(found) == sorted(
        [("parcels.py", 4), ("parcels.py", 8), ("noise.py", 1)]
    )


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("from .rules import LATE", "rows.where(LATE)"),
        ("from spark_jobs.features import rules", "rows.where(rules.LATE)"),
        ("from spark_jobs.features import rules as r", "rows.withColumn('late', sf.expr(r.RULES['late']))"),
    ],
)
def test_sql_is_read_where_a_module_that_is_imported_has_it(tmp_path: Path, top: str, body: str) -> None:
    settings = make_home(tmp_path)
    add_spec(settings, "parcels")
    (settings.feature_modules / "parcels.py").write_text(MODULE.format(top=top, body=body))
    rules = settings.feature_modules / "rules.py"
    rules.write_text("LATE = 'due < current_date'\nRULES = {'late': 'due < current_date'}\n")
    assert [item.line for item in check_specs(settings).problems] == [BODY]


def test_files_that_the_spec_declares_may_be_read(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    path = add_spec(settings, "parcels")
    file = "spark_jobs/features/holidays.csv"
    path.write_text(path.read_text().replace("features:\n", f"features:\n  reads: [{file}]\n"))
    reads = [
        "Path(__file__).with_name('holidays.csv').read_text(encoding='utf-8')",
        "open(HOLIDAYS, encoding='utf-8')",
        "open(Path(__file__).parent / 'holidays.csv')",
    ]
    top = "from pathlib import Path\nHOLIDAYS = Path(__file__).with_name('holidays.csv')"
    for body in reads:
        (settings.feature_modules / "parcels.py").write_text(MODULE.format(top=top, body=body))
        [problem] = check_specs(settings).problems
        assert problem.text == f"features.reads: there is no file {file}"
        assert path.read_text().splitlines()[problem.line - 1] == f"  reads: [{file}]"
    (settings.home / file).write_text("2024-01-01\n")
    for body in reads:
        (settings.feature_modules / "parcels.py").write_text(MODULE.format(top=top, body=body))
        assert check_specs(settings).problems == ()
    (settings.feature_modules / "parcels.py").write_text(MODULE.format(top=top, body="open('others.csv')"))
    assert "asks open for a file" in check_specs(settings).problems[0].text
