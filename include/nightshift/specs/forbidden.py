"""What a feature module may not ask for: names of Python and Spark whose answer is no function of its inputs."""

from typing import Final

CLOCK: Final = "a clock: rows of a day must not depend on when they are built"
CHANCE: Final = "chance: a day that is built twice must have the same rows"
ENVIRONMENT: Final = "the environment: a day must have the same rows wherever it is built"
IMPORT: Final = "an import that is made while it runs: nobody can see what decides the rows"
FILE: Final = "a file"
PLACE: Final = "where Spark put a row: that differs from run to run"

_DO: Final = {
    CLOCK: "use `days` and `ds`",
    CHANCE: "derive it from the key, with hash or md5",
    ENVIRONMENT: "write the value as a constant, or land it as a source",
    IMPORT: "import it by name at the top",
    FILE: "land it as a source, or name it in features.reads",
    PLACE: "use the key, or row_number over an order by it",
}

_SPARK = "pyspark.sql.functions"
# SQL has these as functions, and pyspark.sql.functions under the same names.
SPARK: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("current_date", "current_timestamp", "current_time", "curdate", "now", "localtimestamp"), CLOCK
    ),
    **dict.fromkeys(("rand", "randn", "random", "randstr", "uniform", "uuid", "shuffle"), CHANCE),
    **dict.fromkeys(
        ("monotonically_increasing_id", "spark_partition_id", "input_file_name", "input_file_block_start",
         "input_file_block_length"), PLACE,
    ),
    **dict.fromkeys(
        ("current_user", "user", "session_user", "current_catalog", "current_database", "current_schema", "version",
         "current_timezone", "current_path", "reflect", "java_method", "try_reflect"), ENVIRONMENT,
    ),
}  # fmt: skip
# These ask the clock where they are called without an argument, and only then.
SPARK_WITHOUT_ARGUMENT: Final = {"unix_timestamp": CLOCK}
# SQL takes these without parentheses.
SPARK_WORDS: Final = {
    **dict.fromkeys(("current_date", "current_timestamp", "current_time", "localtimestamp"), CLOCK),
    **dict.fromkeys(("current_user", "session_user", "current_catalog", "current_database", "current_schema"),
                    ENVIRONMENT),
}  # fmt: skip

# Spark reads these texts as moments, in a cast of a constant and where a function takes a time.
MOMENTS: Final = frozenset(("now", "today", "yesterday", "tomorrow"))
SPARK_OF_TIMES: Final = frozenset(
    ("to_date", "try_to_date", "to_timestamp", "to_timestamp_ltz", "to_timestamp_ntz", "try_to_timestamp",
     "to_unix_timestamp", "unix_timestamp", "unix_date", "unix_seconds", "unix_millis", "unix_micros", "date_add",
     "date_sub", "dateadd", "datediff", "date_diff", "timestamp_diff", "timestamp_add", "add_months", "months_between",
     "last_day", "next_day", "date_format", "date_trunc", "trunc", "date_part", "from_utc_timestamp",
     "to_utc_timestamp", "year", "quarter", "month", "day", "dayofmonth", "dayofweek", "dayofyear", "weekday",
     "weekofyear", "hour", "minute", "second")
)  # fmt: skip
# They take such texts, too.
OF_TIMES: Final = frozenset(
    ("pandas.Timestamp", "pandas.to_datetime", "pandas.DatetimeIndex", "pandas.Period", "pandas.date_range",
     "numpy.datetime64")
)  # fmt: skip
# What these are given are words, values and names of columns, and no SQL.
GIVEN_WORDS: Final = frozenset(
    ("lit", "col", "column", "alias", "name", "isin", "contains", "startswith", "endswith", "like", "ilike", "rlike",
     "when", "otherwise", "replace", "fillna", "fill", "select", "groupBy", "orderBy", "sort", "drop",
     "dropDuplicates", "join", "pivot", "withColumn", "withColumnRenamed", "debug", "info", "warning", "error",
     "critical", "exception", "log", "warn", "print")
)  # fmt: skip

# What these are given first is the name of a column that a frame has, or has from then on.
GIVEN_NAMES: Final = frozenset(
    ("col", "column", "alias", "name", "withColumn", "withColumnRenamed", "StructField", "toDF", "select")
)

