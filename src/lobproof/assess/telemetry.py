"""What an assessment measured, as OpenTelemetry metrics to a collector (OTLP over HTTP)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lobproof import __version__
from lobproof.assess.feasibility import Feasibility
from lobproof.assess.judge import Judgement, verdicts
from lobproof.errors import PlaceError, UsageError, need_extra, shown

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
METRICS_ENDPOINT = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_PATH = "/v1/metrics"
_TIMEOUT_S = 10.0
_EXPORTER = "opentelemetry.exporter.otlp"
_VERDICTS = {"GO": 1, "undecided": 0, "NO-GO": -1}


@dataclass(frozen=True, slots=True)
class Metric:
    """A gauge's value. Units are those of UCUM, as OpenTelemetry asks for."""

    name: str
    unit: str
    description: str
    value: float
    attributes: Mapping[str, object]


def export_metrics(
    feasibility: Feasibility | None,
    judgements: Sequence[Judgement] = (),
    *,
    endpoint: str | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> int:
    """Send what was measured, and each verdict, to a collector; how many values that is.

    Parameters
    ----------
    feasibility, judgements
        From `feasibility` and `judge`; what was not measured is not sent.
    endpoint
        Such as http://localhost:4318, ``/v1/metrics`` is added. By default what the variables
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT (taken as it is) or OTEL_EXPORTER_OTLP_ENDPOINT say.
        Other variables of OpenTelemetry's exporters, such as OTEL_EXPORTER_OTLP_HEADERS, hold too.
    timeout_s
        Longest time to try, s.

    Raises
    ------
    ExtraError
        Without the extra `telemetry`.
    UsageError
        If there is no endpoint, or it is none.
    PlaceError
        If the collector cannot be reached, or refuses them.
    """
    need_extra("telemetry")
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
    from opentelemetry.sdk.resources import Resource

    url = _endpoint(endpoint)
    metrics = list(metrics_of(feasibility, judgements))
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader],
        resource=Resource.create({"service.name": "lobproof", "service.version": __version__}),
        shutdown_on_exit=False,
    )
    gauges: dict[str, Any] = {}
    meter = provider.get_meter("lobproof.assess", __version__)
    for one in metrics:
        if one.name not in gauges:
            gauges[one.name] = meter.create_gauge(one.name, one.unit, one.description)
        gauges[one.name].set(one.value, one.attributes)
    data = reader.get_metrics_data()
    exporter = OTLPMetricExporter(endpoint=url, timeout=timeout_s)
    with _heard() as said:
        try:
            sent = data is None or exporter.export(data) is MetricExportResult.SUCCESS
        except (OSError, ValueError) as error:
            sent = False
            said.append(str(error))
        finally:
            exporter.shutdown()
            provider.shutdown()
    if not sent:
        why = f": {shown(said[0], 200)}" if said else ""
        raise PlaceError(
            f"the collector at {_named(url)} did not take the metrics{why}",
            hint=f"see that it runs and takes OTLP over HTTP; {ENDPOINT} or the option names it",
        )
    return len(metrics)


def metrics_of(
    feasibility: Feasibility | None, judgements: Sequence[Judgement] = ()
) -> Iterator[Metric]:
    """All values, those of a name with different attributes each."""
    if feasibility is not None:
        yield from _of_runs(feasibility)
        yield from _of_machine(feasibility)
    for row in judgements:
        of = {"strategy": row.strategy, "criterion": row.criterion}
        if row.measured is not None:
            told = {**of, "unit": row.unit}
            yield Metric("lobproof.assess.criterion.measured", "1", _MEASURED, row.measured, told)
            yield Metric("lobproof.assess.criterion.limit", "1", _LIMIT, row.limit, told)
        yield Metric("lobproof.assess.criterion.verdict", "1", _GO, _VERDICTS[row.verdict], of)
    for strategy, verdict in verdicts(judgements).items() if judgements else ():
        of = {"strategy": strategy}
        yield Metric("lobproof.assess.verdict", "1", _GO, _VERDICTS[verdict], of)


_GO = "1 GO, 0 unknown, -1 NO-GO"
_MEASURED = "what was measured, in the unit of the attribute"
_LIMIT = "what it is held against, in the unit of the attribute"


