"""``nightshift new``: the spec and the feature module that a new pipeline begins with."""

import keyword
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nightshift.errors import SpecError
from nightshift.settings import Settings
from nightshift.specs.contract import Name
from nightshift.specs.load import shown

_TEMPLATES = ("spec.yaml.txt", "features.py.txt")


def write_skeleton(settings: Settings, name: str) -> tuple[Path, Path]:
    """Writes the spec and the feature module of a new pipeline, which pass ``nightshift check`` as they are.

    Returns their paths. Raises SpecError where the name is not one for a pipeline, or one of the files is there;
    then nothing is written.
    """
    _check_name(name)
    spec = settings.pipelines / f"{name}.yaml"
    module = settings.feature_modules / f"{name}.py"
    for path in (spec, spec.with_suffix(".yml"), module):
        if path.exists() or path.is_symlink():
            raise _is_there(path)
    texts = [(files(__package__) / template).read_text("utf-8").replace("@NAME@", name) for template in _TEMPLATES]
    _create(dict(zip((spec, module), texts, strict=True)))
    return spec, module


def _check_name(name: str) -> None:
    """A name is a file's, a module's, a DAG's and a table's: nothing but letters, digits and single underscores."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        allowed = "at most 60 lower-case letters and digits, words joined by single underscores, a letter first"
        raise SpecError(f"{name!r} is not a name for a pipeline", allowed=allowed) from None
    if keyword.iskeyword(name):
        raise SpecError(f"{name!r} is a word of Python's, which no module can be named", do="choose another name")


def _create(texts: Mapping[Path, str]) -> None:
    """Creates all of the files or none of them; one that has appeared meanwhile stays as it is."""
    made: list[Path] = []
    with _undone(made):
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("x", encoding="utf-8") as file:
                    made.append(path)
                    file.write(text)
            except FileExistsError:
                raise _is_there(path) from None
            except OSError as error:
                raise SpecError(f"cannot be written: {error.strerror}", where=shown(path)) from error


@contextmanager
def _undone(made: list[Path]) -> Iterator[None]:
    """Removes what was made where the rest fails."""
    try:
        yield
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _is_there(path: Path) -> SpecError:
    return SpecError("the file is there already", where=shown(path), do="choose another name, or remove the file")
