import hashlib
import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import SpecError
from nightshift.specs import document
from nightshift.specs.load import load, load_all, load_pipeline, spec_hash
from tests.conftest import make_pipeline, spec_document
from tests.unit.specs.home import MODULE, SPECS, add_spec, make_home


def _write(folder: Path, text: str, name: str = "parcels.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _message(path: Path) -> str:
    with pytest.raises(SpecError) as error:
        load(path)
    return str(error.value).replace(f"{path}:", "")


def test_a_spec_is_what_its_file_says(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    assert load(add_spec(settings, "parcels")) == make_pipeline()


def test_dates_may_be_quoted_or_not(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    path = add_spec(settings, "parcels")
    path.write_text(path.read_text().replace("'2024-02-01'", "2024-02-01"))
    assert load(path) == make_pipeline()


def test_the_good_are_loaded_by_name_and_each_bad_file_is_one_error(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    for name in ("night", "day"):
        add_spec(settings, name)
    _write(settings.pipelines, "[", "broken.yaml")
    _write(settings.pipelines, "- 1\n", "list.yaml")
    add_spec(settings, "alone")
    (settings.feature_modules / "alone.py").unlink()
    (settings.pipelines / "folder.yaml").mkdir()
    _write(settings.pipelines, "not a spec", "README.md")
    pipelines, errors = load_all(settings)
    assert [pipeline.name for pipeline in pipelines] == ["day", "night"]
    assert [Path(error.where).name.partition(":")[0] for error in errors] == [
        "alone.yaml",
        "broken.yaml",
        "folder.yaml",
        "list.yaml",
    ]
    assert str(errors[2]) == f"{settings.pipelines}/folder.yaml:1: cannot be read: Is a directory"
    assert not any(error.retryable for error in errors)


def test_nothing_there_is_nothing_loaded(tmp_path: Path) -> None:
    assert load_all(make_home(tmp_path)) == ([], [])


def test_all_problems_of_a_file_are_one_message_of_a_line_each(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    path = add_spec(settings, "parcels", owner=1, description=2)
    with pytest.raises(SpecError) as error:
        load(path)
    assert error.value.where == f"{path}:2"
    assert str(error.value) == (
        f"{path}:2: owner: 1 is not allowed; allowed: text\n{path}:3: description: 2 is not allowed; allowed: text"
    )


def test_a_file_is_named_as_its_pipeline(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    path = add_spec(settings, "parcels")
    copy = path.rename(path.with_name("other.yaml"))
    assert _message(copy) == "1: pipeline: parcels must be declared in parcels.yaml, not in other.yaml"
    add_spec(settings, "parcels")
    two = "; parcels.yaml is there, too: two specs must not have one name"
    assert _message(copy) == f"1: pipeline: parcels must be declared in parcels.yaml, not in other.yaml{two}"
    pipelines, errors = load_all(settings)
    assert ([pipeline.name for pipeline in pipelines], len(errors)) == (["parcels"], 1)


def test_another_ending_is_not_overlooked(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    path = add_spec(settings, "parcels")
    path.rename(path.with_suffix(".yml"))
    _, [error] = load_all(settings)
    assert str(error).endswith("parcels.yml:1: pipeline: parcels must be declared in parcels.yaml, not in parcels.yml")


@pytest.mark.parametrize("name", ["../bad/empty", "/etc/passwd", "", ".", "parcels.yaml", "parcels\0", "PARCELS"])
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    settings = make_home(tmp_path)
    add_spec(settings, "parcels")
    with pytest.raises(SpecError, match="there is no pipeline"):
        load_pipeline(settings, name)


def test_the_nearest_name_is_offered(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    assert load_pipeline(settings, add_spec(settings, "parcels").stem).name == "parcels"
    with pytest.raises(SpecError, match=r"there is no pipeline 'parsels'; did you mean parcels\? Allowed: parcels\.$"):
        load_pipeline(settings, "parsels")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (MODULE, None),
        ("def build(inputs, days, *, more=1): ...\ndef label(inputs, days): ...", None),
        (
            "async def build(inputs, days): ...\ndef label(inputs, days): ...",
            "1: the function build(inputs, days) is missing",
        ),
        (
            "def build(days, inputs): ...\ndef label(inputs, days): ...",
            "1: the function build must be build(inputs, days)",
        ),
        ("x = 1\ndef label(inputs, days): ...", "1: the function build(inputs, days) is missing"),
        ("def build(:", "1: not valid Python: "),
        ("\0", "1: not valid Python: "),
    ],
)
def test_the_feature_module_is_read_not_run(tmp_path: Path, source: str, problem: str | None) -> None:
    settings = make_home(tmp_path)
    add_spec(settings, "parcels")
    module = settings.feature_modules / "parcels.py"
    module.write_text(source)
    pipelines, errors = load_all(settings)
    if problem is None:
        assert ([pipeline.name for pipeline in pipelines], errors) == (["parcels"], [])
    else:
        assert pipelines == []
        assert str(errors[0]).startswith(f"{module}:{problem}")


def test_a_spec_is_read_anew_each_time(tmp_path: Path) -> None:
    settings = make_home(tmp_path)
    path = add_spec(settings, "parcels")
    text = path.read_text()
    assert load(path).owner == "logistics"
    path.write_text(text.replace("logistics", "transport"))
    assert load(path).owner == "transport"


BASE = (SPECS / "bad" / "another_name.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("? [a]\n: 1\n", "1: a key is a word, not a list or a mapping"),
        (
            "no: 1\n",
            '1: no is a boolean to some YAML readers and text to others: quote it: "no", or write true or false',
        ),
        ("true: 1\n", '1: the key true is not text: quote it: "true"'),
        ("1: 1\n", '1: the key 1 is not text: quote it: "1"'),
        ("~: 1\n", '1: the key ~ is not text: quote it: "~"'),
        ("? \n: 1\n", '1: the key (empty) is not text: quote it: ""'),
        (
            "a: 1_000\n",
            '1: 1_000 is not the same to all YAML readers: quote it: "1_000", or write a plain decimal number',
        ),
        ("a: 0x1F\n", '1: 0x1F is not the same to all YAML readers: quote it: "0x1F", or write a plain decimal number'),
        ("a: .inf\n", "1: .inf is not a number that can be used: write a finite number without leading zeros"),
        ("a: 1.0e+999\n", "1: 1.0e+999 is not a number that can be used: write a finite number without leading zeros"),
        (
            f"a: {'9' * 30}\n",
            f"1: {'9' * 30} is not a number that can be used: write a finite number without leading zeros",
        ),
        ("a: =\n", '1: = is not the same to all YAML readers: quote it: "=", or write a plain decimal number'),
        ("a: !!set {b}\n", "1: the tag !!set is not allowed: write plain YAML"),
        ("a: !!binary aGk=\n", "1: the tag !!binary is not allowed: write plain YAML"),
        ("a: !mine 1\n", "1: the tag !mine is not allowed: write plain YAML"),
        ("a: !mine [1]\n", "1: the tag !mine is not allowed: write plain YAML"),
        ("a: &a\n  b: *a\n", "1: nested too deeply or too large; write out what the anchors stand for"),
        ("pipeline parcels\n", "1: not a spec: the file has no keys; it starts with pipeline: <name>"),
        ("a: *b\n", "1: not valid YAML: found undefined alias"),
        ("a: 'b\n", "2: not valid YAML: found unexpected end of stream"),
        ("a: b\n c: d\n", "2: not valid YAML: mapping values are not allowed "),
    ],
)
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_what_is_not_plain_yaml(
    tmp_path: Path, text: str, message: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "Loader", document.loader(getattr(yaml, loader)))
    assert _message(_write(tmp_path, text)).startswith(message)


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_half_a_surrogate_pair(tmp_path: Path, loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "Loader", document.loader(getattr(yaml, loader)))
    said = {
        "CSafeLoader": "1: not valid YAML: found invalid Unicode character escape code",
        "SafeLoader": "1: the text has half of a surrogate pair: correct the escape",
    }
    assert _message(_write(tmp_path, 'a: "\\ud800"\n')) == said[loader]


def test_a_word_is_read_as_it_is_written_each_time() -> None:
    """Words are remembered, whatever file they are in: with their quotes, and not with their lines."""
    for _ in range(2):
        found, problems = document.read_document("a.yaml", "a: [1, '1', \"1\", 1.0, true, 'true', null, 'null', ~]\n")
        assert not problems
        assert found is not None
        assert repr(found.data["a"]) == "[1, '1', '1', 1.0, True, 'true', None, 'null', None]"
    for line in (1, 3):
        _, problems = document.read_document("b.yaml", "\n" * (line - 1) + "a: 010\n")
        assert [(problem.file, problem.line) for problem in problems] == [("b.yaml", line)]


def test_the_time_of_day_that_looks_like_a_number_must_be_quoted(tmp_path: Path) -> None:
    """``02:00`` is text to every YAML reader, ``12:00`` is 720 to some."""
    assert load(_write(tmp_path, BASE.replace('"02:00"', "02:00"))).schedule.cutoff == "02:00"
    assert load(_write(tmp_path, BASE.replace('"02:00"', "'12:00'"))).schedule.cutoff == "12:00"


def test_anchors_may_be_used(tmp_path: Path) -> None:
    text = BASE.replace("parcel_id: {type: string}", "parcel_id: &id {type: string}", 1)
    second = text.replace("parcel_id: {type: string}", "parcel_id: *id", 1)
    assert load(_write(tmp_path, second)) == load(_write(tmp_path, BASE))


def test_a_file_that_explodes_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    began = time.process_time()
    assert "nested too deeply or too large" in _message(_write(tmp_path, "\n".join(lines)))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("depth", [300, 900, 20_000])
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_a_deep_file_is_refused(tmp_path: Path, depth: int, loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "Loader", document.loader(getattr(yaml, loader)))
    assert "nested too deeply" in _message(_write(tmp_path, f"a: {'[' * depth}{']' * depth}\n"))


@given(st.sampled_from(["# a comment\n", "\n", "---\n"]))
def test_the_hash_is_of_what_a_spec_says(addition: str) -> None:
    assert spec_hash(make_pipeline()) == spec_hash(make_pipeline())
    assert spec_hash(make_pipeline(owner="somebody")) != spec_hash(make_pipeline())
    assert len(spec_hash(make_pipeline())) == 16


def test_keys_that_came_later_change_the_hash_only_where_they_say_something() -> None:
    plain = make_pipeline()
    before = plain.model_dump(mode="json")
    for source in before["inputs"].values():
        del source["marker"], source["quiet"], source["columns_policy"], source["max_age"]
    del before["features"]["reads"], before["label"]["wait"], before["schedule"]["deliver_by"], before["notify"]
    del before["promotion"]["approval"], before["promotion"]["approve_within"]
    text = json.dumps(before, separators=(",", ":"), ensure_ascii=False)
    asked = make_pipeline(promotion={**spec_document()["promotion"], "approval": "required", "approve_within": "1d"})
    assert spec_hash(asked) == spec_hash(plain), "who is asked changes nothing of what is made"
    assert spec_hash(plain) == hashlib.sha256(text.encode()).hexdigest()[:16], "as before there were such keys"
    for key, value, same in (
        ("marker", None, True), ("quiet", "0s", True), ("columns_policy", "lenient", True),
        ("marker", "_SUCCESS", False), ("quiet", "5m", False), ("columns_policy", "strict", False),
    ):  # fmt: skip
        inputs = spec_document()["inputs"]
        inputs["orders"][key] = value
        assert (spec_hash(make_pipeline(inputs=inputs)) == spec_hash(plain)) is same, (key, value)


def test_who_is_told_and_how_soon_a_day_is_wanted_changes_nothing_that_is_made() -> None:
    schedule = {**spec_document()["schedule"], "deliver_by": "06:00"}
    told = make_pipeline(notify={"night-shift": ["FAILED"]}, schedule=schedule)
    assert spec_hash(told) == spec_hash(make_pipeline())


DEEP = {
    "open brackets": "pipeline: " + "[" * 100_000,
    "braces": "pipeline: " + "{a: " * 50_000,
    "lists in lists": "pipeline:\n" + "- " * 100_000 + "1",
    "lists far apart": "pipeline:\n" + "-   " * 100_000 + "1",
    "keys in keys": "? " * 100_000,
    "indents": "".join(f"{' ' * depth}a:\n" for depth in range(1200)),
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_what_would_end_the_process_is_a_problem_of_its_own_file(tmp_path: Path, text: str) -> None:
    """libyaml's composer recurses: before, the process that parsed all specs died of a segmentation fault."""
    assert "nested too deeply" in _message(_write(tmp_path, text))


def test_a_file_larger_than_any_spec_is_not_read(tmp_path: Path) -> None:
    assert "larger than 1 MiB" in _message(_write(tmp_path, "# " + "x" * (1 << 20)))
