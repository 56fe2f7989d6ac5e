"""The overlay adds services, writes nothing of the project over, and says what a Compose file cannot express."""

import pytest
from worlds import compose, rendered

from remora.core.overlay import write

PROBE = "environments: {prod: {attach: [x]}}\nsidekicks:\n  x: {kind: container, image: busybox, for: web, TEXT}\n"
WHOLE = "whole file: sidekicks do not follow a restart of their app, and replicas that come later get none; `remora watch` does both"
DATA = {"type": "volume", "source": "data", "target": "/data"}


def one(settings, **entry):
    """The only service of an overlay."""
    stack = compose(web=entry, volumes={"data": {"name": "shop_data"}}, networks={"back": {"name": "shop_back"}})
    return rendered(PROBE.replace("TEXT", settings), stack).content["services"]["remora-x-web"]


@pytest.mark.parametrize(
    "settings, key, expected",
    [
        pytest.param("walls: {network: true}", "network_mode", "service:web", id="the app's network"),
        pytest.param("walls: {network: true}", "depends_on", ["web"], id="after its app"),
        pytest.param("walls: {processes: true}", "pid", "service:web", id="the app's processes"),
        pytest.param("walls: {ipc: true}", "ipc", "service:web", id="the app's ipc"),
        pytest.param('user: "5:6"', "user", "5:6", id="a user"),
        pytest.param("network: none", "network_mode", "none", id="no network"),
        pytest.param("network: bridge", "network_mode", "bridge", id="the engine's bridge"),
        pytest.param("network: shop_back", "networks", ["back"], id="a network of the stack by its name in the file"),
        pytest.param("network: logs", "networks", ["logs"], id="a network that is there already"),
        pytest.param("command: echo $HOME", "command", ["echo", "$$HOME"], id="a dollar that Compose is not to read"),
        pytest.param("env: {A: $b}", "environment", {"A": "$$b"}, id="a dollar in env"),
        pytest.param("walls: {files: /data}", "volumes", [{**DATA, "read_only": True}], id="a volume read-only"),
        pytest.param("walls: {files: {volume: data, mode: rw, at: /x}}", "volumes", [{**DATA, "target": "/x"}], id="a volume to write to"),
        pytest.param("limits: {memory: 64m}", "memswap_limit", 64 << 20, id="no swap beyond its cap"),
    ],
)
def test_a_sidekick_becomes_a_service(settings, key, expected):
    assert one(settings, volumes=[DATA])[key] == expected


def test_a_volume_that_is_called_alike_by_the_engine_is_no_anonymous_one():
    stack = compose(web={"volumes": [DATA]}, volumes={"data": {"name": "data", "external": True}})
    assert rendered(PROBE.replace("TEXT", "walls: {files: /data}"), stack).missing == (WHOLE,)


def test_an_anonymous_volume_cannot_be_named():
    stack = compose(web={"volumes": [{"type": "volume", "target": "/data"}]})
    words = "shop-web-1.x: Compose has no name for the anonymous volume at /data of `web`; name it in the compose file"
    assert rendered(PROBE.replace("TEXT", "walls: {files: /data}"), stack).missing == (words, WHOLE)


def test_replicas_beyond_the_first_are_reported():
    words = "shop-web-2.x: Compose joins the first replica of a service only; shop-web-2 stays without `x`"
    assert rendered(PROBE.replace("TEXT", "tmpfs: []"), compose(web={"scale": 2})).missing == (words, WHOLE)


def test_no_sidekick_is_no_fault():
    found = rendered("environments: {prod: }", compose(web={}))
    assert (found.content, found.missing) == ({"services": {}}, ())


def test_a_service_of_the_project_is_never_written_over():
    stack = compose(**{"web": {}, "remora-x-web": {}})
    assert list(rendered(PROBE.replace("TEXT", "tmpfs: []"), stack).content["services"]) == ["remora-x-web-2"]


