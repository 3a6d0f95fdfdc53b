"""What a task asks the API server, whose answers are those of a busy one; the server is a stand-in on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from nightshift.errors import NightshiftError
from nightshift.orchestration.pods import Cluster

NO_PODS = (200, {"kind": "PodList", "apiVersion": "v1", "items": []})
LEADERLESS = (500, {"message": "etcdserver: leader changed"})
FORBIDDEN = (403, {"message": 'pods is forbidden: User "u" cannot list'})
Answers = list[tuple[int, dict[str, object]]]


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """What is to be answered, in this order."""
    left: Answers = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = left.pop(0)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *words: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(tmp_path / "kubeconfig")}}
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
        yield left
        server.shutdown()


@pytest.mark.process
def test_an_answer_that_passes_is_waited_for(answers: Answers) -> None:
    answers += [LEADERLESS, NO_PODS]
    assert Cluster("night").pods("a=b") == []
    assert answers == []


@pytest.mark.process
def test_a_refusal_is_told_at_once_in_the_servers_words(answers: Answers) -> None:
    answers += [FORBIDDEN, NO_PODS]
    with pytest.raises(NightshiftError) as caught:
        Cluster("night").pods("a=b")
    assert str(caught.value).startswith(
        'connection kubernetes_default: the cluster cannot be asked: pods is forbidden: User "u" cannot list.'
    )
    assert answers == [NO_PODS]
