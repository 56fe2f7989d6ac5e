"""The command line on a real engine: sidekicks come and go beside an app that never notices."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
from stackkit import BESIDE, DEBIAN, IDLE, LIMIT, Stack, label, name, together, until

from remora.engines import recipes

pytestmark = pytest.mark.engine

NET = "for: web, walls: {network: true}"


# ---- the app never notices ----


@pytest.mark.podman
def test_the_overlay_starts_the_sidekicks_and_changes_no_app_container(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, volumes: ['data:/data']}}, db: {{{IDLE}}}}}\nvolumes: {{data: }}")
    stack.attached(net="for: '*', walls: {network: true}", files="for: web, walls: {files: data}")
    stack.remora("render", "-o", "overlay.yaml")
    both = ("-f", "compose.yaml", "-f", "overlay.yaml")
    hashes = [stack.compose(*files, "config", "--hash", "*").splitlines() for files in ((), both)]
    assert len(hashes[0]) == 2 and set(hashes[0]) < set(hashes[1])
    stack.compose("up", "-d")
    before = stack.lives()
    stack.compose(*both, "up", "-d")
    assert stack.lives() == before
    assert [name(each).removeprefix(f"{stack.name}-") for each in stack.sidekicks() if each["State"]["Running"]] == [
        "remora-files-web-1",
        "remora-net-db-1",
        "remora-net-web-1",
    ]
    assert together(stack.container("remora-net-web-1"), stack.container("web-1"), "network")
    # They are Compose's: neither app containers to attach to, nor remora's to take away.
    actions = stack.json("plan")["actions"]
    assert {each["action"] for each in actions} == {"attach"}
    assert {each["beside"] for each in actions} == set(before)


def test_the_overlay_starts_whatever_its_sidekicks_ask_for(stack: Stack) -> None:
    """Compose starts no container at all, of the app neither, where one of them cannot be made."""
    stack.build(f"FROM {DEBIAN}\nUSER 1234:42\n")
    (stack.folder / "key.pem").write_text("from-a-file")
    stack.developers(f"services: {{web: {{{IDLE.replace(DEBIAN, f'{stack.name}:1')}, volumes: ['data:/data']}}}}\nvolumes: {{data: }}")
    stack.ops(f"""
        environments: {{prod: {{attach: [printed, files, safe]}}}}
        sidekicks:
          printed: {{kind: logs, for: "*", to: "file://{stack.folder}/made/printed"}}
          files: {{kind: logs, for: web, from: /data, to: "file://{stack.folder}/made/files"}}
          safe: {{{BESIDE}, for: web, user: same, secrets: {{key: "file:key.pem", token: "env:TOKEN"}}}}
    """)
    stack.remora("render", "-o", "overlay.yaml")
    assert (
        f"{recipes.tag('logs')}: Compose does not build this image; `remora images build` does"
        in (stack.folder / "overlay.yaml").read_text()
    )
    stack.remora("images", "build")
    stack.compose("-f", "compose.yaml", "-f", "overlay.yaml", "up", "-d")
    assert [each["State"]["Status"] for each in stack.containers()] == ["running"] * 6
    assert stack.inside("remora-safe-web-1", "sh", "-c", "id -u; id -g; cat /run/secrets/key") == "1234\n42\nfrom-a-file"
    assert "gets no `token` out of the variable TOKEN" in (stack.folder / "overlay.yaml").read_text()


def test_app_containers_live_through_all_that_ops_do(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, scale: 2}}, db: {{{IDLE}}}}}")
    stack.attached(net="for: '*', walls: {network: true}")
    stack.compose("up", "-d")
    before = stack.lives()
    for verb, sidekicks in (("attach", 3), ("attach", 3), ("up", 3), ("up", 3), ("detach", 0), ("up", 3)):
        stack.remora(verb)
        assert (len(stack.sidekicks()), stack.lives()) == (sidekicks, before), verb
    stack.attached(net="for: web, walls: {network: true}, limits: {memory: 32m}", files="for: db")
    stack.remora("up")
    assert (sorted({label(each, "sidekick") for each in stack.sidekicks()}), stack.lives()) == (["files", "net"], before)
    shutil.copy(stack.folder / "remora.yaml", stack.folder / "other.yaml")
    assert f"the sidekicks of `{stack.name}` belong to the ops file {stack.folder}/remora.yaml" in stack.refused(
        "up", "--ops", "other.yaml"
    )
    stack.remora("up", "--ops", "other.yaml", "--take-over")
    assert ({label(each, "ops") for each in stack.sidekicks()}, stack.lives()) == ({f"{stack.folder}/other.yaml"}, before)


@pytest.mark.podman
def test_a_developer_who_removes_orphans_removes_no_sidekick(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}, old: {{{IDLE}}}}}")
    stack.attached(net=NET, files="for: web")
    stack.remora("up")
    before = [each["Id"] for each in stack.sidekicks()]
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.compose("up", "-d", "--remove-orphans")
    assert list(stack.lives()) == [f"{stack.name}-web-1"]
    assert [each["Id"] for each in stack.sidekicks()] == before != []


# ---- which containers ----


@pytest.mark.parametrize("whole, chosen", [("", "'*'"), ("stack: '*'", "{{name: {0}-*}}")], ids=["of a stack", "of every container"])
def test_a_sidekick_is_never_selected(stack: Stack, whole: str, chosen: str) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, scale: 2}}}}")
    stack.ops(f"""
        {whole}
        environments: {{prod: {{attach: [net, more]}}}}
        sidekicks:
          net: {{{BESIDE}, for: {chosen.format(stack.name)}, walls: {{network: true}}}}
          more: {{{BESIDE}, for: {chosen.format(stack.name)}, walls: {{processes: true}}}}
    """)
    stack.compose("up", "-d")
    for done in (4, 0):
        assert len(stack.json("attach")["done"]) == done
        assert stack.paired(2, net="network", more="processes"), stack.why()


@pytest.mark.podman
def test_containers_of_plain_docker_run_get_sidekicks(stack: Stack) -> None:
    stack.client.containers.run(DEBIAN, "sleep infinity", name=f"{stack.name}-lone", init=True, detach=True)
    stack.ops(f"""
        stack: "*"
        environments: {{prod: {{attach: [net]}}}}
        sidekicks:
          net: {{{BESIDE}, for: {{name: {stack.name}-lone}}, walls: {{network: true}}}}
    """)
    before = stack.lives()
    stack.remora("attach")
    assert (stack.paired(1, net="network"), stack.lives()) == (True, before), stack.why()
    stack.api.restart(f"{stack.name}-lone")
    stack.remora("watch", "--once")
    assert stack.paired(1, net="network"), stack.why()
    stack.remora("detach")
    assert [name(each) for each in stack.containers()] == [f"{stack.name}-lone"]


# ---- a container with walls ----


@pytest.mark.podman
def test_files_are_shared_by_path_and_by_volume_and_read_only_unless_said(stack: Stack) -> None:
    (stack.folder / "here").mkdir()
    stack.developers(f"services: {{web: {{{IDLE}, volumes: ['data:/data', /anonymous, './here:/here']}}}}\nvolumes: {{data: }}")
    walls = "[/data/deep, {volume: data, at: /again, mode: rw}, /anonymous, {path: /here, at: /there, mode: rw}]"
    stack.attached(files=f"for: web, walls: {{files: {walls}}}")
    stack.compose("up", "-d")
    stack.inside("web-1", "sh", "-c", "mkdir /data/deep; echo d > /data/deep/d; echo a > /anonymous/a; echo h > /here/h")
    stack.remora("attach")
    assert stack.inside("web-1.files", "cat", "/data/deep/d", "/again/deep/d", "/anonymous/a", "/there/h") == "d\nd\na\nh\n"
    stack.inside("web-1.files", "sh", "-ec", "touch /again/new /there/new; ! touch /data/new; ! touch /anonymous/new")
    stack.inside("web-1", "ls", "/data/new", "/here/new")
    stack.remora("detach")  # removes what is the sidekick's, and the anonymous volume is the app's
    assert stack.inside("web-1", "cat", "/anonymous/a") == "a\n"


@pytest.mark.parametrize(
    "wall, reason",
    [
        pytest.param("/memory/x", "`/memory` of {app} is a tmpfs, which lives in that one container and cannot be shared", id="a tmpfs"),
        pytest.param(
            "/etc",
            "`/etc` of {app} is in the container's own layer, which nobody else can mount; what lies outside of it: `/anonymous`",
            id="the container's own layer",
        ),
        pytest.param("data", "{app} has no volume `data`; it has `/anonymous`", id="a volume that it does not have"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_the_reason(stack: Stack, wall: str, reason: str) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, volumes: [/anonymous], tmpfs: [/memory]}}}}")
    stack.attached(files=f"for: web, walls: {{files: {wall}}}")
    said = f"remora: remora.yaml:3: sidekicks.files.walls: {reason.format(app=f'{stack.name}-web-1')}\n"
    assert (stack.refused("up"), stack.containers()) == (said, [])
    stack.compose("up", "-d")  # and the running container shows the same as the file
    assert (stack.refused("attach"), stack.sidekicks()) == (said, [])


@pytest.mark.podman
def test_a_sidekick_may_do_next_to_nothing_unless_said(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(bare="for: web", more="for: web, capabilities: NET_RAW, read_only: false, limits: {memory: 32m, cpus: 1, pids: 9}")
    stack.remora("up")
    capped = {"Memory": 64 << 20, "MemorySwap": 64 << 20, "NanoCpus": 500_000_000, "PidsLimit": 64}
    walled = {"ReadonlyRootfs": True, "SecurityOpt": ["no-new-privileges"], "NetworkMode": "none"}
    host = stack.container("web-1.bare")["HostConfig"]
    assert {key: host[key] for key in (*capped, *walled)} == {**capped, **walled}
    look = "touch /tmp/x; touch /var/mail/x 2>&1 || true; ls /sys/class/net; grep -E 'CapEff|NoNewPrivs' /proc/1/status"
    said = "touch: cannot touch '/var/mail/x': Read-only file system\nlo\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n"
    assert stack.inside("web-1.bare", "sh", "-ec", look) == said
    host = stack.container("web-1.more")["HostConfig"]
    assert [host[key] for key in capped] == [32 << 20, 32 << 20, 1_000_000_000, 9]
    assert stack.inside("web-1.more", "sh", "-ec", look) == "lo\nCapEff:\t0000000000002000\nNoNewPrivs:\t1\n"


def test_the_same_user_is_the_user_that_the_app_really_has(stack: Stack) -> None:
    """Whatever the sidekick's own image thinks of that name or number."""
    stack.build(f"FROM {DEBIAN}\nRUN echo own:x:7001:7002::/:/bin/sh >> /etc/passwd\n")
    users = {"named": "own", "numbered": "7001", "grouped": "own:mail", "both": "7001:42", "unknown": "7003", "root": "0", "nobody": ""}
    app = IDLE.replace(DEBIAN, f"'{stack.name}:1'")
    stack.developers(f"services: {{{', '.join(f'{service}: {{{app}, user: {user!r}}}' for service, user in users.items())}}}")
    stack.attached(same="for: '*', user: same")
    stack.remora("up")
    for service in users:
        ours, theirs = (stack.inside(each, "sh", "-c", "id -u; id -g") for each in (f"{service}-1.same", f"{service}-1"))
        assert ours == theirs, service


