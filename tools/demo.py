"""The demo: `examples/coins` in `prod`, on one screen; then `demo.py down` ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
COINS = ROOT / "examples" / "coins"
REMORA = str(ROOT / ".venv" / "bin" / "remora")
FILES = "/tmp/remora-coins"  # where the ops file's file:// destinations are, on the engine's host
PORT = os.environ.get("COINS_PORT", "8000")
REQUESTS = 300


def main() -> int:
    os.chdir(COINS)
    os.environ["REMORA_ENVIRONMENT"] = "prod"
    return down() if sys.argv[1:] == ["down"] else up()


def up() -> int:
    slow("building the example's images", "docker", "compose", "build")
    slow("starting a log server, somebody else's", "docker", "compose", "-f", "logserver/compose.yaml", "up", "-d", "--build")
    title("The plan: what remora will do, before it does it", "remora plan -e prod")
    run(REMORA, "plan")
    slow("doing it: remora up -e prod", REMORA, "up", "--quiet")
    wait_for(answers, "the app to answer")
    wait_for(arrived, "the first lines to arrive")
    title("App containers and their sidekicks", "remora status -e prod")
    run(REMORA, "status")
    title("Lines at the file destination", f"{FILES}, on the engine's host")
    print(shortened(at_files()))
    title("The same lines at the log server, by RELP", "docker compose -f logserver/compose.yaml exec logserver tail /var/log/received.log")
    print(shortened(at_server()))
    killed = kill_while_asking("coins.logs.reader")
    title("Is the app in prod the one of dev?", "remora parity dev prod")
    parity = run(REMORA, "parity", "dev", "prod")
    look_around()
    return parity or int(not killed)


def kill_while_asking(sidekick: str) -> bool:
    """Kill a sidekick in the middle of a run of requests; whether all were answered."""
    title(f"Killing {sidekick} while the app is asked {REQUESTS} times", f"docker kill {sidekick}")
    threading.Timer(0.2, lambda: output("docker", "kill", sidekick)).start()
    failed = sum(not answers() for _ in range(REQUESTS))
    output(REMORA, "attach", "--quiet")
    state = output("docker", "inspect", "-f", "{{.State.Status}} since {{.State.StartedAt}}", sidekick)
    print(f"{REQUESTS} requests, {failed} failed; {sidekick} is {state.strip()}")
    return not failed


def look_around() -> None:
    title("It is left running. Look around:")
    host = os.environ.get("DOCKER_HOST")
    print("  cd examples/coins")
    if host:
        print(f"  export DOCKER_HOST={host}")
    print("  export PATH=$PWD/../../.venv/bin:$PATH REMORA_ENVIRONMENT=prod")
    print(f"  http://localhost:{PORT}          the app")
    print("  remora status                   what is attached")
    print("  remora watch                    keep it true; try `docker compose up -d --scale worker=4 --no-recreate` beside it")
    print("  remora logs probe               what a sidekick says")
    print("  make demo-down                  end it, from the checkout's folder")


def down() -> int:
    slow("remora down", REMORA, "down", "--volumes")
    slow("ending the log server", "docker", "compose", "-f", "logserver/compose.yaml", "down", "--volumes")
    folder = Path(FILES)
    output("docker", "run", "--rm", "-v", f"{folder.parent}:/host", "debian:trixie-slim", "rm", "-rf", f"/host/{folder.name}")
    return 0


def answers() -> bool:
    try:
        with urllib.request.urlopen(f"http://localhost:{PORT}/json", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def arrived() -> bool:
    return "worker" in at_files() and "worker" in at_server()


def at_files() -> str:
    mount = f"{FILES}:/logs:ro"
    return output(
        "docker", "run", "--rm", "-v", mount, "debian:trixie-slim", "bash", "-c", "tail -qn 2 /logs/coins/*.log /logs/access/coins/*.log"
    )


def at_server() -> str:
    return output(
        "docker", "compose", "-f", "logserver/compose.yaml", "exec", "-T", "logserver", "tail", "-n", "4", "/var/log/received.log"
    )


def wait_for(ready, what: str) -> None:
    """Wait up to a minute, saying for what."""
    until = time.monotonic() + 60
    print(f"waiting for {what} ...", file=sys.stderr)
    while not ready():
        if time.monotonic() > until:
            sys.exit(f"waited a minute for {what} in vain; see `docker ps -a` and `remora status`")
        time.sleep(0.5)


def title(words: str, how: str = "") -> None:
    bold, dim, plain = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
    print(f"\n{bold}== {words}{plain}" + (f"  {dim}({how}){plain}" if how else ""), flush=True)


def shortened(text: str) -> str:
    return "\n".join(line if len(line) < 160 else line[:157] + "..." for line in text.splitlines())


def run(*words: str) -> int:
    return subprocess.run(words).returncode


def output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True).stdout


def slow(what: str, *words: str) -> None:
    """Run something long: how long it takes is shown, its output only when it fails."""
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
    reader.start()
    live = sys.stderr.isatty()
    if not live:
        print(f"{what} ...", file=sys.stderr)
    while process.poll() is None:
        if live:
            print(f"\r\033[K{what} ... {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True)
        time.sleep(0.2)
    reader.join()
    print(done(what, began, live), file=sys.stderr)
    if process.returncode:
        sys.exit("".join(said[-30:]) + f"\n{what}: failed")


def done(what: str, began: float, live: bool) -> str:
    erase = "\r\033[K" if live else ""
    return f"{erase}{what}: {time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
