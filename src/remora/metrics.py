"""Figures of the watcher for Prometheus. Loaded by `remora watch` alone, for the library takes its time."""

from __future__ import annotations

import platform
import time
from collections import Counter as Count
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from remora import __version__
from remora.core.news import VOCABULARY, News
from remora.core.plan import Action, Attach, Detach, GiveUp, Prepare, Start, Stop
from remora.core.sidekick import Spec
from remora.core.weave import Woven
from remora.core.world import World
from remora.errors import RemoraError
from remora.witness import FAILURES, Outlet, Pulse, Weight

ACTIONS = [action.__name__.lower() for action in (Attach, Detach, Start, Stop, GiveUp, Prepare)]
HOOKS = ("webhook", "run", "job")
RESULTS = ("done", "failed")
PLANNING = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
PERFORMING = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each of ours, that nobody reads


class Metrics(Outlet):
    """What is counted, in a registry of its own."""

    def __init__(
        self, stack: str, environment: str, pulse: Pulse, journal_fails: Callable[[], bool] = bool, weight: Weight = lambda _: "warn"
    ) -> None:
        self.world, self.wanted = World(), tuple[Spec, ...]()
        self.stack, self.weight = stack, weight
        self.unanswered = -1  # events that no look followed yet, but for the one that a look is for
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(Shown(self, pulse))

        Info("remora_build", "What runs, and for whom.", registry=registry).info(
            {"version": __version__, "python": platform.python_version(), "stack": stack, "environment": environment}
        )
        self.events = Counter("remora_events", "Events of the engine that came.", registry=registry)
        self.coalesced = Counter(
            "remora_events_coalesced", "Events that were answered by one look together with others.", registry=registry
        )
        self.looks = Counter("remora_looks", "Looks: at everything (resync), or at what an event named.", ["resync"], registry=registry)
        self.found = Counter("remora_resyncs_found", "Looks at everything that found something to do.", registry=registry)
        self.streams = Counter("remora_reconnects", "How often the stream of events was opened again.", registry=registry)
        self.planning = Histogram(
            "remora_plan_duration_seconds", "How long a look took, until it was known what to do.", registry=registry, buckets=PLANNING
        )
        self.performing = Histogram(
            "remora_perform_duration_seconds", "How long an action took.", ["action"], registry=registry, buckets=PERFORMING
        )
        self.actions = Counter("remora_actions", "Actions by result.", ["action", "result"], registry=registry)
        self.last = Gauge("remora_last_look_timestamp_seconds", "When the watcher last looked.", registry=registry)
        self.news = Counter("remora_news", "News, by name; see events.md.", ["name"], registry=registry)
        self.failures = Counter(
            "remora_sidekick_failures",
            "Sidekicks that failed or were given up, and how much that matters.",
            ["sidekick", "on_failure"],
            registry=registry,
        )
        self.hooks = Counter("remora_hooks", "Webhooks, commands and jobs of `on:`, by result.", ["do", "result"], registry=registry)
        self.missed = Counter("remora_hooks_dropped", "News that hooks did not get, for too many waited.", registry=registry)
        self.refused = Gauge("remora_ops_file_refused", "1 while the ops file is wrong, and the one before is in force.", registry=registry)
        self.untold = Counter("remora_untold", "Steps that came too fast to be told at all.", registry=registry)
        Gauge("remora_journal_failing", "1 while the journal cannot be written.", registry=registry).set_function(
            lambda: float(journal_fails())
        )
        self.begin()

    def begin(self) -> None:
        """Every series is there from the start, so that the first of its kind is seen as a change."""
        for name in VOCABULARY:
            self.news.labels(name)
        for action in ACTIONS:
            for result in RESULTS:
                self.actions.labels(action, result)
        for hook in HOOKS:
            for result in RESULTS:
                self.hooks.labels(hook, result)
        for resync in ("true", "false"):
            self.looks.labels(resync)
        self.opened_before = False

    def page(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self.registry)

    # ---- what the witness tells ----

    def tell(self, news: News) -> None:
        self.news.labels(news.name).inc()
        if news.name in FAILURES:
            self.failures.labels(news.sidekick, news.facts["on_failure"]).inc()

    def event(self) -> None:
        self.events.inc()
        self.unanswered += 1

    def looked(self, world: World, woven: Woven, actions: Sequence[Action], seconds: float, resync: bool) -> None:
        self.world = world
        if resync:  # another look may be at a part
            self.wanted = woven.specs
            self.found.inc(bool(actions))
            for sidekick in {spec.sidekick for spec in woven.specs}:
                self.failures.labels(sidekick, self.weight(sidekick))
        self.looks.labels(str(resync).lower()).inc()
        self.coalesced.inc(max(0, self.unanswered))
        self.unanswered = -1
        self.planning.observe(seconds)
        self.last.set(time.time())

    def performed(self, action: Action, error: RemoraError | None, seconds: float) -> None:
        verb = type(action).__name__.lower()
        self.actions.labels(verb, "failed" if error else "done").inc()
        self.performing.labels(verb).observe(seconds)

    def opened(self) -> None:
        self.streams.inc(self.opened_before)
        self.opened_before = True

    def reloaded(self, error: RemoraError | None) -> None:
        self.refused.set(error is not None)

    def dropped(self, steps: int) -> None:
        self.untold.inc(steps)

    # ---- what the hooks tell ----

    def hook(self, do: str, well: bool) -> None:
        self.hooks.labels(do, "done" if well else "failed").inc()

    def hook_missed(self, count: int) -> None:
        self.missed.inc(count)


class Shown(Collector):
    """What is counted only when somebody asks: the containers there are."""

    def __init__(self, metrics: Metrics, pulse: Pulse) -> None:
        self.metrics, self.pulse = metrics, pulse

    def collect(self) -> Iterator[GaugeMetricFamily]:
        world, stack = self.metrics.world, self.metrics.stack
        yield family("remora_app_containers", "App containers, by state.", ["state"], {("running",): 0} | apps(world))
        yield family(
            "remora_sidekicks",
            "Sidekicks, by state; `missing` is one that should be there.",
            ["sidekick", "state"],
            self.sidekicks(world, stack),
        )
        yield family("remora_ready", "1 while the watcher does its work: see /readyz.", [], {(): not self.pulse.unready()})
        yield family("remora_engine_up", "1 while the engine answers.", [], {(): not self.pulse.lost})

    def sidekicks(self, world: World, stack: str) -> Count[tuple[str, ...]]:
        there = world.sidekicks(stack)
        names, apps = {each.name for each in there}, {each.id for each in world.apps if each.running}
        missing = [spec for spec in self.metrics.wanted if spec.name not in names and (not spec.parent or spec.parent in apps)]
        return Count([(c.labels["remora.sidekick"], c.state) for c in there] + [(spec.sidekick, "missing") for spec in missing])


def apps(world: World) -> dict[tuple[str, ...], int]:
    return Count((each.state,) for each in world.apps)


def family(name: str, words: str, labels: Sequence[str], counts: dict[tuple[str, ...], int] | dict[tuple[()], bool]) -> GaugeMetricFamily:
    found = GaugeMetricFamily(name, words, labels=labels)
    for values, count in counts.items():
        found.add_metric(values, float(count))
    return found
