# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab drill`, `lab probe` and `lab api`."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from dataclasses import asdict
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from lab import drill as drills
from lab.cloud.faults import Effect, Service
from lab.control import Control, Direction, LabError
from lab.drill import DrillReport, FlowOutcome, Kind, VipOutcome
from lab.probe import Measurement, Probe, Target, plan_targets

_stderr = Console(stderr=True, highlight=False)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}


def parse_seconds(text: str) -> float:
    """`20s`, `500ms`, `2m` or plain seconds as a number of seconds. Raises typer.BadParameter."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|)", text)
    if not found:
        raise typer.BadParameter(f"{text!r}: expected a duration like 20s, 500ms or 2m")
    return float(found[1]) * _UNITS[found[2]]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(drill)
    app.command()(probe)
    app.add_typer(_api, name="api")


def _fail(error: LabError) -> NoReturn:
    _stderr.print(f"[red]lab:[/red] {error}")
    raise typer.Exit(1) from error


def _print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


# -- drill -------------------------------------------------------------------------------------------------------------


def drill(
    kind: Annotated[Kind, typer.Argument(help="What happens to the holder of the addresses.")],
    node: Annotated[str | None, typer.Option(help="Break this node instead of the holder.")] = None,
    interface: Annotated[str | None, typer.Option(help="linkdown: unplug this one (default: one with a VIP).")] = None,
    direction: Annotated[Direction, typer.Option(help="partition: what is cut.")] = "both",
    within: Annotated[str, typer.Option(help="How long recovery, and the return of the node, may take.")] = "60s",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Break the holder, measure what clients see until everything answers again, and heal.

    kill: power cut. stop: orderly shutdown. freeze: the VM stalls. hang: userspace stops, the kernel still answers.
    partition: cut off from the other nodes. linkdown: a VNIC is unplugged. move: a clean move by the cluster engine.
    """
    seconds = parse_seconds(within)
    try:
        with Control() as control, _stderr.status("looking around") as spinner:
            report = drills.run(
                kind,
                node,
                control=control,
                interface=interface,
                direction=direction,
                within=seconds,
                progress=spinner.update,
            )
    except LabError as error:
        _fail(error)
    if as_json:
        _print_json(report.to_json())
    else:
        print_report(report, Console())
    if not report.ok:
        raise typer.Exit(1)


def print_report(report: DrillReport, out: Console) -> None:
    """A drill's result for people."""
    what = f"{report.kind} {report.node}" + (f" {report.interface}" if report.interface else "")
    title = f"drill: {what} ({report.engine or 'no cluster engine'})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("what")
    table.add_column("holder", no_wrap=True)
    table.add_column("OCID", no_wrap=True)
    for heading in ("outage", "detection", "decision", "API", "data\nplane"):
        table.add_column(heading, justify="right", no_wrap=True)
    for vip in report.vips:
        parts = vip.breakdown
        table.add_row(
            f"{vip.name} {vip.address}",
            f"{vip.holder_before or 'nobody'} → {vip.holder_moved or 'nobody'}",
            "same" if vip.same_id else "[red]changed[/red]",
            _outage(vip.outage_ms),
            _ms(parts.detection_ms),
            _ms(parts.decision_ms),
            _ms(parts.api_ms),
            _ms(parts.data_plane_ms),
        )
    for flow in report.flows:
        table.add_row(flow.name, "", "", _outage(flow.outage_ms))
    out.print(table)
    seen = sorted({v.breakdown.detected_by for v in report.vips if v.breakdown.detected_by})
    for line in seen:
        out.print(f"noticed by {line}", highlight=False, markup=False, soft_wrap=True)
    outcomes: list[VipOutcome | FlowOutcome] = [*report.vips, *report.flows]
    out.print(
        "Times in ms. An outage counts from the first lost packet, the four steps from the fault; packets were at "
        f"most {max(o.resolution_ms for o in outcomes):.0f} ms apart.",
        style="dim",
        highlight=False,
    )
    for outcome in outcomes:
        if outcome.healing_ms:
            out.print(f"Healing cost {outcome.name} another {outcome.healing_ms:.0f} ms.", highlight=False)
    for problem in report.problems:
        out.print(f"[red]problem:[/red] {problem}", highlight=False, soft_wrap=True)
    if report.ok:
        out.print("[green]All addresses are back, each on exactly one node, and the node has rejoined.[/green]")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _outage(value: float | None) -> str:
    return "[red]not over[/red]" if value is None else f"[bold]{value:.0f}[/bold]"


# -- probe -------------------------------------------------------------------------------------------------------------


