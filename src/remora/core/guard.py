"""The guard: which calls of the engine's API are let through, and in what form.

Whoever may use the engine's socket is root on its host. The guard lets through the calls that remora makes, with the parameters that it
gives, about the containers and volumes that it owns. What is handed on is put together anew from what was understood, so nothing that
the engine could read otherwise reaches it, and a container is named by the id that was looked at: a name may be another's by then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from remora.core.admission import (
    NAME,
    OWN_VOLUME,
    PATH,
    REFERENCE,
    REPOSITORY,
    Absent,
    Facts,
    Policy,
    Seen,
    admitted,
    changed,
    kept,
    packed,
)
from remora.core.body import Refused, decoded
from remora.core.world import MARK, mark

OLDEST = 42  # of API 1.42: no version before it takes anything that is refused here in another form
KIB, MIB = 1 << 10, 1 << 20
Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Call:
    """A call as the guard understood it, which is what it hands on."""

    method: str
    path: str
    query: Query = ()
    body: bytes = b""
    content: str = ""  # the type of the body
    registries: bool = False  # credentials for registries are handed on with it

    @property
    def target(self) -> str:
        """Path and query as they are sent."""
        words = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in self.query)
        return f"{self.path}?{words}" if words else self.path


@dataclass(frozen=True)
class Asked:
    """A call that was recognised, for the rule that judges it."""

    call: Call
    names: Mapping[str, str]  # what the path names
    policy: Policy
    facts: Facts

    @property
    def query(self) -> dict[str, str]:
        return dict(self.call.query)


Judge = Callable[[Asked], Call]

# ---- what the parameters may be ----

FLAG = "(?i:true|false|1|0)"
NO = "(?i:false|0)"
NUMBER = r"-?[0-9]{1,10}"
TIME = r"[0-9]{1,12}(\.[0-9]{1,9})?"
JSON = r"(?s)\{.*\}"
CONTAINER = rf"(?P<container>{NAME})"
IMAGE = rf"(?P<image>{REFERENCE}|[0-9a-f]{{12,64}})"
BUILT = r"remora/[a-z0-9-]+:[0-9a-f]{12}"
TAG = r"[A-Za-z0-9_][\w.-]*|sha256:[0-9a-f]{64}"
PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}
READABLE = ("/etc/passwd", "/etc/group")  # who is who in an app container


# ---- the rules ----


def plainly(asked: Asked) -> Call:
    """As it is."""
    return asked.call


def looked_at(asked: Asked) -> Seen:
    """The container that the call is about. Raises Absent."""
    found = asked.facts.container(asked.names["container"])
    if not found:
        raise Absent(f"No such container: {asked.names['container']}")
    return found


def carries(found: Seen) -> bool:
    """Whether it was made to carry secrets into a volume, and never ran."""
    return bool(found.labels.get("remora.sidekick")) and "remora.carrier" in found.labels and found.state == "created"


def is_own(found: Seen, facts: Facts) -> bool:
    """Whether remora made it on this engine; labels that stand on another container than theirs do not count."""
    marked = found.labels.get(MARK) == found.sign == mark(facts.engine(), found.name, found.labels)
    return ("remora.sidekick" in found.labels and marked) or carries(found)


def owned(asked: Asked) -> Seen:
    """The container that the call is about, which must be remora's. Raises Refused."""
    found = looked_at(asked)
    if not is_own(found, asked.facts):
        raise Refused(f"the container `{asked.names['container']}` is not remora's")
    return found


def of_own(asked: Asked) -> Call:
    """About a container of remora's, by its id."""
    return by_id(asked, owned(asked))


def by_id(asked: Asked, found: Seen) -> Call:
    return replace(asked.call, path=asked.call.path.replace(f"/containers/{asked.names['container']}", f"/containers/{found.id}", 1))


def run(asked: Asked) -> Call:
    """A start: of one that was let through as a sidekick, with its caps."""
    found = owned(asked)
    if "remora.carrier" in found.labels:
        raise Refused("a container that carries secrets is never started")
    return by_id(asked, found)


def resettled(asked: Asked) -> Call:
    """When a sidekick is started again by the engine itself."""
    return replace(run(asked), body=changed(asked.call.body), content="application/json")


