"""Which calls the guard lets through. This is a security boundary: a row for every way around it that somebody might try."""

import json

import pytest
from guardkit import CARRIER, PROBE, WEB, Facts, let_through, missing, refused, row, unknown

from remora.core.admission import Absent, Policy
from remora.core.body import Refused
from remora.core.guard import appetite, judge, message, refusal
from remora.engines import recipes

# ---- calls without a body ----

THROUGH = [
    row("a ping", "GET /_ping", "GET /_ping"),
    row("a ping without an answer's body", "HEAD /_ping", "HEAD /_ping"),
    row("the version", "GET /version", "GET /version"),
    row("facts of the engine", "GET /v1.45/info", "GET /v1.45/info"),
    row("events", "GET /v1.45/events?filters=%7B%22type%22%3A%5B%5D%7D", "GET /v1.45/events?filters=%7B%22type%22%3A%5B%5D%7D"),
    row("events of old", "GET /v1.45/events?since=1700000000.123456", "GET /v1.45/events?since=1700000000.123456"),
    row("all containers", "GET /v1.45/containers/json?all=1&filters=%7B%22label%22%3A%5B%5D%7D", None),
    row("the oldest API", "GET /v1.42/containers/json", None),
    row("without a version", "GET /containers/json?all=1", None),
    row("a letter in percent", "GET /v1.45/%63ontainers/json?%61ll=%31", "GET /v1.45/containers/json?all=1"),
    row("an inspection", "GET /v1.45/containers/shop-web-1/json", None),
    row("figures", "GET /v1.45/containers/shop-web-1/stats?stream=False&one-shot=True", None),
    row("what a sidekick prints", f"GET /v1.45/containers/{PROBE}/logs?stdout=1&stderr=1&follow=1&timestamps=0&tail=all", None),
    row(
        "by its name, which becomes its id",
        "GET /containers/shop-web-1.probe/logs?stdout=1",
        f"GET /containers/{PROBE}/logs?stdout=1",
    ),
    row("files of a sidekick", f"GET /containers/{PROBE}/archive?path=%2Fspool%2Fstatus", None),
    row("that it has a file", f"HEAD /containers/{PROBE}/archive?path=%2Fspool", None),
    row("who is who in an app", f"GET /containers/{WEB}/archive?path=%2Fetc%2Fpasswd", None),
    row("its groups", f"GET /containers/{WEB}/archive?path=%2Fetc%2Fgroup", None),
    row("a start", f"POST /containers/{PROBE}/start", None),
    row("a start by name", "POST /v1.45/containers/shop-web-1.probe/start", f"POST /v1.45/containers/{PROBE}/start"),
    row("a start by a short id", f"POST /containers/{PROBE[:12]}/start", f"POST /containers/{PROBE}/start"),
    row("a restart", f"POST /containers/{PROBE}/restart?t=10", None),
    row("a stop", f"POST /containers/{PROBE}/stop", None),
    row("a removal", f"DELETE /containers/{PROBE}?v=True&link=False&force=True", None),
    row("the removal of what carried secrets", f"DELETE /containers/{CARRIER}?v=False&link=False&force=False", None),
    row("an image", "GET /v1.45/images/remora/logs:0123456789ab/json", None),
    row("an image of elsewhere", "GET /images/registry.internal:5000/team/app:1.2/json", None),
    row("an image with slashes in percent", "GET /images/remora%2Flogs:1/json", "GET /images/remora/logs:1/json"),
    row("an image by its digest", f"GET /images/sha256:{'0' * 64}/json", None),
    row("an image by a short id", "GET /images/0123456789ab/json", None),
    row("a pull", "POST /images/create?tag=trixie-slim&fromImage=debian", None),
    row("a pull by digest", f"POST /images/create?tag=sha256%3A{'0' * 64}&fromImage=r.internal%3A5000%2Fapp", None),
    row("images of remora's", "GET /images/get?names=remora%2Flogs%3A0123456789ab&names=remora%2Fwatch%3A0123456789ab", None),
    row("the networks", "GET /networks?filters=%7B%7D", None),
    row("a network", "GET /networks/shop_default", None),
    row("the volumes", "GET /volumes?filters=%7B%22label%22%3A%5B%22remora.stack%3Dshop%22%5D%7D", None),
    row("a volume", "GET /volumes/shop_data", None),
    row("the removal of a volume of remora's", "DELETE /volumes/remora_shop_spool?force=True", None),
]