def probe(
    duration: Annotated[str | None, typer.Option("--for", help="20s, 500ms, 2m (default: until Ctrl-C).")] = None,
    interval: Annotated[str, typer.Option(help="Time between two packets to a target.")] = "10ms",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Ask every VIP and every routed flow all the time, and report what was lost. Ctrl-C ends it with the report."""
    seconds = None if duration is None else parse_seconds(duration)
    every = parse_seconds(interval)
    if every <= 0:
        raise typer.BadParameter(f"interval {interval!r}: expected more than 0")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with Control() as control:
            targets = plan_targets(control.status())
        if not targets:
            raise LabError("nothing to probe: there is neither a floating address nor a flow")
        running = Probe(targets, interval_ms=every * 1000)
        with running, _stderr.status(f"probing {', '.join(t.name for t in targets)}"):
            stop.wait(seconds)
        measured = {t: running.measure(t) for t in targets}
    except LabError as error:
        _fail(error)
    if as_json:
        _print_json({"targets": [measurement_to_json(t, m) for t, m in measured.items()]})
    else:
        _print_measurements(measured)
    if any(m.duplicates for m in measured.values()):
        raise typer.Exit(1)


def measurement_to_json(target: Target, measured: Measurement) -> dict[str, Any]:
    """A target's measurement with the figures that people ask for first."""
    longest = measured.longest
    return {
        **asdict(target),
        **asdict(measured),
        "longest_outage_ms": longest.ms if longest else 0.0,
        "outages": [{**asdict(o), "ms": o.ms} for o in measured.outages],
    }


def _print_measurements(measured: dict[Target, Measurement]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("what")
    table.add_column("address", no_wrap=True)
    for heading in ("sent", "lost", "outages", "longest\nms"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("answered by")
    for target, result in measured.items():
        longest = result.longest
        hosts = " → ".join(result.hosts) or "nobody"
        if result.duplicates:
            hosts += f" [red]{len(result.duplicates)} packets answered twice[/red]"
        table.add_row(
            target.name, target.address, str(result.sent), str(result.lost), str(len(result.outages)),
            f"{longest.ms:.0f}" if longest else "0", hosts,
        )  # fmt: skip
    Console().print(table)


# -- api ---------------------------------------------------------------------------------------------------------------

_api = typer.Typer(help="Faults of the cloud's API, on purpose.", no_args_is_help=True)


@_api.command()
def add(
    effect: Annotated[Effect | None, typer.Option(help="Default: status with --status, otherwise latency.")] = None,
    service: Annotated[Service | None, typer.Option(help="Only this service (default: all but the DNS).")] = None,
    method: Annotated[str | None, typer.Option(help="Only this HTTP method.")] = None,
    path: Annotated[str | None, typer.Option(help="Only paths in which this regular expression is found.")] = None,
    node: Annotated[str | None, typer.Option(help="Only requests of this node ('user': of everyone else).")] = None,
    status: Annotated[int | None, typer.Option(help="Answer with this HTTP status.")] = None,
    code: Annotated[str | None, typer.Option(help="The error code in the answer.")] = None,
    latency: Annotated[str, typer.Option(help="Wait this long first.")] = "0s",
    jitter: Annotated[str, typer.Option(help="Up to this much longer.")] = "0s",
    shift: Annotated[int | None, typer.Option(help="clock: the services are ahead by so many seconds.")] = None,
    lag: Annotated[int | None, typer.Option(help="iam_lag: changes of IAM are in force after so many seconds.")] = None,
    count: Annotated[int | None, typer.Option(help="Only so many times (default: until cleared).")] = None,
    probability: Annotated[float, typer.Option(help="From 0 to 1.")] = 1.0,
) -> None:
    """Make requests to the cloud fail: `lab api add --method PUT --path /privateIps --status 429 --count 3`."""
    fault = {
        "effect": effect or ("latency" if status is None else "status"),
        "service": service,
        "method": method,
        "path": path,
        "node": node,
        "status": status,
        "code": code,
        "latency_ms": parse_seconds(latency) * 1000,
        "jitter_ms": parse_seconds(jitter) * 1000,
        "shift_s": shift,
        "lag_s": lag,
        "count": count,
        "probability": probability,
    }
    try:
        with Control() as control:
            _print_faults(control.add_fault({k: v for k, v in fault.items() if v is not None}))
    except LabError as error:
        _fail(error)


@_api.command(name="list")
def list_(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """The faults there are, and how often each has struck."""
    try:
        with Control() as control:
            faults = control.faults()
    except LabError as error:
        _fail(error)
    if as_json:
        _print_json(faults)
    else:
        _print_faults(faults)


@_api.command()
def clear() -> None:
    """Take all faults away."""
    try:
        with Control() as control:
            control.clear_faults()
    except LabError as error:
        _fail(error)


def _print_faults(faults: list[dict[str, Any]]) -> None:
    table = Table("id", "effect", "applies to", "details", "hits")
    for fault in faults:
        scope = [f"{k}={fault[k]}" for k in ("service", "method", "path", "node") if fault.get(k)]
        details = [
            f"{k}={fault[k]}"
            for k in ("status", "code", "latency_ms", "jitter_ms", "shift_s", "lag_s", "count")
            if fault.get(k) not in (None, 0)
        ]
        if fault["probability"] != 1:
            details.append(f"probability={fault['probability']}")
        table.add_row(
            fault["id"], fault["effect"], " ".join(scope) or "everything", " ".join(details), str(fault["hits"])
        )
    Console().print(table)