@pytest.mark.podman
@pytest.mark.parametrize("user", ["user: same", ""], ids=["the app's user", "the image's user"])
def test_secrets_are_files_that_only_their_sidekick_can_read(stack: Stack, user: str) -> None:
    (stack.folder / "key.pem").write_text("from-a-file-5318008")
    stack.build(f"FROM {DEBIAN}\nUSER 1234:42\n")
    stack.developers(f"services: {{web: {{{IDLE}, user: '1234:42'}}}}")
    stack.ops(f"""
        environments: {{prod: {{attach: [safe]}}}}
        sidekicks:
          safe: {{kind: container, for: web, image: '{stack.name}:1', command: sleep infinity, {user or "limits: {}"},
            secrets: {{token: env:TOKEN, key: file:key.pem}}}}
    """)
    said = stack.remora("up", TOKEN="from-a-variable-5318008") + stack.remora("plan", "--json") + stack.remora("status", "--json")
    shown = json.dumps([stack.containers(), [each.attrs for each in stack.client.volumes.list(filters={"name": stack.run})]])
    assert "5318008" not in said + shown + stack.remora("render")
    assert stack.inside("web-1.safe", "cat", "/run/secrets/token", "/run/secrets/key") == "from-a-variable-5318008from-a-file-5318008"
    assert stack.inside("web-1.safe", "stat", "-c", "%a %u:%g", "/run/secrets/token", "/run/secrets/key") == "400 1234:42\n" * 2
    stack.inside("web-1.safe", "sh", "-c", "! touch /run/secrets/x")
    stack.remora("detach")
    assert [each.name for each in stack.client.volumes.list(filters={"name": stack.run})] == []


