"""Who else is on the engine: strangers with remora's labels, what a sidekick started, other remoras. None is touched or selected."""

from __future__ import annotations

from typing import Any

import pytest
from stackkit import BESIDE, DEBIAN, IDLE, Stack, name, until

pytestmark = pytest.mark.engine


def foreign(stack: Stack, suffix: str, labels: dict[str, str] | None = None, **host: Any) -> str:
    """A container that remora did not make, and that runs."""
    config = stack.api.create_host_config(init="pid_mode" not in host, **host)
    made = stack.api.create_container(DEBIAN, "sleep infinity", labels=labels or {}, name=f"{stack.name}-{suffix}", host_config=config)
    stack.api.start(made["Id"])
    return str(made["Id"])


def ids(stack: Stack) -> dict[str, str]:
    return {name(each): each["Id"] for each in stack.containers()}


@pytest.fixture
def stack(stack: Stack) -> Stack:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(probe="for: '*', walls: {network: true}")
    stack.remora("up")
    return stack


@pytest.mark.podman
@pytest.mark.parametrize("stack_of", ["", "stack: '*'\n"], ids=["watched as a stack", "watched as a host"])
def test_labels_that_a_stranger_forged_lead_to_nothing(stack: Stack, stack_of: str) -> None:
    """Each label of a sidekick alone, all of them, and those that say otherwise whom it is beside."""
    if stack_of:
        stack.remora("down")
        stack.compose("up", "-d")
        stack.ops(
            f"{stack_of}environments: {{prod: {{attach: [probe]}}}}\nsidekicks: {{probe: {{{BESIDE}, for: {{name: '{stack.name}-*'}}}}}}"
        )
        stack.remora("attach")
    real = stack.container("web-1.probe")["Config"]["Labels"]
    labels = {key: value for key, value in real.items() if key.startswith("remora.")}
    claims = {f"all-{number}": {**labels, **more} for number, more in enumerate(({}, {"remora.parent": "0" * 64}, {"remora.spec": "0"}))}
    claims |= {f"one-{number}": {key: labels[key], "com.docker.compose.project": stack.name} for number, key in enumerate(labels)}
    with stack.watched():
        for suffix, each in claims.items():
            foreign(stack, suffix, each)
        before = ids(stack)
        fresh = foreign(stack, "fresh", {"com.docker.compose.project": stack.name, "com.docker.compose.service": "web"})
        until(lambda: f"{stack.name}-fresh.probe" in ids(stack), stack.why)  # an honest one beside them is answered
    assert ids(stack) == {**before, f"{stack.name}-fresh": fresh, f"{stack.name}-fresh.probe": ids(stack)[f"{stack.name}-fresh.probe"]}
    faults = stack.json("status")["faults"]
    for suffix, each in claims.items():
        what = "the labels of a sidekick" if "remora.sidekick" in each else f"`{next(iter(each))}`"
        overlay = "remora.sidekick" in each and "com.docker.compose.project" in each  # as one that Compose started out of an overlay
        said = f"container `{stack.name}-{suffix}` carries {what}, but remora did not make it: it is left alone, and gets no sidekick"
        assert (said in faults) is not overlay, (said, faults)
        assert stack.json("explain", f"{stack.name}-{suffix}")[0]["never"]
    stack.remora("detach")
    assert ids(stack) == {key: value for key, value in ids(stack).items() if not key.endswith(".probe")}
    assert set(claims) <= {each.removeprefix(f"{stack.name}-") for each in ids(stack)}


@pytest.mark.podman
def test_a_stranger_that_took_name_and_labels_is_left_alone(stack: Stack) -> None:
    real = stack.container("web-1.probe")
    stack.remora("detach")
    theirs = foreign(stack, "web-1.probe", real["Config"]["Labels"])
    said = f"container `{stack.name}-web-1.probe` carries the labels of a sidekick, but remora did not make it"
    assert any(each.startswith(said) for each in stack.json("status")["faults"])
    taken = f"a container that is not remora's has the name `{stack.name}-web-1.probe`; rename it, or the sidekick"
    assert taken in stack.refused("attach")
    with stack.watched():
        until(lambda: taken in stack.said, stack.why)
    stack.remora("detach")
    assert ids(stack)[f"{stack.name}-web-1.probe"] == theirs
    stack.compose("up", "-d", "--force-recreate")
    stack.remora("down")
    assert ids(stack) == {f"{stack.name}-web-1.probe": theirs}


HOST = """
    stack: "*"
    environments: {{prod: {{attach: [wide]}}}}
    sidekicks:
      wide: {{{beside}, for: {{name: "{name}-*"}}, walls: {{network: true}}}}
"""


@pytest.mark.podman
def test_no_sidekick_is_beside_a_sidekick_nor_beside_what_one_started(stack: Stack) -> None:
    """Two remoras, one of the stack and one of the whole host, each with a state of its own; and helpers of a sidekick of each."""
    stack.ops(HOST.format(beside=BESIDE, name=stack.name), "host.yaml")
    with stack.watched(), stack.watched("--ops", "host.yaml", REMORA_STATE=str(stack.folder / "other")):
        until(lambda: f"{stack.name}-web-1.wide" in ids(stack), stack.why)
        there = ids(stack)
        for beside in ("probe", "wide"):
            mode = f"container:{there[f'{stack.name}-web-1.{beside}']}"
            first = foreign(stack, f"{beside}-helper", network_mode=mode)
            foreign(stack, f"{beside}-helper-of-a-helper", network_mode=f"container:{first}")
            foreign(stack, f"{beside}-toolbox", pid_mode=mode)
            foreign(stack, f"{beside}-by-label", {"remora.helper": beside})
        helped = [each for each in ids(stack) if "-helper" in each or "-toolbox" in each or "-by-label" in each]
        foreign(stack, "honest")
        until(lambda: f"{stack.name}-honest.wide" in ids(stack), stack.why)
        expected = {*there, *helped, f"{stack.name}-honest", f"{stack.name}-honest.wide"}
        assert set(ids(stack)) == expected
        explained = stack.json("explain", f"{stack.name}-wide-toolbox", "--ops", "host.yaml")[0]["never"]
        assert explained == (
            f"it shares the namespaces of the sidekick `{stack.name}-web-1.wide`: it is a helper of it, and gets no sidekick"
        )
        assert "a sidekick is never selected" in stack.json("explain", f"{stack.name}-web-1.probe", "--ops", "host.yaml")[0]["never"]
        if not stack.podman:  # which removes no container that another shares with
            stack.remora("detach")  # the helpers of what is gone are orphans, and nobody's app containers either
            foreign(stack, "late")
            until(lambda: f"{stack.name}-late.wide" in ids(stack), stack.why)
            beside_app = {f"{stack.name}-web-1.probe"}
            assert set(ids(stack)) - beside_app == {*expected, f"{stack.name}-late", f"{stack.name}-late.wide"} - beside_app
        assert stack.json("plan", "--ops", "host.yaml")["actions"] == []
    for each in helped:  # Podman removes them in this order alone
        stack.api.remove_container(each, force=True) if "of-a-helper" in each else None
    for each in helped:
        stack.api.remove_container(each, force=True) if "of-a-helper" not in each else None
    stack.remora("detach", "--ops", "host.yaml")
    assert not [each for each in ids(stack) if each.endswith(".wide")]
