"""The doctor: from what an engine says of itself to what of remora works on it, what does not and why, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Works = Literal["yes", "partly", "no"]


@dataclass(frozen=True)
class Engine:
    """What an engine says of itself."""

    name: str  # docker, podman
    version: str
    api: str
    host: str = ""  # its address
    cgroup: str = "2"
    storage: str = ""
    logging: str = ""  # the default logging driver
    rootless: bool = False
    live_restore: bool = False
    capless: tuple[str, ...] = ()  # what it cannot cap: memory, cpu, processes

    @property
    def title(self) -> str:
        return self.name.capitalize()

    @property
    def major(self) -> int:
        return int("0" + "".join(filter(str.isdigit, self.version.split(".")[0])))


@dataclass(frozen=True)
class Facts:
    """What was found; for what is missing, the sentence that says why."""

    engine: Engine | None = None
    no_engine: str = ""
    compose: str = ""  # its version
    no_compose: str = ""


@dataclass(frozen=True)
class Finding:
    """Whether one thing works here; if not all of it, why, and what to do."""

    what: str
    works: Works
    why: str = ""
    todo: str = ""


def findings(facts: Facts) -> tuple[Finding, ...]:
    """What works here and what does not, the most important first."""
    found = [engine(facts), compose(facts)]
    if facts.engine:
        found += [each for rule in RULES for each in rule(facts.engine)]
    return tuple(found)


def engine(facts: Facts) -> Finding:
    if facts.engine:
        return Finding("engine", "yes", f"{facts.engine.title} {facts.engine.version} answers")
    why, _, todo = facts.no_engine.partition(": ")
    return Finding("engine", "no", why, todo or "start Docker or Podman, or say where it is with -H or DOCKER_HOST")


def compose(facts: Facts) -> Finding:
    if facts.compose:
        return Finding("compose", "yes", f"Docker Compose {facts.compose} reads the files")
    return Finding("compose", "no", facts.no_compose, "install Docker Compose 2.24 or newer")


def caps(found: Engine) -> Iterator[Finding]:
    """A sidekick is always capped, where the engine can do it."""
    if found.rootless and found.cgroup == "1":
        why = "without root and with cgroup v1 the engine caps nothing: a sidekick may take what it likes of the machine"
        yield Finding("caps", "no", why, "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or use the engine of root")
    elif found.capless:
        why = f"the engine cannot cap {' and '.join(found.capless)}"
        yield Finding("caps", "no", why, "give the engine these cgroup controllers (systemd: Delegate=cpu memory pids)")
    else:
        yield Finding("caps", "yes", "memory, processor and processes of sidekicks are capped")


def walls(found: Engine) -> Iterator[Finding]:
    """What sharing costs the app."""
    if found.name == "podman":
        why = "Podman cannot remove or recreate an app container whose processes or ipc a sidekick shares, so these walls are refused"
        todo = "leave them closed; or accept it with `walls: {may_hold: true}`, and `remora detach` before the app container is recreated"
        yield Finding("walls", "partly", why, todo)
    else:
        yield Finding("walls", "yes", "files, network, processes and ipc of app containers can be shared")


def logs(found: Engine) -> Iterator[Finding]:
    """Whether there is anything to ship."""
    if found.logging == "none":
        why = "the default logging driver is `none`: what containers print is kept nowhere"
        yield Finding("logs", "no", why, "set another, such as json-file, in the engine's settings, and recreate the containers")
    elif found.name == "podman":
        yield Finding("logs", "yes", f"read through the engine's API (`{found.logging or 'k8s-file'}`), with times in whole seconds")
    elif found.logging == "json-file":
        yield Finding("logs", "yes", "read from the engine's own files (`json-file`)")
    else:
        yield Finding("logs", "yes", f"read through the engine's API (`{found.logging}`)")


def following(found: Engine) -> Iterator[Finding]:
    """Whether the watcher learns and can say what it has to."""
    if found.name == "podman" and found.major < 5:
        why = "Podman before 5.0 changes no restart policy: that a sidekick was given up is known to the running `remora watch` alone"
        yield Finding("watch", "partly", why, "use Podman 5, or detach what was given up")
    else:
        yield Finding("watch", "yes", "starts, restarts and ends are followed")


RULES: tuple[Callable[[Engine], Iterator[Finding]], ...] = (caps, walls, logs, following)


def well(found: tuple[Finding, ...]) -> bool:
    """Whether nothing needs attention."""
    return all(each.works == "yes" for each in found)
