"""A shard whose plan, model, features and result are in an object store; the credentials are a file in the pod."""

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kubernetes import client
from pyarrow import fs

from nightshift.commands import ScoreCommand
from nightshift.pods.pod import scoring_pod
from nightshift.scoring.plan import read_result
from nightshift.settings import Settings
from nightshift.specs.scoring import Scoring
from tests.kubernetes.conftest import NAMESPACE, Cluster, template_for
from tests.moto import moto
from tests.needs import skip
from tests.unit.scoring.parcels import make_plan

BUCKET = "lake"
UNTESTED = "pods score from and to an object store"
CREDENTIALS = "[default]\naws_access_key_id = nightshift\naws_secret_access_key = s3cret-of-the-test\n"


@pytest.fixture(scope="module")
def endpoint(cluster: Cluster) -> Iterator[str]:
    """An S3 server of this machine, at an address that pods reach; it has a bucket."""
    [address] = [
        found.address for found in cluster.api.list_node().items[0].status.addresses if found.type == "InternalIP"
    ]
    with closing(socket.socket()) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            skip(
                f"the node's address {address} is not this machine's: pods could not reach a server here",
                UNTESTED,
            )
        port = int(probe.getsockname()[1])
    with moto(address, port, BUCKET, UNTESTED) as url:
        yield url


@pytest.fixture
def here(endpoint: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables by which this process and a pod find the store; no secret is among them."""
    path = tmp_path / "credentials"
    path.write_text(CREDENTIALS)
    variables = {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    for name, value in {**variables, "AWS_SHARED_CREDENTIALS_FILE": str(path)}.items():
        monkeypatch.setenv(name, value)
    return variables


def test_a_shard_is_scored_from_an_object_store_to_it(cluster: Cluster, here: dict[str, str]) -> None:
    plan = make_plan(f"s3://{BUCKET}/nights", [1000])
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="store"), string_data={"credentials": CREDENTIALS})
    cluster.api.create_namespaced_secret(NAMESPACE, secret)
    asked = Scoring.model_validate(
        {
            "memory": "512Mi",
            "pod": {
                "volumes": {"store": {"mount": "/store", "secret": "store"}},
                "environment": {**here, "AWS_SHARED_CREDENTIALS_FILE": "/store/credentials"},
            },
        }
    )
    template = template_for(cluster.folder)
    # As the template says of object stores: no volume.
    del template["spec"]["volumes"][1], template["spec"]["containers"][0]["volumeMounts"][1]
    pod = scoring_pod(template, Settings.from_env().scoring_image, asked, ScoreCommand(plan.uri, 0), 512)
    pod["metadata"]["name"] = "store"
    assert "s3cret" not in str(pod)
    cluster.succeed(NAMESPACE, pod)
    result = read_result(plan.uri, 0)
    assert result is not None
    assert result.file.rows == 1000
    assert fs.FileSystem.from_uri(plan.uri)[0].type_name == "s3"
