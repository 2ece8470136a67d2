"""Metrics of an assessment, as a collector gets them: over HTTP, in OTLP's own encoding."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from lobproof import __version__
from lobproof.assess.feasibility import Stage
from lobproof.assess.judge import ProfileFigures, judge
from lobproof.assess.telemetry import ENDPOINT, METRICS_ENDPOINT, export_metrics, metrics_of
from lobproof.errors import PlaceError, UsageError
from support.feasible import found, machine_run

STAGE = Stage(8_000_000, 100, 2.0, 1.0, 0.01, 0.02, 0.03)
FOUND = found(machine_run("full", stages={"replay": STAGE}))
ROWS = judge(ProfileFigures(gap_ratio=0.5, invalid_origin_time={"trades": 0.0}), FOUND)


class Collector:
    """A receiver of OTLP over HTTP, which takes all, or answers with an error."""

    def __init__(self) -> None:
        self.answer = 200
        self.got: list[tuple[str, Any, ExportMetricsServiceRequest]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                request = ExportMetricsServiceRequest()
                request.ParseFromString(body)
                owner.got.append((self.path, self.headers, request))
                self.send_response(owner.answer)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def values(self) -> dict[str, list[tuple[dict[str, Any], float, str]]]:
        """Metric → attributes, value and unit of each point of the last request."""
        points: dict[str, list[tuple[dict[str, Any], float, str]]] = defaultdict(list)
        (resource,) = self.got[-1][2].resource_metrics
        for scope in resource.scope_metrics:
            assert scope.scope.name == "lobproof.assess"
            for metric in scope.metrics:
                for point in metric.gauge.data_points:
                    of = {
                        one.key: getattr(one.value, one.value.WhichOneof("value"))
                        for one in point.attributes
                    }
                    value = getattr(point, point.WhichOneof("value"))
                    points[metric.name].append((of, value, metric.unit))
        return points

    def resource(self) -> dict[str, str]:
        (resource,) = self.got[-1][2].resource_metrics
        return {one.key: one.value.string_value for one in resource.resource.attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in (ENDPOINT, METRICS_ENDPOINT):
        monkeypatch.delenv(name, raising=False)
    made = Collector()
    yield made
    made.close()


def test_a_collector_gets_all_values_with_units(collector: Collector) -> None:
    count = export_metrics(FOUND, ROWS, endpoint=collector.url)
    assert [path for path, _, _ in collector.got] == ["/v1/metrics"]
    assert collector.got[0][1]["content-type"] == "application/x-protobuf"
    values = collector.values()
    assert sum(map(len, values.values())) == count == len(list(metrics_of(FOUND, ROWS)))
    expected = {
        (one.name, one.unit, tuple(sorted(one.attributes.items())), float(one.value))
        for one in metrics_of(FOUND, ROWS)
    }
    assert expected == {
        (name, unit, tuple(sorted(of.items())), float(value))
        for name, points in values.items()
        for of, value, unit in points
    }
    told = collector.resource()
    assert (told["service.name"], told["service.version"]) == ("lobproof", __version__)


def test_what_is_sent_is_what_was_measured(collector: Collector) -> None:
    export_metrics(FOUND, ROWS, endpoint=collector.url + "/")
    values = collector.values()
    run = FOUND.runs[0]
    of = {"strategy": "full", "data": "simulated", "quick": False, "limit_bytes": 0}
    assert run.memory is not None
    assert values["lobproof.assess.memory.peak"] == [(of, run.memory.peak_bytes, "By")]
    assert values["lobproof.assess.memory.p95"] == [(of, run.memory.p95_bytes, "By")]
    assert values["lobproof.assess.run.throughput"] == [(of, 2_000_000, "{event}/s")]
    at = {**of, "stage": "replay"}
    assert values["lobproof.assess.stage.throughput"] == [(at, 4_000_000, "{row}/s")]
    assert values["lobproof.assess.stage.latency"] == [
        ({**at, "quantile": quantile}, seconds, "s")
        for quantile, seconds in (("0.5", 0.01), ("0.95", 0.02), ("0.99", 0.03))
    ]
    verdict = {of["strategy"]: value for of, value, _ in values["lobproof.assess.verdict"]}
    assert verdict == {"full": -1, "anchored": 0, "time-sorted": 0}
    measured = {
        (of["strategy"], of["criterion"]): value
        for of, value, _ in values["lobproof.assess.criterion.measured"]
    }
    assert measured["full", "gap ratio"] == 0.5
    # what was not measured has a verdict, and no number that could be taken for one
    assert ("full", "95th percentile of skew") not in measured
    assert not any(math.isnan(value) for value in measured.values())
    assert len(values["lobproof.assess.criterion.verdict"]) == len(ROWS)


def test_the_endpoint_comes_from_the_environment(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"no collector is named[\s\S]*Hint: "):
        export_metrics(FOUND)
    monkeypatch.setenv(ENDPOINT, collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
    export_metrics(FOUND)
    monkeypatch.setenv(METRICS_ENDPOINT, collector.url + "/of/metrics")
    export_metrics(None, ROWS)
    assert [path for path, _, _ in collector.got] == ["/v1/metrics", "/of/metrics"]
    assert collector.got[0][1]["api-key"] == "secret"


def test_a_collector_that_refuses_is_an_error(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answer = 400
    with pytest.raises(PlaceError, match=r"127\.0\.0\.1.*did not take.*\nHint: ") as caught:
        export_metrics(FOUND, endpoint=collector.url.replace("//", "//user:pass@"))
    assert "pass" not in str(caught.value)
    assert "400" in str(caught.value)
    assert not caplog.records  # it is told once, as an error


def test_a_collector_that_is_not_there_is_an_error(collector: Collector) -> None:
    collector.close()
    with pytest.raises(PlaceError, match=r"did not take.*\nHint: "):
        export_metrics(FOUND, endpoint=collector.url, timeout_s=0.5)


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://host", "http://"])
def test_what_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        export_metrics(FOUND, endpoint=endpoint)