def printed(asked: Asked) -> Call:
    """What a container printed."""
    found = looked_at(asked)
    if not asked.policy.logs and not is_own(found, asked.facts):
        raise Refused(f"the container `{asked.names['container']}` is not remora's; `remora guard --allow-logs` would allow it")
    return by_id(asked, found)


def files(asked: Asked) -> Call:
    """Files of a container: all of its own, of others who is who."""
    found = looked_at(asked)
    if asked.query["path"] not in READABLE and not is_own(found, asked.facts):
        raise Refused(f"of containers that are not remora's, only {' and '.join(READABLE)} may be read")
    return by_id(asked, found)


def secrets(asked: Asked) -> Call:
    """Secrets on their way into a volume."""
    found = looked_at(asked)
    if not carries(found):
        raise Refused("files may only be put into a container that carries secrets")
    return replace(by_id(asked, found), body=packed(asked.call.body), content="application/x-tar")


def creation(asked: Asked) -> Call:
    """A new container."""
    body = admitted(asked.call.body, asked.query.get("name"), asked.policy, asked.facts)
    return replace(asked.call, body=body, content="application/json")


def new_volume(asked: Asked) -> Call:
    return replace(asked.call, body=kept(asked.call.body), content="application/json")


def own_volume(asked: Asked) -> Call:
    """About a volume of remora's."""
    name = asked.names["volume"]
    found = asked.facts.volume(name)
    if not found:
        raise Absent(f"get {name}: no such volume")
    if "remora.stack" not in found.labels or not re.fullmatch(OWN_VOLUME, name, re.ASCII):
        raise Refused(f"the volume `{name}` is not remora's")
    return asked.call


def built(asked: Asked) -> Call:
    """An image of remora's, from a recipe that the guard has too, byte for byte: what is built could run anything."""
    given, image = arguments(asked.query["buildargs"]), asked.query["t"]
    if asked.facts.recipe(image, given["BASE"]) != asked.call.body:
        raise Refused(f"`{image}` is not built from a recipe of the guard's own remora; both must be of one version")
    return replace(asked.call, content="application/x-tar")


def arguments(words: str) -> dict[str, str]:
    """The arguments of a build: its base, and proxies."""
    found = decoded(words.encode())
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Refused("buildargs: must be an object of texts")
    for key in found:
        if key != "BASE" and key.upper() not in PROXIES:
            raise Refused(f"buildargs.{key}: remora never sets it")
    if not re.fullmatch(REFERENCE, found.get("BASE", ""), re.ASCII):
        raise Refused("buildargs.BASE: must be an image")
    return found


@dataclass(frozen=True)
class Rule:
    """One call: how it looks, and what it takes to be let through."""

    methods: str
    path: str  # what comes after the version
    judge: Judge = plainly
    query: Mapping[str, str] = field(default_factory=dict)  # the parameters that it may have, and what their values match
    needed: tuple[str, ...] = ()
    body: int = 0  # how many bytes of a body it may have
    several: bool = False  # a parameter may stand there more than once
    registries: bool = False


LISTING = {"all": FLAG, "filters": JSON}
LOGS = {"stdout": FLAG, "stderr": FLAG, "timestamps": FLAG, "follow": FLAG, "tail": rf"all|{NUMBER}", "since": TIME, "until": TIME}
BUILD = {"t": BUILT, "q": FLAG, "nocache": FLAG, "rm": FLAG, "forcerm": FLAG, "pull": FLAG, "buildargs": JSON}
REMOVAL = {"v": FLAG, "force": FLAG, "link": NO}

