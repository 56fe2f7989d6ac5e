"""What sidekicks cost the app: p99 of `examples/coins` with all of its sidekicks attached, and with none, in turns.

One connection asks for `/json`, which asks Redis, at a steady 300 requests a second, while the workers mine and log. Each
round attaches, measures, detaches, measures; the ratio is that of the medians over all rounds.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import time
from pathlib import Path

from _figures import REMORA, ROOT, figure, folder, quiet

NAME = "remora-bench-latency"
PORT = 8097
RATE, SECONDS, ROUNDS = 300, 8, 6
COINS = ROOT / "examples" / "coins"


def compose() -> str:
    """The coin mine and a log server, under a name and a port of their own."""
    log_server = {"build": str(COINS / "logserver")}
    return json.dumps({"name": NAME, "include": [str(COINS / "compose.yaml")], "services": {"logserver": log_server}})


def ops() -> str:
    """What coins has in prod, with destinations of our own."""
    text = (COINS / "remora.yaml").read_text()
    for ours, theirs in (("/tmp/remora-coins", f"/tmp/{NAME}"), ("network: logserver", f"network: {NAME}_default")):
        text = text.replace(ours, theirs)
    return text


def latencies() -> list[float]:
    """Seconds of each request. Those that are late are counted from when they were due, so that a stall counts in full."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    found = []
    began = time.perf_counter()
    for number in range(RATE * SECONDS):
        due = began + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        connection.request("GET", "/json")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        found.append(time.perf_counter() - due)
    return found


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def settle() -> None:
    """Until the app answers, and a little longer for what has just started."""
    for _ in range(100):
        try:
            latencies_of_one()
            break
        except (OSError, AssertionError, http.client.HTTPException):
            time.sleep(0.2)
    time.sleep(3)


def latencies_of_one() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    connection.request("GET", "/json")
    assert connection.getresponse().status == 200


def measure(path: Path) -> tuple[float, float]:
    """Median p99 with and without."""
    quiet(REMORA, "up", cwd=path)
    pairs = []
    for _ in range(ROUNDS):
        quiet(REMORA, "attach", cwd=path)
        settle()
        attached = p99(latencies())
        quiet(REMORA, "detach", cwd=path)
        settle()
        pairs.append((attached, p99(latencies())))
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def main() -> None:
    os.environ.update(COINS_PORT=str(PORT), REMORA_ENVIRONMENT="prod")
    with folder(compose=compose(), remora=ops()) as path:
        try:
            attached, bare = measure(path)
        finally:
            quiet(REMORA, "down", "--volumes", cwd=path)
            quiet("docker", "run", "--rm", "-v", "/tmp:/host", "debian:trixie-slim", "rm", "-rf", f"/host/{NAME}")
    figure("app p99, all sidekicks", attached / bare, 1.10, "x", remark=f"{attached * 1e3:.2f} ms, without {bare * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