# Dotted names; each is forbidden with everything below it.
DOTTED: Final[dict[str, str]] = {
    **{f"{_SPARK}.{name}": why for name, why in SPARK.items()},
    **dict.fromkeys(
        ("datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow", "datetime.date.today",
         "pandas.Timestamp.now", "pandas.Timestamp.today", "pandas.Timestamp.utcnow", "pandas.Period.now",
         "email.utils.localtime", "email.utils.formatdate"),
        CLOCK,
    ),
    **dict.fromkeys(
        ("random", "secrets", "numpy.random", "uuid.uuid1", "uuid.uuid4", "uuid.getnode", "os.urandom", "os.getrandom",
         "pyspark.mllib.random", "scipy.stats.qmc", "faker"), CHANCE,
    ),
    **dict.fromkeys(("pyspark.TaskContext", "pyspark.BarrierTaskContext", "pyspark.taskcontext"), PLACE),
    **dict.fromkeys(
        ("platform", "socket", "getpass", "subprocess", "locale", "http.client", "urllib.request", "urllib3",
         "requests", "httpx", "aiohttp", "ftplib", "smtplib", "ctypes", "multiprocessing", "resource", "pwd", "grp",
         "psutil", "dotenv", "pathlib.Path.cwd", "pathlib.Path.home", "nightshift.settings", "threading.get_ident",
         "threading.get_native_id", "time.tzname", "time.timezone", "time.altzone", "time.daylight",
         "datetime.date.fromtimestamp", "dateutil.tz.tzlocal", "pyspark.SparkContext", "pyspark.context",
         "pyspark.SparkConf", "pyspark.SparkFiles", "importlib.metadata"),
        ENVIRONMENT,
    ),
    **dict.fromkeys(("importlib", "imp", "runpy", "zipimport", "pkgutil", "builtins.__import__", "builtins.exec",
                     "builtins.eval", "builtins.compile"), IMPORT),
    **dict.fromkeys(
        ("builtins.open", "io.open", "io.FileIO", "os.open", "os.listdir", "os.scandir", "os.walk", "os.fwalk",
         "os.stat", "os.lstat", "os.access", "os.readlink", "os.remove", "os.unlink", "os.rename", "os.replace",
         "os.mkdir", "os.makedirs", "glob",
         "fileinput", "shutil", "tempfile", "linecache", "sqlite3", "shelve", "gzip.open", "bz2.open", "lzma.open",
         "codecs.open", "tarfile", "zipfile", "importlib.resources", "pkgutil.get_data",
         "numpy.load", "numpy.loadtxt", "numpy.genfromtxt", "numpy.fromfile", "numpy.memmap",
         "pyarrow.parquet.read_table", "pyarrow.parquet.ParquetFile", "pyarrow.csv.read_csv", "pyarrow.csv.open_csv",
         "pyarrow.dataset", "pyarrow.fs", "pyarrow.memory_map", "pyarrow.OSFile", "fsspec", "duckdb",
         "nightshift.storage", "nightshift.tables", "joblib.load"),
        FILE,
    ),
}  # fmt: skip
# What is below these is forbidden, but for what follows; they themselves are imported for that.
BELOW: Final = {"os": ENVIRONMENT, "os.path": FILE, "sys": ENVIRONMENT, "time": CLOCK}
# They depend on what they are given, and on nothing else.
PURE: Final = frozenset(
    (*(f"os.path.{name}" for name in (
        "basename", "dirname", "join", "split", "splitext", "normpath", "normcase", "commonpath", "commonprefix",
        "isabs", "sep")),
     "os.path", "os.sep", "os.extsep", "os.curdir", "os.pardir", "os.fspath", "os.PathLike",
     "sys.maxsize", "sys.maxunicode", "sys.float_info", "sys.int_info", "sys.intern", "sys.exc_info", "sys.stdout",
     "sys.stderr", "sys.getrecursionlimit", "sys.setrecursionlimit",
     "time.strptime", "time.struct_time", "time.strftime", "time.gmtime", "time.asctime", "time.sleep")
)  # fmt: skip
PREFIXES: Final = {
    "pandas.read_": FILE, "polars.read_": FILE, "polars.scan_": FILE, "geopandas.read_": FILE, "torch.rand": CHANCE,
}  # fmt: skip
# The texts of a process differ in their hash from run to run, and so does where a thing lies in memory.
BUILTINS: Final = {"hash": CHANCE, "id": CHANCE, "input": ENVIRONMENT, "breakpoint": ENVIRONMENT}
# With fewer arguments than these a function asks the clock, or the timezone of the machine.
FEWER: Final = {
    "time.gmtime": (1, CLOCK), "time.asctime": (1, CLOCK), "time.strftime": (2, CLOCK),
    f"{_SPARK}.unix_timestamp": (1, CLOCK), "datetime.datetime.fromtimestamp": (2, ENVIRONMENT),
    "dateutil.tz.gettz": (1, ENVIRONMENT),
}  # fmt: skip
# Methods, of whatever they are called on, but for classes of the project that have one of that name.
METHODS: Final = {
    "today": CLOCK, "utcnow": CLOCK, "now": CLOCK,
    "randomSplit": CHANCE, "sampleBy": CHANCE, "rvs": CHANCE, "__hash__": CHANCE,
    "inputFiles": PLACE, "getNumPartitions": PLACE, "zipWithIndex": PLACE, "zipWithUniqueId": PLACE,
    "mapPartitionsWithIndex": PLACE, "glom": PLACE,
    "read_text": FILE, "read_bytes": FILE, "iterdir": FILE, "rglob": FILE, "open": FILE, "is_file": FILE,
    "is_dir": FILE, "lstat": FILE, "expanduser": ENVIRONMENT,
    "textFile": FILE, "wholeTextFiles": FILE, "binaryFiles": FILE, "binaryRecords": FILE,
}  # fmt: skip
# Methods that ask for it where they are given nothing.
METHODS_WITHOUT_ARGUMENT: Final = {"astimezone": ENVIRONMENT}
# Methods of a path: of other things they may be harmless.
OF_PATHS: Final = {
    **dict.fromkeys(
        ("exists", "stat", "glob", "walk", "owner", "group", "samefile", "is_symlink", "is_mount", "readlink",
         "touch", "unlink", "mkdir", "rmdir", "rename", "replace", "write_text", "write_bytes", "chmod"), FILE,
    ),
    **dict.fromkeys(("cwd", "home", "absolute"), ENVIRONMENT),
}  # fmt: skip
# Attributes of a session, and those of anything that lead past it.
OF_SESSIONS: Final = {
    "read": FILE, "readStream": FILE, "table": FILE, "conf": ENVIRONMENT, "version": ENVIRONMENT,
    "catalog": ENVIRONMENT, "streams": ENVIRONMENT,
}  # fmt: skip
ATTRIBUTES: Final = {
    "sparkContext": ENVIRONMENT, "_jvm": ENVIRONMENT, "_jsparkSession": ENVIRONMENT, "__version__": ENVIRONMENT,
}  # fmt: skip
# What follows `.read` where Spark reads.
READERS: Final = frozenset(
    ("parquet", "csv", "json", "orc", "text", "table", "load", "format", "schema", "option", "options", "jdbc", "xml")
)


def what_to_do(why: str) -> str:
    """The advice for the writer of a module."""
    return _DO[why]


def forbidden_name(dotted: str) -> str | None:
    """Why a dotted name may not be used; None where it may."""
    dotted = dotted.replace("pyspark.sql.connect.functions", _SPARK).replace(f"{_SPARK}.builtin", _SPARK)
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        name = ".".join(parts[:count])
        if why := DOTTED.get(name):
            return why
        if count < len(parts) and name in BELOW:
            return BELOW[name]
        if name in PURE:
            return None
    return next((why for prefix, why in PREFIXES.items() if dotted.startswith(prefix)), None)


def forbidden_attribute(dotted: str) -> str | None:
    """Why the last part of a name of a library may not be used, whatever the library; None where it may."""
    last = dotted.rpartition(".")[2]
    return METHODS.get(last) or ATTRIBUTES.get(last) or (OF_PATHS.get(last) if dotted.startswith("pathlib.") else None)