def _of_runs(found: Feasibility) -> Iterator[Metric]:
    start = "lobproof.assess."
    for run in found.runs:
        of: dict[str, object] = {"strategy": run.strategy, "data": run.data}
        of |= {"quick": found.quick, "limit_bytes": run.limit_bytes or 0}
        yield Metric(start + "run.finished", "1", "1 if a run ended well", int(run.finished), of)
        if run.memory is not None:
            memory = run.memory
            yield Metric(start + "memory.p95", "By", "resident memory", memory.p95_bytes, of)
            yield Metric(start + "memory.peak", "By", "resident memory", memory.peak_bytes, of)
        if not run.finished:
            continue
        yield Metric(start + "run.events", "{event}", "events made", run.events, of)
        yield Metric(start + "run.duration", "s", "files to a sealed day", run.seconds, of)
        yield Metric(start + "run.processor", "s", "processor time", run.processor_seconds, of)
        yield Metric(
            start + "run.throughput", "{event}/s", "on the clock", run.events_per_second, of
        )
        for stage, one in run.stages.items():
            at = {**of, "stage": stage}
            if one.rows:
                yield Metric(
                    start + "stage.throughput",
                    "{row}/s",
                    "of the stage's own time",
                    one.rows_per_second,
                    at,
                )
            for quantile, seconds in ((0.5, one.p50_s), (0.95, one.p95_s), (0.99, one.p99_s)):
                of_batch = {**at, "quantile": str(quantile)}
                yield Metric(start + "stage.latency", "s", "of a batch", seconds, of_batch)


def _of_machine(found: Feasibility) -> Iterator[Metric]:
    start = "lobproof.assess."
    quick: dict[str, object] = {"quick": found.quick}
    disk, decimals = found.disk, found.decimals
    for way, rate in (
        ("write", disk.write_bytes_per_second),
        ("read", disk.read_bytes_per_second),
    ):
        of = {**quick, "direction": way, "uncached": disk.uncached}
        yield Metric(start + "disk.throughput", "By/s", "of the store's disk", rate, of)
    yield Metric(start + "disk.free", "By", "of the store's disk", disk.free_bytes, {})
    for kind, cost in (("decimal128", decimals.decimal128), ("int64", decimals.int64)):
        for way, rate in (
            ("write", cost.values_written_per_second),
            ("read", cost.values_read_per_second),
        ):
            of = {**quick, "type": kind, "direction": way}
            yield Metric(start + "decimal.throughput", "{value}/s", "Parquet and counts", rate, of)
        of = {**quick, "type": kind}
        yield Metric(start + "decimal.size", "By", "of a value", cost.bytes_per_value, of)
    exact = int(decimals.exact and decimals.sum_exact)
    yield Metric(start + "decimal.exact", "1", "1 if values and sums are", exact, {})
    for one in found.projections:
        of = {**quick, "strategy": one.strategy, "data": one.data}
        of |= {"period": one.period, "cores": one.cores}
        yield Metric(start + "projection.duration", "h", "one symbol", one.hours, of)
        yield Metric(start + "projection.input", "By", "files of a symbol", one.input_bytes, of)
        yield Metric(start + "projection.output", "By", "a store's size", one.output_bytes, of)


def _endpoint(given: str | None) -> str:
    """Where metrics go."""
    base = given if given is not None else os.environ.get(ENDPOINT, "")
    url = f"{base.rstrip('/')}{_PATH}" if base else ""
    if given is None:
        url = os.environ.get(METRICS_ENDPOINT, "") or url
    if not url:
        raise UsageError(
            "no collector is named to send metrics to",
            hint=f"set {ENDPOINT}, such as http://localhost:4318, or give the option",
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{_named(url)} is no address of a collector",
            hint="give one such as http://localhost:4318",
        )
    return url


def _named(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return shown(f"{parts.scheme}://{host}{parts.path}" if host else parts.path)


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.said.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What the exporter logs, which is the only place where it says what went wrong."""
    logger, kept = logging.getLogger(_EXPORTER), _Kept()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(kept)
    try:
        yield kept.said
    finally:
        logger.removeHandler(kept)
        logger.propagate = before