# ---- the way up and down ----


@pytest.mark.podman
def test_up_plan_status_watch_and_down_agree(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}, volumes: ['data:/data']}}}}\nvolumes: {{data: }}")
    stack.ops(f"""
        environments: {{prod: {{attach: [net, printed]}}}}
        sidekicks:
          net: {{{BESIDE}, {NET}, secrets: {{token: env:PATH}}}}
          printed: {{kind: logs, for: web, to: 'file://{stack.folder}/logs'}}
    """)
    stack.remora("images", "build")  # or the plan has it, too
    reader = "api-reader" if stack.podman else "reader"
    sidekicks = [f"{stack.name}-web-1.net", f"{stack.name}.printed.{reader}", f"{stack.name}.printed.sender-1"]
    plan = stack.json("plan")
    assert (plan["start"], sorted(each["name"] for each in plan["actions"])) == ([f"{stack.name}-web-1"], sidekicks)
    assert f"+ attach {sidekicks[0]}" in stack.remora("plan", "--exit-code", code=4)
    assert sorted(each["name"] for each in stack.json("up")["done"]) == sidekicks
    assert "nothing to do" in stack.remora("plan", "--exit-code")
    stack.remove(sidekicks[0])
    stack.remora("plan", "--exit-code", code=4)
    stack.remora("watch", "--once")
    status = stack.json("status")
    assert [(each["name"], each["state"]) for each in sorted(status["sidekicks"], key=lambda each: each["name"])] == [
        (each, "running") for each in sidekicks
    ]
    assert status["pending"] == []
    stack.remora("down", "--volumes")
    assert stack.leftovers() == []


