"""`explain` and `diff` on a real engine, and the ops file that changes under a running watcher."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from stackkit import BESIDE, DEBIAN, IDLE, Stack, name, until

pytestmark = pytest.mark.engine


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as made:
        yield made


OPS = f"""
    environments: {{dev: {{}}, prod: {{attach: [net, data]}}}}
    sidekicks:
      net: {{{BESIDE}, for: {{image: debian, env: ROLE=front}}, walls: {{network: true}}}}
      data: {{{BESIDE}, for: db}}
      idle: {{{BESIDE}, for: web}}
"""


def words(explained: list[dict[str, object]], sidekick: str) -> tuple[object, ...]:
    """What is said of one sidekick."""
    found = next(each for each in explained[0]["sidekicks"] if each["sidekick"] == sidekick)
    return found["words"], [each["words"] for each in found["reasons"]], [each["state"] for each in found["now"]]


def test_explain_says_which_sidekicks_a_container_gets(stack: Stack) -> None:
    """Env with and without a value, odd labels, every way to name a container, and all that is never selected."""
    odd = {"type": "x", "odd": "one\ntwo caf\udce9", "long": "x" * (1 << 20)}
    stack.developers(f"services: {{web: {{{IDLE}, environment: [ROLE=front, EMPTY=, GONE]}}, db: {{{IDLE}}}}}")
    stack.ops(OPS)
    stack.remora("up")
    web = stack.container("web-1")
    by_id, by_service = stack.json("explain", web["Id"][:10]), stack.json("explain", "web")
    found = stack.json("explain", name(web))
    assert found == by_id == by_service
    assert words(found, "net") == (
        "for it",
        [f"its image `{DEBIAN}` fits `debian`, written as `debian`", "its env `ROLE` fits `ROLE=front`"],
        ["running"],
    )
    assert words(found, "data") == ("not for it", ["its service is `web`, not `db`"], [])
    assert words(found, "idle") == ("for it, but not attached in this environment", ["its service is `web`"], [])
    told = stack.remora("explain", "web")
    assert f"  + net (container, remora.yaml:4): for it\n      yes remora.yaml:4: its image `{DEBIAN}` fits `debian`" in told
    assert f"      now {name(web)}.net: running since " in told
    for given, why in (
        (f"{name(web)}.net", f"it is the sidekick `net` of `{stack.name}`, of the ops file {stack.folder}/remora.yaml, and a sidekick is"),
        (lone(stack, "lone", odd), f"it is of no stack, and this ops file is for `{stack.name}`: it gets no sidekick of it"),
        (lone(stack, "copy", stack.container("web-1.net")["Config"]["Labels"]), "it carries the labels of a sidekick, but remora did not"),
        (once(stack), "it is a one-off that `docker compose run` started, and no app container: it gets no sidekick"),
    ):
        assert stack.json("explain", given)[0]["never"].startswith(why), given
    assert stack.refused("explain", "wbe") == (
        f"remora: no container and no service `wbe`; there is `{stack.name}-db-1`, `{stack.name}-web-1`\n"
    )
    stack.ops(f"stack: '*'\nenvironments: {{prod: {{attach: [x]}}}}\nsidekicks: {{x: {{{BESIDE}, for: {{label: odd}}}}}}", "host.yaml")
    found = stack.json("explain", f"{stack.name}-lone", "--ops", "host.yaml")
    assert words(found, "x") == ("for it", ["its label is `odd`"], [])


def lone(stack: Stack, suffix: str, labels: dict[str, str]) -> str:
    """A container that nobody's Compose started."""
    body = {"Image": DEBIAN, "Labels": {key: value.encode(errors="replace").decode() for key, value in labels.items()}}
    stack.api.create_container_from_config(body, f"{stack.name}-{suffix}")
    return f"{stack.name}-{suffix}"


def once(stack: Stack) -> str:
    """A command that Compose runs once."""
    return stack.compose("run", "-d", "--name", f"{stack.name}-once", "web").strip()


def test_diff_tells_what_a_reload_would_do_and_does_nothing(stack: Stack) -> None:
    stack.developers(f"services: {{web: {{{IDLE}}}, db: {{{IDLE}}}}}")
    stack.attached(net="for: web, walls: {network: true}", old="for: db")
    stack.remora("up")
    assert stack.remora("diff", "--exit-code").endswith("a reload would\n  do nothing\n")
    stack.compose("rm", "-sf", "db")  # no app is started by a reload
    stack.attached(net="for: web, limits: {memory: 32m}", new="for: web")
    before = {each["Id"] for each in stack.containers()}
    found = stack.json("diff", "--exit-code", code=4)
    assert [(c["sign"], c["sidekick"], c["line"], c["words"]) for c in found["changes"]] == [
        ("~", "net", "remora.yaml:3", ["memory 64 MiB is now 32 MiB", "walls network is now none"]),
        ("+", "new", "remora.yaml:4", ["is not attached yet"]),
        ("-", "old", "", ["is not in the ops file any more"]),
    ]
    web = f"{stack.name}-web-1"
    assert [(a["action"], a["name"], a["why"]) for a in found["actions"]] == [
        ("detach", f"{stack.name}-db-1.old", "its app container is gone"),
        ("detach", f"{web}.net", "its definition changed"),
        ("attach", f"{web}.net", "remora.yaml:3"),
        ("attach", f"{web}.new", "remora.yaml:4"),
    ]
    assert {each["Id"] for each in stack.containers()} == before
    stack.ops("environments: {prod: {attach: [x]}}\n")
    assert stack.refused("diff") == "remora: remora.yaml:1: environments.prod.attach.0: no sidekick `x`; there is none\n"


def settled(stack: Stack, *sidekicks: str) -> None:
    """Wait until web has just these beside it."""
    wanted = [f"{stack.name}-web-1.{each}" for each in sidekicks]
    until(lambda: [name(each) for each in stack.sidekicks() if each["State"]["Running"]] == wanted, stack.why)


def test_the_ops_file_is_taken_up_as_it_changes(stack: Stack) -> None:
    """By writing, by renaming another over it, and on SIGHUP; a wrong one, and none at all, change nothing."""
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(one="for: web")
    stack.remora("up")
    file = stack.folder / "remora.yaml"
    with stack.watched():
        before = stack.lives()
        stack.attached(one="for: web", two="for: web")
        settled(stack, "one", "two")
        until(lambda: stack.said.count("remora.yaml changed, and is in force") == 1, stack.why)
        file.write_text(file.read_text().replace("kind: container", "kind: contaner"))
        wrong = (
            "remora: remora.yaml:3: sidekicks.one.kind: no kind `contaner`; did you mean `container`?; going on with the ops file as it was"
        )
        until(lambda: wrong in stack.said, stack.why)
        file.unlink()
        gone = "remora: remora.yaml: no ops file here; write one with `remora init`, or name it with --ops; going on"
        until(lambda: gone in stack.said, stack.why)
        stack.api.restart(f"{stack.name}-web-1")  # the old one is in force for what happens meanwhile
        settled(stack, "one", "two")
        stack.attached(two="for: web")
        file.rename(stack.folder / "new.yaml")
        (stack.folder / "new.yaml").replace(file)  # as editors do
        settled(stack, "two")
        stack.background[-1].send_signal(signal.SIGHUP)
        until(lambda: stack.said.count("remora.yaml changed, and is in force") >= 3, stack.why)
        settled(stack, "two")
        assert {key: life[0] for key, life in stack.lives().items()} == {key: life[0] for key, life in before.items()}