@pytest.mark.parametrize("asked, handed_on", THROUGH)
def test_a_call_of_remoras_is_let_through(asked, handed_on):
    assert let_through(*asked.split(" ")) == (handed_on or asked)


NO_CALL = "remora makes no such call"
NOT_OURS = "the container `shop-web-1` is not remora's"
ONLY_WHO = "of containers that are not remora's, only /etc/passwd and /etc/group may be read"
INTO = "files may only be put into a container that carries secrets"
CALLS = [
    row("exec", "POST /containers/{PROBE}/exec"),
    row("the start of an exec", "POST /exec/0123/start"),
    row("attach", "POST /containers/{PROBE}/attach?stream=1"),
    row("attach by web socket", "GET /containers/{PROBE}/attach/ws"),
    row("kill", "POST /containers/{WEB}/kill"),
    row("kill of its own", "POST /containers/{PROBE}/kill"),
    row("pause", "POST /containers/{WEB}/pause"),
    row("unpause", "POST /containers/{WEB}/unpause"),
    row("rename", "POST /containers/{PROBE}/rename?name=shop-web-2"),
    row("resize", "POST /containers/{PROBE}/resize"),
    row("wait", "POST /containers/{PROBE}/wait"),
    row("top", "GET /containers/{WEB}/top"),
    row("changes", "GET /containers/{WEB}/changes"),
    row("export", "GET /containers/{WEB}/export"),
    row("checkpoints", "POST /containers/{PROBE}/checkpoints"),
    row("copy as it was", "POST /containers/{WEB}/copy"),
    row("prune of containers", "POST /containers/prune"),
    row("commit", "POST /commit?container=shop-web-1"),
    row("the list of images", "GET /images/json"),
    row("the load of images, which may take any name", "POST /images/load"),
    row("a tag", "POST /images/remora/logs:1/tag?repo=debian&tag=trixie-slim"),
    row("a push", "POST /images/remora/logs/push"),
    row("the removal of an image", "DELETE /images/debian:trixie-slim"),
    row("an image as a file by name", "GET /images/debian/get"),
    row("search", "GET /images/search?term=x"),
    row("prune of images", "POST /images/prune"),
    row("prune of a build cache", "POST /build/prune"),
    row("a session, which is handed over", "POST /session"),
    row("gRPC", "POST /grpc"),
    row("a new network", "POST /networks/create"),
    row("a connection to a network", "POST /networks/shop_default/connect"),
    row("the end of one", "POST /networks/shop_default/disconnect"),
    row("the removal of a network", "DELETE /networks/shop_default"),
    row("prune of networks", "POST /networks/prune"),
    row("prune of volumes", "POST /volumes/prune"),
    row("a change of a volume", "PUT /volumes/remora_shop_spool"),
    row("plugins", "POST /plugins/pull?remote=x"),
    row("the list of plugins", "GET /plugins"),
    row("swarm", "POST /swarm/init"),
    row("services", "POST /services/create"),
    row("nodes", "GET /nodes"),
    row("secrets", "GET /secrets"),
    row("configs", "POST /configs/create"),
    row("tasks", "GET /tasks"),
    row("credentials", "POST /auth"),
    row("what is on the disk", "GET /system/df"),
    row("a registry's word on an image", "GET /distribution/debian/json"),
    row("a profile of the engine", "GET /debug/pprof/"),
    row("figures of the engine", "GET /metrics"),
    row("Podman's own API", "POST /v4.0.0/libpod/containers/create"),
    row("its own API without a version", "GET /libpod/info"),
    row("the top", "GET /"),
    row("a version alone", "GET /v1.45"),
    row("two versions", "GET /v1.45/v1.45/info"),
    row("a version of the future", "GET /v2.0/info"),
    row("a version in other letters", "GET /V1.45/info"),
    row("other letters", "GET /Info"),
    row("a slash at the end", "GET /info/"),
    row("two slashes", "GET //info"),
    row("two slashes before the version", "GET //v1.45/info"),
    row("a way up", "GET /containers/../info"),
    row("a way up in percent", "GET /containers/%2e%2e/info"),
    row("a way up in percent of percent", "GET /containers/%252e%252e/info"),
    row("a way up to another call", "POST /containers/{PROBE}/start/../../{WEB}/kill"),
    row("a way up out of a container", "GET /containers/{PROBE}/../{WEB}/export"),
    row("a way on the spot", "GET /containers/./json"),
    row("a slash in percent", "GET /containers/{PROBE}%2F..%2F{WEB}/export"),
    row("a backslash", "GET /containers\\json"),
    row("a zero byte", "GET /info%00"),
    row("a line's end", "GET /info%0d%0aX:%20y"),
    row("a line's end at the end", "GET /info%0a"),
    row("a question mark in percent", "GET /containers/json%3Fall=1"),
    row("a semicolon", "GET /info;x"),
    row("a fragment", "GET /info#x"),
    row("a whole address", "GET http://engine/info"),
    row("a whole address of somewhere", "GET unix:///var/run/docker.sock"),
    row("anybody", "OPTIONS *"),
    row("a container without a name", "GET /containers//json"),
    row("a digit that is none", "GET /v1.4\N{ARABIC-INDIC DIGIT FIVE}/info"),
    row("a method for another call", "POST /info"),
    row("a list by another method", "HEAD /containers/json"),
    row("a removal as a GET", "GET /containers/{PROBE}?force=1"),
    row("a method in small letters", "get /info"),
    row("a method that changes a part", "PATCH /containers/{PROBE}"),
    row("a tunnel", "CONNECT engine:80"),
    row("an echo", "TRACE /info"),
    row("a method of no RFC", "DEBUG /info"),
]