@pytest.mark.parametrize(
    "moment, send",
    [
        pytest.param("com.docker.compose.project", os.killpg, id="while Compose starts the app"),
        pytest.param("com.docker.compose.project", os.kill, id="while Compose starts the app and does not hear of it"),
        pytest.param("remora.stack", os.killpg, id="while sidekicks are attached"),
    ],
)
def test_up_can_be_interrupted_and_goes_on_from_there(stack: Stack, moment: str, send) -> None:
    names = [f"s{number}" for number in range(12)]
    stack.developers(f"services: {{{', '.join(f'{each}: {{{IDLE}}}' for each in names)}}}")
    stack.attached(net="for: '*', walls: {network: true}")
    up = stack.start("up")
    until(lambda: stack.api.containers(all=True, filters={"label": f"{moment}={stack.name}"}), stack.why)
    send(up.pid, signal.SIGINT)  # Ctrl-C on a terminal goes to the group
    assert up.wait(LIMIT) == 130, stack.said
    with pytest.raises(ProcessLookupError):
        os.killpg(up.pid, 0)  # nobody goes on in the background
    assert stack.said.endswith("interrupted; what was done is consistent, the same command goes on from there\n")
    assert len(stack.sidekicks()) < len(names)
    assert all(each["State"]["Running"] for each in stack.sidekicks())
    stack.remora("up")
    assert stack.paired(len(names), net="network"), stack.why()


# ---- what may differ, and what may not ----


def test_declared_differences_are_applied_and_no_others_pass(stack: Stack) -> None:
    stack.docker_alone("it settles at once which port of the host is any port")
    stack.developers(f"""
        services:
          web: {{{IDLE}, environment: {{LEVEL: debug, KEPT: '1'}}, ports: ['80'], volumes: ['.:/source', 'data:/data']}}
        volumes: {{data: }}
    """)
    stack.ops(f"""
        environments:
          dev: {{}}
          prod:
            attach: [net]
            services:
              web:
                environment: {{LEVEL: info, TOKEN: env:TOKEN}}
                replicas: 2
                ports: ['127.0.0.1::8080']
                limits: {{memory: 128m, cpus: 0.5, pids: 50}}
                restart: on-failure:3
                drop_mounts: /source
        sidekicks: {{net: {{{BESIDE}, {NET}}}}}
    """)
    stack.env["TOKEN"] = "5318008"
    stack.remora("up")
    assert stack.paired(2, net="network"), stack.why()
    for each in stack.apps():
        host = each["HostConfig"]
        assert {"LEVEL=info", "KEPT=1", "TOKEN=5318008"} <= set(each["Config"]["Env"])
        assert host["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
        assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (128 << 20, 500_000_000, 50)
        assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
        assert [mount["Destination"] for mount in each["Mounts"]] == ["/data"]
    found = stack.json("parity", "dev", "prod")
    facts = ["cpus", "env LEVEL", "env TOKEN", "memory", "mount /source", "pids", "ports", "replicas", "restart"]
    assert [each["fact"] for each in found["differences"]] == facts
    assert all(each["declared"] for each in found["differences"]) and "5318008" not in json.dumps(found)


def test_a_change_that_nobody_declared_breaks_parity(stack: Stack) -> None:
    stack.docker_alone("it changes no cap of a container that runs")
    stack.developers(f"services: {{web: {{{IDLE}, environment: {{LEVEL: debug}}, network_mode: bridge}}}}")
    stack.ops(f"environments: {{dev: {{}}, prod: {{attach: [net]}}}}\nsidekicks: {{net: {{{BESIDE}, {NET}}}}}")
    stack.remora("up")
    stack.remora("parity", "dev", "prod")
    stack.api.update_container(f"{stack.name}-web-1", mem_limit="99m", memswap_limit="99m")
    assert undeclared(stack) == ["memory"]
    labels = stack.container("web-1")["Config"]["Labels"]
    stack.remove(f"{stack.name}-web-1")
    stack.client.containers.run(
        DEBIAN, "sleep infinity", name=f"{stack.name}-web-1", labels=labels, environment={"LEVEL": "info"}, init=True, detach=True
    )
    assert undeclared(stack) == ["env LEVEL"]


def undeclared(stack: Stack) -> list[str]:
    return [each["fact"] for each in stack.json("parity", "dev", "prod", code=1)["differences"] if not each["declared"]]
