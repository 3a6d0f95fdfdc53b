"""From ``include/pipelines/*.yaml`` to pipelines: every problem with its file and line, one bad file harms no other."""

import ast
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nightshift.errors import SpecError
from nightshift.settings import Settings
from nightshift.specs.document import LARGEST, Document, Problem, read_document
from nightshift.specs.model import Label, Pipeline
from nightshift.specs.spelling import nearest
from nightshift.specs.wording import problems_of

ENTRIES = ("build", "label")
SIGNATURE = ("inputs", "days")
# Keys of a source that came later, at their defaults: a spec that does not have them says what it said before.
_LATER = {"columns_policy": "lenient", "marker": None, "max_age": None, "quiet": "0s"}


def load(path: Path) -> Pipeline:
    """The pipeline that a file declares. Raises SpecError, which lists all problems of the file, one a line."""
    pipeline, _, problems = read_spec(path)
    if pipeline is None or problems:
        raise spec_error(problems)
    return pipeline


def load_all(settings: Settings) -> tuple[list[Pipeline], list[SpecError]]:
    """The valid pipelines by name, and one error for each file that is not valid. Never raises for a bad file."""
    found = load_each(settings).values()
    return [item for item in found if isinstance(item, Pipeline)], [
        item for item in found if isinstance(item, SpecError)
    ]


def load_each(settings: Settings) -> dict[str, Pipeline | SpecError]:
    """By the name of its file the pipeline that it declares with its feature module, or why it does not."""
    found: dict[str, Pipeline | SpecError] = {}
    for path in spec_files(settings):
        try:
            found[path.name] = load_whole(settings, path)
        except SpecError as error:
            found[path.name] = error
    return found


def load_whole(settings: Settings, path: Path) -> Pipeline:
    """The pipeline that a file declares. Raises SpecError, which lists all problems of it and of its feature module."""
    pipeline, document, problems = read_spec(path)
    if pipeline is not None and document is not None:
        problems = [*problems, *module_problems(settings, pipeline, document, path)]
    if pipeline is None or problems:
        raise spec_error(problems)
    return pipeline


def load_pipeline(settings: Settings, name: str) -> Pipeline:
    """The pipeline of that name. Raises SpecError, which names the nearest one where there is none."""
    return load(find_spec(settings, name))


def find_spec(settings: Settings, name: str) -> Path:
    """The file of the pipeline of that name. Raises SpecError where there is none."""
    names = [path.stem for path in spec_files(settings) if path.suffix == ".yaml"]
    if name not in names:
        raise SpecError(
            f"there is no pipeline {name!r}{nearest(name, names)}",
            where=shown(settings.pipelines),
            allowed=", ".join(names) or "none, the folder has no spec",
        )
    return settings.pipelines / f"{name}.yaml"


def spec_hash(pipeline: Pipeline) -> str:
    """The hash of everything that a spec says (comments and layout aside), 16 hexadecimal digits."""
    sources = {
        name: {key for key in _LATER if getattr(source, key) == _LATER[key]} for name, source in pipeline.inputs.items()
    }
    # Who is told, who is asked, and how soon a day is wanted, changes nothing of what is made.
    asked = {"approval", "approve_within"}
    unused: dict[str, Any] = {"inputs": sources, "schedule": {"deliver_by"}, "notify": True, "promotion": asked}
    if not pipeline.features.reads:
        unused["features"] = {"reads"}
    if pipeline.label.wait == Label.model_fields["wait"].default:
        unused["label"] = {"wait"}
    return hashlib.sha256(pipeline.model_dump_json(exclude=unused).encode()).hexdigest()[:16]


def spec_files(settings: Settings) -> list[Path]:
    """The files in the folder of the specs, by name."""
    return sorted(path for path in settings.pipelines.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))


def spec_error(problems: Sequence[Problem]) -> SpecError:
    """One error for the problems of one file: ``where`` is the first one's, the message has them one a line."""
    first, *others = problems
    error = SpecError("\n".join([first.text, *map(str, others)]), where=f"{first.file}:{first.line}")
    error.args = ("\n".join(map(str, problems)),)
    return error


def shown(path: Path) -> str:
    """A path as messages show it: relative to the working directory where it lies below that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def read_spec(path: Path) -> tuple[Pipeline | None, Document | None, list[Problem]]:
    """The declaration in a file, the document it stands in, and the file's problems."""
    file = shown(path)
    try:
        if path.stat().st_size > LARGEST:
            return None, None, [Problem(file, 1, f"not a spec: the file is larger than {LARGEST >> 20} MiB")]
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        return None, None, [Problem(file, 1, f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return None, None, [Problem(file, line, "not UTF-8 text")]
    pipeline, document, problems = _declared(file, text)
    if pipeline is None or document is None:
        return pipeline, document, problems
    return pipeline, document, _name_problems(path, pipeline, document)


@lru_cache(maxsize=1)
def _declared(file: str, text: str) -> tuple[Pipeline | None, Document | None, list[Problem]]:
    """What a text declares. A task asks twice: for its DAG and for its step."""
    document, problems = read_document(file, text)
    if document is None:
        return None, None, problems
    try:
        pipeline = Pipeline.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        return None, document, problems_of(error, document, file)
    return pipeline, document, []


def _name_problems(path: Path, pipeline: Pipeline, document: Document) -> list[Problem]:
    if path.name == f"{pipeline.name}.yaml":
        return []
    line = document.place(("pipeline",)).line
    twin = path.with_name(f"{pipeline.name}.yaml")
    text = f"pipeline: {pipeline.name} must be declared in {twin.name}, not in {path.name}"
    if twin.exists():
        text += f"; {twin.name} is there, too: two specs must not have one name"
    return [Problem(shown(path), line, text)]


def module_problems(settings: Settings, pipeline: Pipeline, document: Document, path: Path) -> list[Problem]:
    """The flaws of the feature module, read as a syntax tree: nothing is imported."""
    module = settings.feature_modules / f"{pipeline.module}.py"
    file = shown(module)
    try:
        tree = ast.parse(module.read_bytes(), filename=file)
    except OSError:
        line = document.place(("features", "module")).line
        words = f"the feature module {file} is missing: write it, with build(inputs, days) and label(inputs, days)"
        return [Problem(shown(path), line, words)]
    except (SyntaxError, ValueError) as error:
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        return [Problem(file, getattr(error, "lineno", None) or 1, f"not valid Python: {words}")]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    problems = [
        Problem(shown(path), document.place(("features", "reads", at)).line, f"features.reads: there is no file {name}")
        for at, name in enumerate(pipeline.features.reads)
        if not (settings.home / name).is_file()
    ]
    for entry in ENTRIES:
        signature = f"{entry}({', '.join(SIGNATURE)})"
        if entry not in functions:
            problems.append(Problem(file, 1, f"the function {signature} is missing"))
        elif _positional(functions[entry]) != SIGNATURE:
            problems.append(Problem(file, functions[entry].lineno, f"the function {entry} must be {signature}"))
    return problems


def _positional(function: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(argument.arg for argument in (*function.args.posonlyargs, *function.args.args))
