"""The dashboard: made by its code, read from metrics that exist, in PromQL that parses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from deploy.grafana.board import FILE, dashboard, rendered
from deploy.grafana.check import answers
from deploy.grafana.expressions import expressions
from deploy.grafana.names import KNOWN, metric_names
from streaming.contracts.errors import PermanentError, UnavailableError
from tests.deploy.promtool import promtool


def test_the_file_is_what_the_code_makes() -> None:
    assert FILE.read_text() == rendered(), "run python -m deploy.grafana.board"


def test_panels_have_titles_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        own = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not own & cells
        cells |= own


def test_every_expression_reads_metrics_that_exist() -> None:
    found = expressions()
    assert len(found) > 30
    for one in found:
        assert metric_names(one.expr)
        assert metric_names(one.expr) <= KNOWN, one


@pytest.mark.engine
def test_every_expression_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": one.expr} for number, one in enumerate(expressions())
    ]
    file = tmp_path / "expressions.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_an_unknown_variable_is_found(tmp_path: Path) -> None:
    board = {"panels": [{"title": "p", "targets": [{"expr": "up{a='$b'}"}]}]}
    file = tmp_path / "board.json"
    file.write_text(json.dumps({**board, "annotations": {"list": []}}))
    with pytest.raises(ValueError, match="unknown variable"):
        expressions(file)


class _Prometheus(BaseHTTPRequestHandler):
    """Knows the live version; refuses nothing else but expressions with `refused`."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        (query,) = parse_qs(self.rfile.read(length).decode())["query"]
        series: list[dict[str, str]] = [{}] if query.startswith("driftline_live_version") else []
        answer = {"status": "success", "data": {"result": series}}
        if "canary_weight" in query and type(self).strict:
            answer = {"status": "error", "error": "parse error"}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass

    strict = False


@pytest.fixture
def prometheus() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Prometheus)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_answers_counts_the_series_of_each_panel(prometheus: str) -> None:
    found = answers(prometheus)
    assert [one.expr for one in found] == [one.expr for one in expressions()]
    assert {one.panel for one in found if one.results} == {"Live version"}


def test_a_refused_expression_is_an_error(prometheus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Prometheus, "strict", True)
    with pytest.raises(PermanentError, match="parse error"):
        answers(prometheus)


def test_a_silent_prometheus_is_an_error() -> None:
    with pytest.raises(UnavailableError):
        answers("http://127.0.0.1:9")