def test_two_sidekicks_never_share_a_service():
    one, two = "a: {kind: container, image: i, for: b-c}", "a-b: {kind: container, image: i, for: c}"
    text = f"environments: {{prod: {{attach: [a, a-b]}}}}\nsidekicks:\n  {one}\n  {two}\n"
    assert list(rendered(text, compose(**{"b-c": {}, "c": {}})).content["services"]) == ["remora-a-b-c", "remora-a-b-c-2"]


def test_a_network_of_the_project_is_never_written_over():
    stack = compose(web={}, networks={"logs": {"name": "shop_logs"}})
    content = rendered(PROBE.replace("TEXT", "network: logs"), stack).content
    assert content["networks"] == {"logs-2": {"external": True, "name": "logs"}}


def test_a_secret_stays_a_reference_to_a_file():
    """Compose copies one out of a variable into the container, which with a read-only file tree fails, and no container starts."""
    found = rendered(PROBE.replace("TEXT", "secrets: {pw: env:PW, key: file:/etc/key}"), compose(web={}))
    assert found.content["secrets"] == {"remora-x-web-key": {"file": "/etc/key"}}
    assert found.content["services"]["remora-x-web"]["secrets"] == [{"source": "remora-x-web-key", "target": "/run/secrets/key"}]
    assert found.missing == (
        "shop-web-1.x: the secret `key` keeps the owner and the mode that /etc/key has on this host",
        "shop-web-1.x: Compose hands over secrets in files only, so it gets no `pw` out of the variable PW",
        WHOLE,
    )


@pytest.mark.parametrize(
    "user, expected, words",
    [
        pytest.param("5:6", "5:6", (), id="by number"),
        pytest.param(
            "www-data",
            "www-data",
            ("shop-web-1.x: the user `www-data` is looked up in the sidekick's image, not in that of shop-web-1",),
            id="by name",
        ),
        pytest.param(
            None,
            None,
            ("shop-web-1.x: the image of shop-web-1, which says whom it runs as, is not on this engine; the sidekick's own says it",),
            id="by an image that is not here",
        ),
    ],
)
def test_the_app_s_user_is_given_or_its_lack_is_reported(user, expected, words):
    found = rendered(PROBE.replace("TEXT", "user: same"), compose(web={"user": user}))
    assert (found.content["services"]["remora-x-web"].get("user"), found.missing) == (expected, (*words, WHOLE))


def test_a_folder_to_write_to_is_made_where_it_is_missing():
    """As remora does; else Compose starts no container at all."""
    bind = {"type": "bind", "source": "/srv", "target": "/srv"}
    walls = "walls: {files: [{path: /srv, mode: rw}, {path: /srv, at: /look}]}"
    made, looked_at = one(walls, volumes=[bind])["volumes"]
    assert (made["bind"], "bind" in looked_at) == ({"create_host_path": True}, False)


def test_a_sidekick_for_the_whole_stack_keeps_its_own_volume():
    content = rendered(
        "environments: {prod: {attach: [x]}}\nsidekicks: {x: {kind: logs, for: web, to: file:///l}}", compose(web={})
    ).content
    assert content["volumes"] == {"remora_shop_x": {"name": "remora_shop_x"}}
    assert list(content["services"]) == ["remora-x-reader", "remora-x-sender-1"]


def test_the_file_says_how_to_use_it_and_what_it_lacks():
    text = write(rendered(PROBE.replace("TEXT", "tmpfs: []"), compose(web={})), "shop", "prod", "o.yaml")
    assert text.splitlines()[:4] == [
        "# The sidekicks of `shop` in `prod`, as remora attaches them. It only adds services. Use it with the developers' file:",
        "#   docker compose -f compose.yaml -f o.yaml up -d",
        f"# Not expressed: {WHOLE}",
        "services:",
    ]


def test_an_image_that_compose_cannot_build_is_named():
    found = rendered("environments: {prod: {attach: [x]}}\nsidekicks: {x: {kind: logs, for: web, to: file:///l}}", compose(web={}))
    words = "remora/logs:1: Compose does not build this image; `remora images build` does, and `remora images load` brings it"
    assert found.missing == (words, WHOLE)