@pytest.mark.parametrize("asked", CALLS)
def test_a_call_that_remora_does_not_make_is_refused(asked):
    method, target = asked.replace("{PROBE}", PROBE).replace("{WEB}", WEB).split(" ", 1)
    assert refused(method, target) == NO_CALL
    with pytest.raises(Refused):
        appetite(method, target)  # before any of its body is read


REFUSED = [
    row("an old API", "GET /v1.41/info", "the API before 1.42 is not let through"),
    row("a very old API, whose start takes options", "POST /v1.18/containers/{PROBE}/start", "the API before 1.42 is not let through"),
    row("an app's start", "POST /containers/shop-web-1/start", NOT_OURS),
    row("an app's restart", "POST /containers/shop-web-1/restart", NOT_OURS),
    row("an app's stop", "POST /containers/shop-web-1/stop", NOT_OURS),
    row("an app's stop by id", "POST /containers/{WEB}/stop", "the container `{WEB}` is not remora's"),
    row("an app's removal", "DELETE /containers/shop-web-1?force=1", NOT_OURS),
    row(
        "what an app prints",
        "GET /containers/shop-web-1/logs?stdout=1",
        f"{NOT_OURS}; `remora guard --allow-logs` would allow it",
    ),
    row("labels of a sidekick on another container", "DELETE /containers/forged", "the container `forged` is not remora's"),
    row("labels without a mark", "DELETE /containers/copied", "the container `copied` is not remora's"),
    row("labels and name of a sidekick", "DELETE /containers/shop-web-2.probe", "the container `shop-web-2.probe` is not remora's"),
    row(
        "labels of a carrier on one that runs", "DELETE /containers/carrier-that-runs", "the container `carrier-that-runs` is not remora's"
    ),
    row("the start of a carrier, which has no caps", "POST /containers/carrier/start", "a container that carries secrets is never started"),
    row("its restart", "POST /containers/carrier/restart", "a container that carries secrets is never started"),
    row("the end of a link", "DELETE /containers/{PROBE}?link=1", "the parameter `link` may not be `1`"),
    row("the end of a link in words", "DELETE /containers/{PROBE}?link=yes", "the parameter `link` may not be `yes`"),
    row("an app's shadow", "GET /containers/{WEB}/archive?path=/etc/shadow", ONLY_WHO),
    row("an app's whole file tree", "GET /containers/{WEB}/archive?path=/", ONLY_WHO),
    row("an app's folder", "GET /containers/{WEB}/archive?path=/etc", ONLY_WHO),
    row("a way up", "GET /containers/{WEB}/archive?path=/etc/passwd/../shadow", "the parameter `path` may not be `/etc/passwd/../shadow`"),
    row("a slash at the end", "GET /containers/{WEB}/archive?path=/etc/passwd/", "the parameter `path` may not be `/etc/passwd/`"),
    row("two slashes", "GET /containers/{WEB}/archive?path=//etc/passwd", "the parameter `path` may not be `//etc/passwd`"),
    row("a relative path", "GET /containers/{WEB}/archive?path=etc/passwd", "the parameter `path` may not be `etc/passwd`"),
    row("a zero byte", "GET /containers/{WEB}/archive?path=/etc/passwd%00", "the parameter `path` may not be `/etc/passwd\0`"),
    row(
        "two paths",
        "GET /containers/{WEB}/archive?path=/etc/passwd&path=/etc/shadow",
        "the parameter `path` stands there twice",
    ),
    row(
        "two paths, one of them in percent",
        "GET /containers/{WEB}/archive?path=/etc/passwd&%70ath=/etc/shadow",
        "the parameter `path` stands there twice",
    ),
    row("two paths in other letters", "GET /containers/{WEB}/archive?path=/etc/passwd&Path=/x", unknown("Path")),
    row(
        "a semicolon between parameters",
        "GET /containers/{WEB}/archive?path=/etc/passwd;path=/etc/shadow",
        ONLY_WHO,
    ),
    row("no path", "GET /containers/{WEB}/archive", "the parameter `path` is missing"),
    row("files put into an app", "PUT /containers/{WEB}/archive?path=/secrets", INTO),
    row("files put into a sidekick", "PUT /containers/{PROBE}/archive?path=/secrets", INTO),
    row("files put elsewhere", "PUT /containers/carrier/archive?path=/", "the parameter `path` may not be `/`"),
    row("files put with an option", "PUT /containers/carrier/archive?path=/secrets&copyUIDGID=1", unknown("copyUIDGID")),
    row("a signal", "POST /containers/{PROBE}/stop?signal=SIGKILL", unknown("signal")),
    row("a checkpoint", "POST /containers/{PROBE}/start?checkpoint=x", unknown("checkpoint")),
    row("keys to let go", "POST /containers/{PROBE}/start?detachKeys=x", unknown("detachKeys")),
    row("a pull out of a file", "POST /images/create?fromSrc=-", unknown("fromSrc")),
    row("a pull for another platform", "POST /images/create?fromImage=x&tag=1&platform=x", unknown("platform")),
    row("a pull of everything", "POST /images/create?fromImage=debian", "the parameter `tag` is missing"),
    row("a pull by address", "POST /images/create?fromImage=http://x/&tag=1", "the parameter `fromImage` may not be `http://x/`"),
    row("an app's image as a file", "GET /images/get?names=shop-web", "the parameter `names` may not be `shop-web`"),
    row(
        "an app's image beside one of remora's",
        "GET /images/get?names=remora/logs:0123456789ab&names=shop",
        "the parameter `names` may not be `shop`",
    ),
    row("all images as a file", "GET /images/get", "the parameter `names` is missing"),
    row("sizes of all containers, which cost the engine much", "GET /containers/json?size=1", unknown("size")),
    row("a number that is none", f"POST /containers/{PROBE}/stop?t=x", "the parameter `t` may not be `x`"),
    row("an unknown parameter", "GET /containers/json?x=1", unknown("x")),
    row("a parameter without a value", "GET /containers/json?all", "the parameter `all` may not be ``"),
    row("a parameter without a name", "GET /containers/json?=1", unknown("")),
    row("an app's volume", "DELETE /volumes/shop_data?force=1", "the volume `shop_data` is not remora's"),
    row("a volume with remora's labels alone", "DELETE /volumes/labelled", "the volume `labelled` is not remora's"),
    row("a volume with remora's name alone", "DELETE /volumes/remora_squatted", "the volume `remora_squatted` is not remora's"),
    row("a percent sign alone", "GET /containers/%/json", "a percent sign stands there alone"),
    row("half a percent", "GET /containers/%4/json", "a percent sign stands there alone"),
    row("a percent sign alone in a parameter", "GET /containers/json?all=%", "a percent sign stands there alone"),
    row("no UTF-8", "GET /containers/%ff/json", "what it names is not UTF-8 text"),
    row("a dot in too many bytes", "GET /containers/%c0%ae%c0%ae/json", "what it names is not UTF-8 text"),
]


