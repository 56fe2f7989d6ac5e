"""The window on the watcher: what is counted, what probes hear, and who may ask."""

import http.client
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_news import ENDED, SPEC, app, sidekick, told_by_engine
from test_reporter import NO, WOVEN, worlds

from remora import listener
from remora.core.plan import Attach
from remora.core.weave import Woven
from remora.errors import WrongUsage
from remora.listener import Address, Listener, parse
from remora.metrics import Metrics
from remora.witness import Pulse, Witness

EVERYBODY = "0.0.0.0"  # noqa: S104 - what a public address is told by
DOCS = (Path(__file__).parents[2] / "docs/watch.md").read_text()


def value(metrics, series, **labels):
    found = [each for family in text_string_to_metric_families(metrics.page().decode()) for each in family.samples if each.name == series]
    return next((each.value for each in found if labels.items() <= each.labels.items()), None)


@pytest.fixture
def told():
    """The metrics of a watcher after a few looks."""
    metrics = Metrics("shop", "prod", Pulse(), weight=lambda _: "page")
    witness = Witness("shop", "prod", [metrics], weight=lambda _: "page")
    alive, ended = worlds([app(), sidekick()], [app(**ENDED), sidekick()])
    action = Attach(SPEC)
    witness.reconnected("")
    witness.looked(alive, alive, Woven((), (SPEC, *[SPEC])), [action], 0.02, True)
    witness.performed(action, None, 0.3)
    for _ in range(3):
        witness.event(told_by_engine("die", exitCode="1"))
    witness.looked(alive, ended, WOVEN, [], 0.01, False)
    witness.looked(ended, ended, WOVEN, [], 0.01, True)
    witness.performed(action, NO, 3.0)
    witness.lost("no answer")
    witness.reconnected("")
    witness.reloaded(NO)
    witness.close()
    return metrics


COUNTED = [
    ("remora_app_containers", {"state": "exited"}, 1),
    ("remora_app_containers", {"state": "running"}, 0),
    ("remora_sidekicks", {"sidekick": "probe", "state": "running"}, 1),
    ("remora_events_total", {}, 3),
    ("remora_events_coalesced_total", {}, 2),
    ("remora_looks_total", {"resync": "true"}, 2),
    ("remora_looks_total", {"resync": "false"}, 1),
    ("remora_resyncs_found_total", {}, 1),
    ("remora_reconnects_total", {}, 1),
    ("remora_plan_duration_seconds_count", {}, 3),
    ("remora_perform_duration_seconds_sum", {"action": "attach"}, 3.3),
    ("remora_actions_total", {"action": "attach", "result": "done"}, 1),
    ("remora_actions_total", {"action": "attach", "result": "failed"}, 1),
    ("remora_actions_total", {"action": "giveup", "result": "failed"}, 0),
    ("remora_news_total", {"name": "app.died"}, 1),
    ("remora_sidekick_failures_total", {"sidekick": "probe", "on_failure": "page"}, 1),
    ("remora_news_total", {"name": "app.oom"}, 0),
    ("remora_ops_file_refused", {}, 1),
    ("remora_ready", {}, 0),
    ("remora_engine_up", {}, 1),
    ("remora_journal_failing", {}, 0),
    ("remora_build_info", {"stack": "shop", "environment": "prod"}, 1),
]


@pytest.mark.parametrize("name, labels, count", COUNTED, ids=[f"{name} {labels}" for name, labels, _ in COUNTED])
def test_a_figure(told, name, labels, count):
    assert value(told, name, **labels) == count


def test_a_sidekick_that_should_be_there_is_counted_as_missing():
    metrics = Metrics("shop", "prod", Pulse())
    [bare] = worlds([app()])
    metrics.looked(bare, Woven((), (SPEC,)), [], 0.1, True)
    assert value(metrics, "remora_sidekicks", sidekick="probe", state="missing") == 1
    [gone] = worlds([])
    metrics.looked(gone, WOVEN, [], 0.1, False)
    assert value(metrics, "remora_sidekicks") is None


def test_every_figure_is_in_the_docs(told):
    names = {name for family in text_string_to_metric_families(told.page().decode()) for name in [family.name]}
    assert {name for name in names if name.startswith("remora_") and not re.search(rf"`{name}(_total|_info)?`", DOCS)} == set()


# ---- the server ----


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("remora", timeout=5)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def get(connection, path, method="GET"):
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def opened(tmp_path):
    """Opens listeners, and closes them."""
    made = []

    def run(address=None, pulse=None, **more):
        said = []
        address = address or Address(path=str(tmp_path / "state" / "remora.sock"))
        each = Listener(address, lambda: b"x 1\n", pulse or Pulse(), said.append, tick=0.01, **more)
        each.start()
        made.append(each)
        each.said = said
        return each

    yield run
    for each in made:
        each.close()


def ready():
    pulse = Pulse()
    pulse.ready = True
    return pulse


def late():
    pulse = ready()
    pulse.last -= 1000
    return pulse


def lost():
    pulse = ready()
    pulse.lost = "no engine answers"
    return pulse


PROBES = [
    pytest.param(Pulse, (200, "ok\n"), (503, "no look is done yet\n"), id="just begun"),
    pytest.param(ready, (200, "ok\n"), (200, "ok\n"), id="at work"),
    pytest.param(late, (503, "the loop stands still since 1000 s\n"), (503, "the loop stands still since 1000 s\n"), id="hung"),
    pytest.param(lost, (200, "ok\n"), (503, "no engine answers\n"), id="without an engine"),
]


