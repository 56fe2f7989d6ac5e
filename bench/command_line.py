"""How long one waits for `--help`, for the plan of a large stack, and for `up` when there is nothing to do."""

from __future__ import annotations

import json
import statistics

from _figures import REMORA, figure, folder, quiet, seconds, side_by_side

SERVICES = 1000
SIDEKICK = {"kind": "container", "for": "*", "image": "debian:trixie-slim", "command": ["sleep", "infinity"], "walls": {"network": True}}


def help_text() -> None:
    figure("--help", statistics.median(seconds(lambda: quiet(REMORA, "--help")) for _ in range(11)) * 1000, 150, "ms")


def plan_of_many() -> None:
    """Our own share: what `remora plan` takes beyond `docker compose config` of the same file."""
    services = {f"s{n:04}": {"image": "debian:trixie-slim", "environment": {"N": str(n)}} for n in range(SERVICES)}
    ops = {"environments": {"prod": {"attach": ["a", "b", "c"]}}, "sidekicks": dict.fromkeys("abc", SIDEKICK)}
    with folder(compose=json.dumps({"name": "remora-bench-many", "services": services}), remora=json.dumps(ops)) as path:
        ours, config = side_by_side(
            lambda: quiet(REMORA, "plan", cwd=path), lambda: quiet("docker", "compose", "config", "--format", "json", cwd=path), 5
        )
    figure("plan-1000-services-own-share", (ours - config) / config, 0.25, "x", remark=f"plan {ours:.2f} s, config {config:.2f} s")


def up_with_nothing_to_do() -> None:
    app = {"image": "debian:trixie-slim", "init": True, "command": "sleep infinity"}
    ops = {"environments": {"prod": {"attach": ["a"]}}, "sidekicks": {"a": SIDEKICK}}
    compose = {"name": "remora-bench-up", "services": {f"s{n}": app for n in range(5)}}
    with folder(compose=json.dumps(compose), remora=json.dumps(ops)) as path:
        try:
            quiet(REMORA, "up", cwd=path)
            ours, theirs = side_by_side(lambda: quiet(REMORA, "up", cwd=path), lambda: quiet("docker", "compose", "up", "-d", cwd=path), 9)
        finally:
            quiet(REMORA, "down", cwd=path)
    figure("up-nothing-to-do", ours / theirs, 1.5, "x", remark=f"{ours * 1000:.0f} ms, compose {theirs * 1000:.0f} ms")


if __name__ == "__main__":
    help_text()
    plan_of_many()
    up_with_nothing_to_do()
