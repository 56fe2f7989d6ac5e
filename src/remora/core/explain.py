"""Explain: why a sidekick is for an app container, or is not.

A condition is held to be true by the very function that selects, so an explanation cannot say otherwise than what is done. Values of
env and labels may be secrets: they decide, and are never repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from remora.core.ops import Ops
from remora.core.selector import CONDITIONS, Facts, Selector, port_matches, spellings
from remora.core.sidekick import App
from remora.core.world import STACK, Container, World
from remora.errors import listed

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Reason:
    """One condition of one selector, held against a container."""

    line: str  # where it stands
    condition: str  # service, label, image, env, port, name; "" for no condition at all
    patterns: tuple[str, ...]
    holds: bool
    words: str
    excepts: bool = False  # it is a condition of an `except`

    def __str__(self) -> str:
        return f"{self.line}: {'except: ' if self.excepts else ''}{self.words}"


@dataclass(frozen=True)
class Verdict:
    """One sidekick of the ops file, and one container."""

    sidekick: str
    kind: str
    line: str
    attached: bool  # in the environment
    selected: bool
    reasons: tuple[Reason, ...]

    @property
    def words(self) -> str:
        if self.selected:
            return "for it" if self.attached else "for it, but not attached in this environment"
        return "not for it" if self.attached else "not for it, and not attached in this environment"


def explain(ops: Ops, environment: str, app: App) -> tuple[Verdict, ...]:
    """What each sidekick of the ops file makes of `app`."""
    attach = ops.environments[environment].attach
    return tuple(verdict(ops, name, name in attach, app.facts) for name in ops.sidekicks)


def verdict(ops: Ops, name: str, attached: bool, facts: Facts) -> Verdict:
    """One sidekick's conditions, all of them; an `except` is held against what they leave."""
    settings = ops.sidekicks[name]
    selector = settings.for_.selector()
    place: Place = ("sidekicks", name, "for")
    reasons = list(reasons_of(ops, selector, place, facts)) or [Reason(ops.line(*place), "", (), True, "it is for every app container")]
    if all(reason.holds for reason in reasons):
        for number, each in enumerate(selector.except_):
            reasons += taken(ops, each, exception(ops, (*place, "except"), number), facts)
    return Verdict(name, settings.kind, ops.line("sidekicks", name), attached, selector.matches(facts), tuple(reasons))


def exception(ops: Ops, place: Place, number: int) -> Place:
    """Where an exception stands: one written bare is not in a list."""
    return (*place, number) if isinstance(ops.document.at(place), list) else place


def taken(ops: Ops, selector: Selector, place: Place, facts: Facts) -> Iterator[Reason]:
    """An exception: all of it where it takes the container away, else what saves the container from it."""
    found = list(reasons_of(ops, selector, place, facts, excepts=True))
    yield from found if selector.matches(facts) else [reason for reason in found if not reason.holds][:1]


def reasons_of(ops: Ops, selector: Selector, place: Place, facts: Facts, excepts: bool = False) -> Iterator[Reason]:
    """Each condition that is set."""
    for condition in CONDITIONS:
        patterns: tuple[str, ...] = getattr(selector, condition)
        if not patterns:
            continue
        fit = next((number for number, pattern in enumerate(patterns) if CONDITIONS[condition](pattern, facts)), None)
        where = (*place, condition) if isinstance(ops.document.at(place), dict) else place
        line = ops.line(*where, *stands(ops, where, fit or 0))
        words = missed(condition, patterns, facts) if fit is None else fits(condition, patterns[fit], facts)
        yield Reason(line, condition, patterns, fit is not None, words, excepts)


def stands(ops: Ops, place: Place, number: int) -> Place:
    """The way on to one pattern of several: a number in a list, a key in a mapping, nothing where it is written bare."""
    match ops.document.at(place):
        case list():
            return (number,)
        case dict() as node if len(node) > number:
            return (list(node)[number],)
    return ()


# ---- in words ----


def fits(condition: str, pattern: str, facts: Facts) -> str:
    """How a condition holds."""
    has, note = HAS[condition](pattern, facts)
    return f"its {condition} is {has}{note}" if has == f"`{pattern}`" else f"its {condition} {has} fits `{pattern}`{note}"


def missed(condition: str, patterns: tuple[str, ...], facts: Facts) -> str:
    """Why a condition does not hold."""
    return LACKS[condition](" or ".join(f"`{pattern}`" for pattern in patterns), patterns, facts)


def pair_had(pattern: str, pairs: Mapping[str, str]) -> tuple[str, str]:
    """The first pair that fits, by its name."""
    key, equals, value = pattern.partition("=")
    name = next(k for k, v in sorted(pairs.items()) if fnmatchcase(k, key) and (not equals or fnmatchcase(v, value)))
    return f"`{shown(name)}`", "" if pairs[name] else ", and empty"


