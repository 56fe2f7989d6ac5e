"""How long one waits for `--help`, for the plan of a large stack, and for `up` when there is nothing to do."""

from __future__ import annotations

import json
import statistics

from _figures import REMORA, figure, folder, quiet, seconds, side_by_side

SERVICES = 1000
SIDEKICK = {"kind": "container", "for": "*", "image": "debian:trixie-slim", "command": ["sleep", "infinity"], "walls": {"network": True}}


def help_text() -> None:
    figure("--help", statistics.median(seconds(lambda: quiet(REMORA, "--help")) for _ in range(11)) * 1000, 150, "ms")


def service(number: int) -> dict[str, object]:
    """A service with what services usually have: ports, env, volumes, labels, a health check, limits, and somebody it needs."""
    return {
        "image": "debian:trixie-slim",
        "command": ["sh", "-c", "while sleep 60; do echo $$NAME; done"],
        "environment": {"NAME": f"s{number}", **{f"SETTING_{n}": f"value {n} of {number}" for n in range(8)}},
        "ports": [f"127.0.0.1:{20000 + number}:80"],
        "volumes": [f"data{number % 50}:/data", "./conf:/etc/conf:ro"],
        "labels": {"team": f"team{number % 7}", "tier": "back"},
        "healthcheck": {"test": ["CMD", "true"], "interval": "30s"},
        "deploy": {"resources": {"limits": {"memory": "256m"}}},
        "depends_on": [f"s{number - 1:04}"] if number % 10 else [],
        "restart": "unless-stopped",
    }


def plan_of_many() -> None:
    """Our own share: what `remora plan` takes beyond `docker compose config` of the same file."""
    services = {f"s{number:04}": service(number) for number in range(SERVICES)}
    compose = {"name": "remora-bench-many", "services": services, "volumes": {f"data{n}": {} for n in range(50)}}
    ops = {"environments": {"prod": {"attach": ["a", "b", "c"]}}, "sidekicks": dict.fromkeys("abc", SIDEKICK)}
    with folder(compose=json.dumps(compose), remora=json.dumps(ops)) as path:
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
