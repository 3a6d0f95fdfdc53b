"""The pod of a shard as a document: the whole of it once, and what the parts of a spec add."""

import json
import re
from pathlib import Path

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nightshift.commands import ScoreCommand
from nightshift.pods.pod import PodFor, label_value, scoring_pod
from nightshift.pods.template import read_template
from nightshift.specs.scoring import Scoring
from tests.conftest import PROJECT

TEMPLATE = PROJECT / "include" / "k8s" / "scoring-pod.yaml"
GOLDEN = Path(__file__).parents[1] / "golden" / "scoring_pod.json"
COMMAND = ScoreCommand("/nightshift/lake/parcels/predictions/_plans/ds=2024-02-05/p/plan.json", 3)

ASKS_FOR_ALL = {
    "cpu": 1.5,
    "memory": "512Mi",
    "deadline": "90s",
    "pod": {
        "node_selector": {"pool": "batch"},
        "tolerations": [{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}, {"operator": "Exists"}],
        "priority_class": "nightly",
        "volumes": {
            "certificates": {"mount": "/certificates", "config_map": "company-ca"},
            "keys": {"mount": "/keys", "secret": "bucket"},
            "models": {"mount": "/models", "claim": "models", "read_only": False},
        },
        "environment": {"AWS_SHARED_CREDENTIALS_FILE": "/keys/credentials"},
    },
}


def scoring(**values: object) -> Scoring:
    return Scoring.model_validate_json(json.dumps(values))


def test_the_whole_pod() -> None:
    pod = scoring_pod(read_template(TEMPLATE), "registry/scoring:1", scoring(**ASKS_FOR_ALL), COMMAND, 512)
    assert pod == json.loads(GOLDEN.read_text())
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_the_template_stays_as_it_is() -> None:
    template = read_template(TEMPLATE)
    before = json.dumps(template)
    scoring_pod(template, "i", scoring(**ASKS_FOR_ALL), COMMAND, 512)
    assert json.dumps(template) == before


def test_an_image_of_the_template_goes_first() -> None:
    template = read_template(TEMPLATE)
    template["spec"]["containers"][0]["image"] = "registry/own:2"
    [container] = scoring_pod(template, "i", scoring(), COMMAND, 1024)["spec"]["containers"]
    assert container["image"] == "registry/own:2"


def test_what_runs_in_the_pod_is_what_a_shell_runs() -> None:
    [container] = scoring_pod(read_template(TEMPLATE), "i", scoring(), COMMAND, 1024)["spec"]["containers"]
    assert ScoreCommand.parse(container["args"]) == COMMAND
    assert "command" not in container


def test_later_tries_find_the_pods_of_earlier_ones() -> None:
    who = PodFor("parcels", "2024-02-05", "manual__1", 3)
    first, second = (
        scoring_pod(read_template(TEMPLATE), "i", scoring(), COMMAND, 1024, attempt)["metadata"]["labels"]
        for attempt in (1, 2)
    )
    assert (first["nightshift/attempt"], second["nightshift/attempt"]) == ("1", "2")
    assert dict(item.split("=") for item in who.selector().split(",")) == who.labels()
    assert "nightshift/attempt" not in who.labels()
    assert who.name() == "parcels-2024-02-05-shard-3"


def test_the_container_that_scores_comes_first() -> None:
    """Airflow's operator adds arguments and labels to the first one, whatever its name."""
    template = read_template(TEMPLATE)
    template["spec"]["containers"].insert(0, {"name": "proxy", "image": "proxy:1"})
    found = scoring_pod(template, "i", scoring(), COMMAND, 1024)["spec"]["containers"]
    assert [container["name"] for container in found] == ["score", "proxy"]


@given(st.text(max_size=300))
def test_every_text_becomes_a_label(text: str) -> None:
    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", label_value(text))


@given(st.lists(st.text(max_size=80), max_size=20, unique=True))
def test_two_texts_never_become_one_label(texts: list[str]) -> None:
    assert len({label_value(text) for text in texts}) == len(texts)


def test_a_name_that_somebody_made_like_a_hashed_one_is_another() -> None:
    hashed = label_value("scheduled__2024-02-05T07:00:00+00:00")
    assert label_value(hashed) != hashed


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"memory": "512Mi"}, [512, 1024, 2048, 2048]),
        ({"memory": "1Gi", "pod": {"memory_factor": 1.5, "memory_ceiling": "2Gi"}}, [1024, 1536, 2048, 2048]),
        ({"memory": "1Gi", "pod": {"memory_factor": 1}}, [1024, 1024]),
        ({"memory": "1Gi", "pod": {"memory_ceiling": "1Gi"}}, [1024, 1024]),
    ],
)
def test_memory_grows_with_every_kill_up_to_its_ceiling(values: dict[str, object], expected: list[int]) -> None:
    assert [scoring(**values).memory_after(kills) for kills in range(len(expected))] == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"memory": "2Gi", "pod": {"memory_ceiling": "512Mi"}}, "pod.memory_ceiling 512Mi is less than memory 2Gi"),
        (
            {"pod": {"volumes": {"a": {"mount": "/a", "secret": "s", "claim": "c"}}}},
            "2 of claim, secret and config_map are given, one is needed",
        ),
        ({"pod": {"volumes": {"a": {"mount": "/a"}}}}, "0 of claim, secret and config_map are given, one is needed"),
        *(
            ({"pod": {"volumes": {"a": {"mount": path, "secret": "s"}}}}, f"mount {path} is Nightshift's own")
            for path in (
                "/scoring",
                "/scoring/",
                "//scoring",
                "/scoring/nightshift",
                "/keys/../scoring",
                "/./scoring/xgboost",
                "/tmp/numpy",  # noqa: S108
                "/tmp/.local/lib/python3.12/site-packages",  # noqa: S108
                "/usr",
                "/usr/local/lib/python3.12",
                "/lib/x",
                "/etc",
                "/nightshift/lake",
                "/./",
                "/..",
                "/proc/self",
            )
        ),
        *(
            ({"pod": {"environment": {name: "/keys"}}}, f"environment {name} would have a pod run other code")
            for name in ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "HOME")
        ),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        scoring(**values)
