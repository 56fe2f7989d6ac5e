"""Which app containers a sidekick is for.

Plain standard library, for two readers: the core, and the log reader inside its image, which gets a copy of this file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Facts:
    """What a selector may look at of one container. `image` is the reference it was made from."""

    stack: str
    service: str
    name: str
    image: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    ports: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Selector:
    """Conditions that must all hold; of the patterns in one condition, any. No condition at all selects everything."""

    service: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    port: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    except_: tuple[Selector, ...] = ()

    def matches(self, facts: Facts) -> bool:
        """Whether the container in `facts` is selected; `explain` says why."""
        return all(self.holds(condition, facts) for condition in CONDITIONS) and not any(each.matches(facts) for each in self.except_)

    def holds(self, condition: str, facts: Facts) -> bool:
        """Whether one condition holds, as one that is not set does."""
        patterns = getattr(self, condition)
        return not patterns or any(CONDITIONS[condition](pattern, facts) for pattern in patterns)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes; conditions that are not set are left out."""
        given: dict[str, Any] = {key: list(getattr(self, key)) for key in CONDITIONS if getattr(self, key)}
        return given | ({"except": [each.to_json() for each in self.except_]} if self.except_ else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Selector:
        """The selector that `to_json` wrote."""
        given = {key: tuple(value[key]) for key in CONDITIONS if key in value}
        return cls(**given, except_=tuple(cls.from_json(each) for each in value.get("except", ())))


def image_matches(pattern: str, image: str) -> bool:
    """Whether a glob fits an image reference in any of its usual spellings; without tag or digest it fits every one."""
    return any(fnmatchcase(spelling, pattern) for spelling in spellings(image))


def spellings(image: str) -> Iterator[str]:
    """The ways to write a reference: with and without the default registry and folder, tag and digest."""
    bare, digest = cut(image, "@")
    name, tag = cut(bare, ":") if ":" in bare.rsplit("/", 1)[-1] else (bare, "")
    ends = {"", tag and f":{tag}", digest and f"@{digest}", f"{tag and f':{tag}'}{digest and f'@{digest}'}"}
    if not tag and not digest:
        ends.add(":latest")
    yield from (each + end for each in shortened(name) for end in ends)


def shortened(name: str) -> Iterator[str]:
    """`docker.io/library/x`, `library/x` and `x` are one name; a registry of one's own may be left out, too."""
    first, slash, rest = name.partition("/")
    registry = bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    path = rest if registry else name
    path = path.removeprefix("library/") if not registry or first in HUBS else path
    yield from dict.fromkeys((path, name))
    if registry and first not in HUBS:
        return
    full = path if "/" in path else f"library/{path}"
    yield from (full, f"docker.io/{full}", f"docker.io/{path}", f"index.docker.io/{full}")


HUBS = ("docker.io", "index.docker.io", "registry-1.docker.io")


def cut(text: str, mark: str) -> tuple[str, str]:
    """`text` before and behind the last `mark`; all of it and "" where there is none."""
    before, found, behind = text.rpartition(mark)
    return (before, behind) if found else (text, "")


def pair_matches(pattern: str, pairs: Mapping[str, str]) -> bool:
    """Whether `KEY` or `KEY=VALUE`, both globs, fits one of `pairs`."""
    key, equals, value = pattern.partition("=")
    return any(fnmatchcase(k, key) and (not equals or fnmatchcase(v, value)) for k, v in pairs.items())


def port_matches(pattern: str, ports: frozenset[int]) -> bool:
    """Whether a port or a range such as `8000-8100` holds one of `ports`."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", pattern)
    return found is not None and any(int(found[1]) <= port <= int(found[2] or found[1]) for port in ports)


def variables(pairs: Iterable[str]) -> dict[str, str]:
    """The env of a container as the engine keeps it; a name without `=` takes a variable away."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if equals:
            found[key] = value
        else:
            found.pop(key, None)
    return found


MODES = {"network": "NetworkMode", "processes": "PidMode", "ipc": "IpcMode"}  # wall → the engine's setting of that namespace


def joined(host: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the containers whose namespaces one shares, out of the host's side of its settings."""
    modes = [str(host.get(mode) or "") for mode in MODES.values()]
    return tuple(dict.fromkeys(mode.removeprefix("container:") for mode in modes if mode.startswith("container:")))


CONDITIONS: Mapping[str, Callable[[str, Facts], bool]] = {
    "service": lambda pattern, facts: fnmatchcase(facts.service, pattern),
    "label": lambda pattern, facts: pair_matches(pattern, facts.labels),
    "image": lambda pattern, facts: image_matches(pattern, facts.image),
    "env": lambda pattern, facts: pair_matches(pattern, facts.env),
    "port": lambda pattern, facts: port_matches(pattern, facts.ports),
    "name": lambda pattern, facts: fnmatchcase(facts.name, pattern),
}
