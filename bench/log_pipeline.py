"""The log pipeline against bare rsyslog with the same two stages, side by side on the same 500,000 lines.

Ours: the reader, segments, and an rsyslog that sends them by RELP. Bare: an rsyslog that follows the engine's file, parses
its JSON, looks the container up and writes segments, and a second one that sends these by RELP; the settings are those
that lose nothing, for both. Counted are the seconds until a third rsyslog has all lines, and the CPU of both stages.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "engine"))

from _figures import figure
from docker.types import Mount
from logkit import Kit

LINES = 500_000
ROUNDS = 3
ID = "ab" * 32
LOOKUP = {
    "version": 1,
    "nomatch": "",
    "type": "string",
    "table": [{"index": ID, "value": "stack=bench service=web replica=1 container=web-1"}],
}

COMMON = """\
global(workDirectory="/spool/state-{name}" maxMessageSize="4m")
module(load="imfile" mode="inotify")
main_queue(queue.type="Direct")
"""
BARE_READER = COMMON.format(name="reader") + (
    'module(load="mmjsonparse")\n'
    'lookup_table(name="containers" file="/spool/lookup.json")\n'
    'template(name="path" type="string" string="/spool/bare/%$year%%$month%%$day%%$hour%%$minute%.log")\n'
    'template(name="line" type="string" string="<134>1 %$!time% whale web web-1 - [remora %$.about% stream=%$!stream%] %$!log%")\n'
    'ruleset(name="read" queue.type="Direct") {\n'
    '  action(type="mmjsonparse" cookie="")\n'
    "  set $.id = field($!metadata!filename, 47, 3);\n"
    '  set $.about = lookup("containers", $.id);\n'
    '  action(type="omfile" dynaFile="path" template="line" queue.type="Direct")\n'
    "}\n"
    'input(type="imfile" file="/engine/*/*-json.log" tag="x" ruleset="read" addMetadata="on"\n'
    '  persistStateInterval="0" persistStateAfterSubmission="on")\n'
)
BARE_SENDER = COMMON.format(name="sender") + (
    'module(load="omrelp")\n'
    'template(name="line" type="string" string="%rawmsg%")\n'
    'ruleset(name="send" queue.type="Direct") {{ action(type="omrelp" target="{to}" port="2514" template="line"\n'
    '  queue.type="Direct" action.resumeRetryCount="-1") }}\n'
    'input(type="imfile" file="/spool/bare/*.log" tag="x" ruleset="send"\n'
    '  persistStateInterval="0" persistStateAfterSubmission="on")\n'
)


class Bench(Kit):
    """One round of one of the two."""

    def prepare(self) -> None:
        """A folder as the engine's, with one container that has printed everything, in a volume."""
        self.engine = self.volume("engine")
        labels = {"com.docker.compose.project": f"stack-{self.run}", "com.docker.compose.service": "web"}
        config = {"Name": "/web-1", "Config": {"Image": "web", "Labels": labels, "Env": []}}
        text = "a line as long as many that web servers and workers print every day"
        log = "".join(
            f'{{"log":"web {n:07d} {text}\\n","stream":"stdout","time":"2026-01-31T12:00:{n // 10000:02d}.{n * 100:09d}Z"}}\n'
            for n in range(LINES)
        )
        files = {"config.v2.json": json.dumps(config), "hostconfig.json": '{"LogConfig":{"Type":"json-file"}}', f"{ID}-json.log": log}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(f"{ID}/{name}")
                info.size = len(content.encode())
                tar.addfile(info, io.BytesIO(content.encode()))
        box = self.create("box", ["true"], start=False, mounts=[Mount("/engine", self.engine, type="volume")])
        self.client.containers.get(box).put_archive("/engine", packed.getvalue())

    def run_ours(self) -> list[str]:
        mounts = [Mount("/engine", self.engine, type="volume", read_only=True)]
        select = {"stack": f"stack-{self.run}", "selectors": [{}]}
        common = {"stack": f"stack-{self.run}", "environment": "prod", "sidekick": "logs", "destinations": ["d-1"], "id": "d-1"}
        more = {"source": "engine", "select": select, "reader": "reader", "destination": f"relp://{self.name('receiver')}:2514"}
        reader = self.capped("reader", "read", {**common, **more}, mounts, network_mode="none")
        return [reader, self.capped("sender", "send", {**common, **more, "tls": {}}, [], network=self.network)]

    def run_bare(self) -> list[str]:
        mounts = [Mount("/spool", self.spool, type="volume"), Mount("/engine", self.engine, type="volume", read_only=True)]
        confs = {"reader": BARE_READER, "sender": BARE_SENDER.format(to=self.name("receiver"))}
        made = []
        for name, conf in confs.items():
            script = f"mkdir -p /spool/bare /spool/state-{name}; exec rsyslogd -n -iNONE -f /etc/bare.conf"
            files = {"/etc/bare.conf": conf.encode(), "/spool/lookup.json": json.dumps(LOOKUP).encode()}
            made.append(self.create(name, ["sh", "-c", script], files=files, mounts=mounts, network=self.network, mem_limit="64m"))
        return made

    def measured(self, start: Any) -> tuple[float, float, float]:
        """Seconds, CPU-seconds, and the most memory in MiB, until everything has arrived."""
        self.receiver("relp", line="x")
        time.sleep(1)
        began = time.monotonic()
        names = start()
        most = 0.0
        while self.size() < 2 * LINES:
            if time.monotonic() - began > 120:
                raise SystemExit("\n".join(self.said(name) for name in names))
            most = max(most, sum(self.memory(name) for name in names))
        took = time.monotonic() - began
        return took, sum(self.stats(name)["cpu_stats"]["cpu_usage"]["total_usage"] for name in names) / 1e9, most

    def size(self) -> int:
        made = self.api.exec_create(self.name("receiver"), ["stat", "-c", "%s", "/received.log"], stderr=False)
        said = self.api.exec_start(made["Id"]).decode().strip()
        return int(said) if said.isdigit() else 0

    def stats(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.stats(name, stream=False, one_shot=True)
        return found

    def memory(self, name: str) -> float:
        """Resident memory, without the page cache."""
        stats = self.stats(name)["memory_stats"].get("stats", {})
        return float(stats.get("rss", stats.get("anon", 0)) + stats.get("mapped_file", stats.get("file_mapped", 0))) / (1 << 20)


def one(which: str) -> tuple[float, float, float]:
    bench = Bench()
    try:
        bench.prepare()
        return bench.measured(bench.run_ours if which == "ours" else bench.run_bare)
    finally:
        bench.close()


def main() -> None:
    found: dict[str, list[tuple[float, float, float]]] = {"ours": [], "bare": []}
    for _ in range(ROUNDS):
        for which in found:
            found[which].append(one(which))
    ours, bare = ([statistics.median(each) for each in zip(*found[which], strict=True)] for which in ("ours", "bare"))
    speed = f"{LINES / ours[0]:.0f} lines/s, bare rsyslog {LINES / bare[0]:.0f}"
    cpu = f"{ours[1] / LINES * 1e5:.2f} CPU-s per 100,000 lines, bare rsyslog {bare[1] / LINES * 1e5:.2f}"
    figure("log pipeline, lines/s", bare[0] / ours[0], 0.9, "x bare", at_least=True, remark=speed)
    figure("log pipeline, CPU per line", bare[1] / ours[1], 0.9, "x bare", at_least=True, remark=cpu)
    figure("log pipeline, memory", ours[2], 32, "MiB", remark=f"bare rsyslog {bare[2]:.1f} MiB")


if __name__ == "__main__":
    main()