RULES = (
    Rule("GET HEAD", "/_ping"),
    Rule("GET", "/version"),
    Rule("GET", "/info"),
    Rule("GET", "/events", query={"since": TIME, "until": TIME, "filters": JSON}),
    Rule("GET", "/containers/json", query=LISTING),
    Rule("POST", "/containers/create", creation, {"name": NAME}, body=MIB),
    Rule("GET", f"/containers/{CONTAINER}/json"),
    Rule("GET", f"/containers/{CONTAINER}/stats", query={"stream": FLAG, "one-shot": FLAG}),
    Rule("GET", f"/containers/{CONTAINER}/logs", printed, LOGS),
    Rule("GET HEAD", f"/containers/{CONTAINER}/archive", files, {"path": PATH}, ("path",)),
    Rule("PUT", f"/containers/{CONTAINER}/archive", secrets, {"path": "/secrets"}, ("path",), body=4 * MIB),
    Rule("POST", f"/containers/{CONTAINER}/(?:start|restart)", run, {"t": NUMBER}),
    Rule("POST", f"/containers/{CONTAINER}/update", resettled, body=KIB),
    Rule("POST", f"/containers/{CONTAINER}/stop", of_own, {"t": NUMBER}),
    Rule("DELETE", f"/containers/{CONTAINER}", of_own, REMOVAL),
    Rule("GET", f"/images/{IMAGE}/json"),
    Rule("GET", "/images/get", query={"names": BUILT}, needed=("names",), several=True),
    Rule("POST", "/images/create", query={"fromImage": REPOSITORY, "tag": TAG}, needed=("fromImage", "tag"), registries=True),
    Rule("POST", "/build", built, BUILD, ("t", "buildargs"), body=4 * MIB, registries=True),
    Rule("GET", "/networks", query={"filters": JSON}),
    Rule("GET", f"/networks/{NAME}"),
    Rule("GET", "/volumes", query={"filters": JSON}),
    Rule("GET", f"/volumes/{NAME}"),
    Rule("POST", "/volumes/create", new_volume, body=64 * KIB),
    Rule("DELETE", f"/volumes/(?P<volume>{NAME})", own_volume, {"force": FLAG}),
)


# ---- one call ----


def judge(method: str, target: str, body: bytes, policy: Policy, facts: Facts) -> Call:
    """The call to hand on. Raises Refused with the reason, and Absent for what is not there."""
    rule, names, call = recognised(method, target)
    if body and not rule.body:
        raise Refused("there is a body, and remora sends none with this call")
    return rule.judge(Asked(replace(call, body=body), names, policy, facts))


def appetite(method: str, target: str) -> int:
    """How many bytes of a body the call may have. Raises Refused for a call that is refused whatever its body."""
    return recognised(method, target)[0].body


def recognised(method: str, target: str) -> tuple[Rule, Mapping[str, str], Call]:
    """The rule for a call, what its path names, and the call in plain words. Raises Refused."""
    path, _, query = target.partition("?")
    version, rest = versioned(plain(path))
    for rule in RULES:
        found = re.fullmatch(rule.path, rest, re.ASCII)
        if found and method in rule.methods.split():
            return rule, found.groupdict(), Call(method, version + rest, parameters(query, rule), registries=rule.registries)
    raise Refused("remora makes no such call")


def versioned(path: str) -> tuple[str, str]:
    """The version in front of a path, and the rest."""
    found = re.fullmatch(r"(/v1\.([0-9]{1,3}))?(/.*)", path, re.ASCII)
    if not found:
        raise Refused("remora makes no such call")
    if found[2] and int(found[2]) < OLDEST:
        raise Refused(f"the API before 1.{OLDEST} is not let through")
    return found[1] or "", found[3]


def plain(words: str) -> str:
    """Without percent signs. What still has one was encoded twice."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", words):
        raise Refused("a percent sign stands there alone")
    try:
        found = unquote(words, errors="strict")
    except UnicodeDecodeError:
        raise Refused("what it names is not UTF-8 text") from None
    return found


def parameters(query: str, rule: Rule) -> Query:
    """The parameters of a call, each known, right and once."""
    found = tuple(pairs(query))
    keys = [key for key, _ in found]
    for key, value in found:
        if key not in rule.query:
            raise Refused(f"the parameter `{key}` is none that remora gives")
        if keys.count(key) > 1 and not rule.several:
            raise Refused(f"the parameter `{key}` stands there twice")
        if not re.fullmatch(rule.query[key], value, re.ASCII):
            raise Refused(f"the parameter `{key}` may not be `{value}`")
    for key in rule.needed:
        if key not in keys:
            raise Refused(f"the parameter `{key}` is missing")
    return found


def pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&") if query else ():
        key, _, value = pair.partition("=")
        yield plain(key.replace("+", " ")), plain(value.replace("+", " "))


def refusal(method: str, target: str, reason: str) -> str:
    """What the one who calls is told, and the log, on one line."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in f"{method} {target}")
    return f"the guard refuses {shown if len(shown) <= 200 else shown[:200] + '…'}: {' '.join(reason.split())}"


def message(words: str) -> bytes:
    """As the engine says what went wrong."""
    return json.dumps({"message": words}).encode()