@pytest.mark.parametrize("asked, reason", REFUSED)
def test_what_goes_too_far_is_refused(asked, reason):
    asked, reason = (words.replace("{PROBE}", PROBE).replace("{WEB}", WEB) for words in (asked, reason))
    assert refused(*asked.split(" ", 1)) == reason


@pytest.mark.parametrize(
    "asked", ["DELETE /containers/x", "POST /containers/x/stop", "GET /containers/x/archive?path=/x", "DELETE /volumes/x"]
)
def test_what_is_not_there_is_not_the_guards_to_refuse(asked):
    with pytest.raises(Absent):
        judge(*asked.split(" "), b"", Policy(), Facts())


def test_what_every_container_prints_can_be_allowed():
    asked = f"GET /containers/{WEB}/logs?follow=1&stdout=1&stderr=1&timestamps=1&since=1700000000.123456789"
    assert let_through(*asked.split(" "), policy=Policy(logs=True)) == asked


@pytest.mark.parametrize(
    "asked", ["GET /info", f"POST /containers/{PROBE}/start", f"DELETE /containers/{PROBE}", "POST /images/create?fromImage=x&tag=1"]
)
def test_a_body_where_none_belongs_is_refused(asked):
    assert refused(*asked.split(" "), body=b'{"Binds": ["/:/host"]}') == "there is a body, and remora sends none with this call"