def pair_lacked(what: str, wanted: str, patterns: Iterable[str], pairs: Mapping[str, str]) -> str:
    """That there is no such name, or that it is there with another value."""
    keys = [pattern.partition("=")[0] for pattern in patterns]
    near = sorted(name for name in pairs if any(fnmatchcase(name, key) for key in keys))
    if not near:
        return f"it has no {what} {wanted}"
    return (
        "; ".join(f"its {what} `{shown(name)}` {'has another value' if pairs[name] else 'is empty'}" for name in near) + f", not {wanted}"
    )


def image_had(pattern: str, facts: Facts) -> tuple[str, str]:
    """The image, and the spelling of it that fits where that is another."""
    spelling = next(each for each in (facts.image, *spellings(facts.image)) if fnmatchcase(each, pattern))
    return f"`{facts.image}`", "" if spelling == facts.image else f", written as `{spelling}`"


def image_lacked(wanted: str, facts: Facts) -> str:
    tried = listed(set(spellings(facts.image))) if facts.image else "none"
    return f"its image `{facts.image}` is not {wanted}, in no spelling: {tried}"


def port_had(pattern: str, facts: Facts) -> tuple[str, str]:
    return f"`{next(port for port in sorted(facts.ports) if port_matches(pattern, frozenset({port})))}`", ""


def port_lacked(wanted: str, facts: Facts) -> str:
    return f"its ports are {listed(map(str, facts.ports))}, not {wanted}" if facts.ports else f"it has no port, so not {wanted}"


def shown(text: str) -> str:
    """A name on one line, and not a page of it."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text[:LONG])
    return plain if len(text) <= LONG else f"{plain}…"


LONG = 80
HAS: Mapping[str, Callable[[str, Facts], tuple[str, str]]] = {
    "service": lambda pattern, facts: (f"`{shown(facts.service)}`", ""),
    "label": lambda pattern, facts: pair_had(pattern, facts.labels),
    "image": image_had,
    "env": lambda pattern, facts: pair_had(pattern, facts.env),
    "port": port_had,
    "name": lambda pattern, facts: (f"`{shown(facts.name)}`", ""),
}
LACKS: Mapping[str, Callable[[str, tuple[str, ...], Facts], str]] = {
    "service": lambda wanted, patterns, facts: f"its service is `{shown(facts.service)}`, not {wanted}",
    "label": lambda wanted, patterns, facts: pair_lacked("label", wanted, patterns, facts.labels),
    "image": lambda wanted, patterns, facts: image_lacked(wanted, facts),
    "env": lambda wanted, patterns, facts: pair_lacked("env", wanted, patterns, facts.env),
    "port": lambda wanted, patterns, facts: port_lacked(wanted, facts),
    "name": lambda wanted, patterns, facts: f"its name is `{shown(facts.name)}`, not {wanted}",
}


# ---- what is never selected ----


def barred(container: Container, world: World, stack: str) -> str:
    """Why no sidekick of `stack` can ever be for this container; "" where its conditions decide."""
    if container.is_sidekick:
        return sidekick_barred(container, world)
    if container.claims:
        return helper_barred(container)
    if container.is_one_off:
        return "it is a one-off that `docker compose run` started, and no app container: it gets no sidekick"
    its = container.labels.get(STACK, "")
    if stack not in ("*", its):
        whose = f"of the stack `{its}`" if its else "of no stack"
        return f"it is {whose}, and this ops file is for `{stack}`: it gets no sidekick of it"
    if host := world.helps(container):
        known = any(each.name == host for each in world.containers)
        where = f"the namespaces of the sidekick `{host}`: it is a helper of it" if known else f"namespaces of {host}, which is gone"
        return f"it shares {where}, and gets no sidekick"
    return ""


def helper_barred(container: Container) -> str:
    """What carries labels of remora's own without being a sidekick."""
    if "remora.helper" in container.labels:
        return "its label `remora.helper` says that a sidekick started it: it gets no sidekick"
    return f"it carries {listed(container.claims)}, which only remora sets: it is left alone, and gets no sidekick"


def sidekick_barred(container: Container, world: World) -> str:
    """A sidekick of ours or another's, one out of an overlay, or something with copied labels: none is selected."""
    name, whose = container.labels["remora.sidekick"], container.labels.get("remora.stack", "")
    if STACK in container.labels:
        return f"it is the sidekick `{name}` out of an overlay that Compose started, and a sidekick is never selected"
    if not container.is_by(world.engine):
        return "it carries the labels of a sidekick, but remora did not make it: it is left alone, and never selected"
    owner = container.labels.get("remora.ops", "")
    return f"it is the sidekick `{name}` of `{whose}`, of the ops file {owner}, and a sidekick is never selected"


def beside(world: World, stack: str, sidekick: str, container: str) -> tuple[Container, ...]:
    """What is attached now of one sidekick, for the container with that id: beside it, or for the whole stack."""
    mine = [each for each in world.sidekicks(stack) if each.labels["remora.sidekick"] == sidekick]
    return tuple(sorted((each for each in mine if each.labels.get("remora.parent", "") in ("", container)), key=lambda each: each.name))