@pytest.mark.parametrize("pulse, health, readiness", PROBES)
def test_probes_are_answered(opened, pulse, health, readiness):
    path = opened(pulse=pulse()).address.path
    assert (get(UnixConnection(path), "/healthz"), get(UnixConnection(path), "/readyz")) == (health, readiness)


def test_metrics_are_shown_and_nothing_else(opened):
    path = opened().address.path
    assert get(UnixConnection(path), "/metrics") == (200, "x 1\n")
    assert get(UnixConnection(path), "/metrics?a=b") == (200, "x 1\n")
    assert get(UnixConnection(path), "/metrics", "HEAD") == (200, "")
    assert get(UnixConnection(path), "/") == (404, "there is /metrics, /healthz and /readyz\n")
    assert get(UnixConnection(path), "/metrics", "POST")[0] == 501


def test_an_address_of_this_host_is_listened_on(opened):
    for host in ("127.0.0.1", "::1"):
        there = opened(Address(host=host))
        port = there.server.server_address[1]
        assert get(http.client.HTTPConnection(host, port, timeout=5), "/metrics") == (200, "x 1\n")
        assert there.said == []


def test_a_public_address_is_remarked_on(opened):
    assert opened(Address(host=EVERYBODY)).said == [f"metrics and probes are open to whoever reaches {EVERYBODY}:0"]


def test_only_its_owner_may_use_the_socket(opened):
    assert Path(opened().address.path).stat().st_mode & 0o777 == 0o600


def test_the_socket_goes_with_the_watcher(opened):
    there = opened()
    there.close()
    assert not Path(there.address.path).exists()


def test_a_socket_that_was_left_behind_is_taken_over(opened, tmp_path):
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert opened(Address(path=str(path))).said == []
    assert get(UnixConnection(path), "/healthz") == (200, "ok\n")


def test_a_second_watcher_takes_the_socket_over_when_the_first_ends(opened):
    first, second = opened(), opened(pulse=late(), again=0.1)
    words = "(Address already in use); metrics and probes are to be had as soon as it can be"
    assert second.said == [f"cannot listen on {first.address} {words}"]
    first.close()
    while not second.server:
        second.ended.wait(0.01)
    assert get(UnixConnection(second.address.path), "/healthz")[0] == 503


def test_a_place_that_cannot_be_had_is_said_once(opened, tmp_path):
    (tmp_path / "file").write_text("")
    there = opened(Address(path=str(tmp_path / "file" / "x.sock")))
    words = "(File exists); metrics and probes are to be had as soon as it can be"
    assert there.said == [f"cannot listen on {there.address} {words}"]
    long = opened(Address(path=str(tmp_path / ("x" * 100))))
    assert long.said == [f"cannot listen on {long.address} (AF_UNIX path too long); metrics and probes are to be had as soon as it can be"]


def test_visitors_who_say_nothing_keep_nobody_out_for_long(opened):
    there = opened()
    silent = [socket.socket(socket.AF_UNIX) for _ in range(listener.AT_ONCE * 2)]
    try:
        for each in silent:
            each.connect(there.address.path)
        assert threading.active_count() < listener.AT_ONCE + 20
    finally:
        for each in silent:
            each.close()
    for _ in range(100):
        try:
            assert get(UnixConnection(there.address.path), "/metrics") == (200, "x 1\n")
            return
        except (OSError, http.client.HTTPException):
            there.ended.wait(0.02)
    raise AssertionError("nobody is answered any more")


# ---- the option ----


@pytest.mark.parametrize(
    "text, address, public",
    [
        pytest.param("unix:///run/remora.sock", Address("/run/remora.sock"), False, id="a socket"),
        pytest.param("127.0.0.1:9188", Address(host="127.0.0.1", port=9188), False, id="this host"),
        pytest.param("localhost:9188", Address(host="localhost", port=9188), False, id="this host by name"),
        pytest.param("[::1]:9188", Address(host="::1", port=9188), False, id="this host by IPv6"),
        pytest.param(f"{EVERYBODY}:9188", Address(host=EVERYBODY, port=9188), True, id="everybody"),
        pytest.param("[::]:9188", Address(host="::", port=9188), True, id="everybody by IPv6"),
        pytest.param("monitor.internal:9188", Address(host="monitor.internal", port=9188), True, id="a name"),
    ],
)
def test_where_to_listen(text, address, public):
    assert (parse(text), str(parse(text)), parse(text).public) == (address, text, public)


def test_not_to_listen():
    assert parse("none") is None


@pytest.mark.parametrize(
    "text", ["", "9188", ":9188", "unix://remora.sock", "127.0.0.1", "127.0.0.1:65536", "http://127.0.0.1:9188", "a b:1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(WrongUsage) as error:
        parse(text)
    words = "is no address; write unix:///PATH or ADDRESS:PORT, such as 127.0.0.1:9188, or none"
    assert str(error.value) == f"--listen: `{text}` {words}"


def test_no_command_loads_the_metrics_before_it_needs_them():
    program = """
import importlib, pkgutil, sys
from remora import commands
for each in pkgutil.iter_modules(commands.__path__):
    importlib.import_module(f"remora.commands.{each.name}")
print("prometheus_client" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