def test_credentials_go_with_what_needs_them_and_with_nothing_else():
    calls = {
        target: judge(method, target, b"", Policy(), Facts())
        for method, target in (("POST", "/images/create?fromImage=x&tag=1"), ("GET", "/info"))
    }
    assert [call.registries for call in calls.values()] == [True, False]


# ---- when a sidekick is started again ----


def test_the_restart_policy_of_a_sidekick_may_change():
    call = judge("POST", "/v1.45/containers/shop-web-1.probe/update", b'{"RestartPolicy":{"Name":"no"}}', Policy(), Facts())
    assert (call.target, call.body) == (f"/v1.45/containers/{PROBE}/update", b'{"RestartPolicy": {"Name": "no"}}')


UPDATES = [
    row("its memory", "shop-web-1.probe", {"Memory": 0}, "Memory: remora never sets it"),
    row("its memory, too", "shop-web-1.probe", {"RestartPolicy": {"Name": "no"}, "Memory": 0}, "Memory: remora never sets it"),
    row("its processes", "shop-web-1.probe", {"PidsLimit": -1}, "PidsLimit: remora never sets it"),
    row("its devices", "shop-web-1.probe", {"Devices": []}, "Devices: remora never sets it"),
    row("in other letters", "shop-web-1.probe", {"restartPolicy": {}}, "restartPolicy: remora never sets it"),
    row("nothing", "shop-web-1.probe", {}, missing("RestartPolicy")),
    row("a policy without a name", "shop-web-1.probe", {"RestartPolicy": {}}, missing("RestartPolicy.Name")),
    row("an app's", "shop-web-1", {"RestartPolicy": {"Name": "no"}}, NOT_OURS),
    row("a carrier's", "carrier", {"RestartPolicy": {"Name": "always"}}, "a container that carries secrets is never started"),
]


@pytest.mark.parametrize("name, body, reason", UPDATES)
def test_nothing_else_of_a_container_may_change(name, body, reason):
    assert refused("POST", f"/containers/{name}/update", json.dumps(body).encode()) == reason


# ---- builds ----


def build(body=None, **parameters):
    base = "debian:trixie-slim"
    given = {"t": recipes.tagged("logs", base), "rm": "True", "buildargs": json.dumps({"BASE": base}), **parameters}
    words = "&".join(f"{key}={value}" for key, value in given.items() if value is not None)
    return "POST", f"/build?{words}", recipes.context("logs").read() if body is None else body


def test_the_build_of_a_recipe_is_let_through():
    assert let_through(*build(q="False", nocache="False", forcerm="True", pull="False")).startswith("POST /build?t=remora%2Flogs%3A")
    assert let_through(*build(t=recipes.tagged("logs", "own/base:1"), buildargs='{"BASE":"own/base:1","http_proxy":"http://x"}'))


NO_RECIPE = "is not built from a recipe of the guard's own remora; both must be of one version"
LOGS = recipes.tagged("logs", "debian:trixie-slim")
BUILDS = [
    row("another Dockerfile", {"body": b"FROM debian\nRUN curl evil\n"}, f"`{LOGS}` {NO_RECIPE}"),
    row("one byte more", {"body": recipes.context("logs").read() + b"\0"}, f"`{LOGS}` {NO_RECIPE}"),
    row("nothing", {"body": b""}, f"`{LOGS}` {NO_RECIPE}"),
    row("another hash", {"t": "remora/logs:0123456789ab"}, f"`remora/logs:0123456789ab` {NO_RECIPE}"),
    row("another base", {"buildargs": '{"BASE":"evil:1"}'}, f"`{LOGS}` {NO_RECIPE}"),
    row("the name of an app's image", {"t": "debian:trixie-slim"}, "the parameter `t` may not be `debian:trixie-slim`"),
    row("no name", {"t": None}, "the parameter `t` is missing"),
    row("the host's network", {"networkmode": "host"}, unknown("networkmode")),
    row("from elsewhere", {"remote": "https://evil"}, unknown("remote")),
    row("another file", {"dockerfile": "x"}, unknown("dockerfile")),
    row("BuildKit", {"version": "2"}, unknown("version")),
    row("other hosts", {"extrahosts": "x:1.2.3.4"}, unknown("extrahosts")),
    row("labels", {"labels": "{}"}, unknown("labels")),
    row("a parent of cgroups", {"cgroupparent": "/"}, unknown("cgroupparent")),
    row("options of security", {"securityopt": "[]"}, unknown("securityopt")),
    row("where to put it", {"outputs": "[]"}, unknown("outputs")),
    row("another argument", {"buildargs": '{"BASE":"x","LD_PRELOAD":"x"}'}, "buildargs.LD_PRELOAD: remora never sets it"),
    row("no base", {"buildargs": "{}"}, "buildargs.BASE: must be an image"),
    row("a base with options", {"buildargs": '{"BASE":"--platform=x debian"}'}, "buildargs.BASE: must be an image"),
    row("a base twice", {"buildargs": '{"BASE":"x","BASE":"y"}'}, "BASE: the key stands there twice"),
    row("a base that is a number", {"buildargs": '{"BASE":1}'}, "buildargs: must be an object of texts"),
]


@pytest.mark.parametrize("given, reason", BUILDS)
def test_any_other_build_is_refused(given, reason):
    assert refused(*build(**given)) == reason


# ---- what is said ----


@pytest.mark.parametrize("target", ["/x\r\ny", "/x\x1b[31m", "/" + "x" * 5000, "/\N{RIGHT-TO-LEFT OVERRIDE}x"])
def test_a_refusal_is_one_short_line(target):
    words = refusal("GET", target, "two\nlines")
    assert words.startswith("the guard refuses GET /") and words.isprintable() and len(words) < 250
    assert json.loads(message(words)) == {"message": words}
