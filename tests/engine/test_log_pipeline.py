"""The log pipeline on a real engine, with real rsyslog receivers.

What is promised: a line that the engine keeps for as long as a killed reader needs to come back (under a second) arrives.
The engine's rotation is the bound: with `max-size=S max-file=N` it keeps the last S x (N - 1) bytes at least, and a container
that prints more than that while no reader is there loses the rest to the engine, whoever ships. At full speed here that
is about 10 MB a second for each container, so the proof rotates at 4 MB and keeps five files.
"""

from __future__ import annotations

import gzip
import json
import os
import time
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from docker.types import Mount
from logkit import WHOLE, Kit, account, authority, numbers, packed, until

pytestmark = pytest.mark.engine

SOAK = os.environ.get("REMORA_SOAK") == "1"
LINES = 333_334 if SOAK else 50_000  # of each of three containers
AWAY = 60.0 if SOAK else 5.0
PAUSE = 1.5 if SOAK else 0.3  # between two kills; the reader is back and has caught up before the next
ROTATED = {"max-size": "8m", "max-file": "5"}
SERVICES = ("rng", "hasher", "worker")


@pytest.mark.soak
def test_nothing_is_lost_with_relp(kit: Kit) -> None:
    kit.receiver("relp")
    reader, sender = kit.reader(spool={"bytes": 1 << 30}), kit.sender(f"relp://{kit.name('receiver')}:2514")
    for service in SERVICES:
        kit.printer(service, LINES, every=5, options=ROTATED)
    for each in (reader, sender, reader):
        time.sleep(PAUSE)
        kit.kill(each)
    kit.kill(kit.name("receiver"), away=AWAY)
    kit.kill(sender)
    counts = dict.fromkeys(SERVICES, LINES)
    until(lambda: kit.count() >= 3 * LINES and not account(kit.received(), counts)[0], 120)
    lost, again = account(kit.received(), counts)
    print(kit.status(), kit.said(reader), kit.said(sender)) if lost else None
    print(f"\nRELP: of {3 * LINES} lines {lost} lost, {again} twice; destination away for {AWAY:g} s")
    assert lost == 0


def test_every_line_says_where_it_is_from(kit: Kit) -> None:
    kit.receiver("tcp", WHOLE)
    kit.reader()
    kit.sender(f"syslog+tcp://{kit.name('receiver')}:514")
    kit.app("web", "import sys; print('tick [a] \"b\" \\\\ <c> \\u00e9\\tx'); print('tock', file=sys.stderr)", word="web-1")
    assert until(lambda: len(kit.received()) == 2)
    fields = {line.rsplit("|", 1)[1]: line.split("|") for line in kit.received()}
    tick = fields['tick [a] "b" \\ <c> é\tx']
    id = kit.api.inspect_container(kit.name("web-1"))["Id"][:12]
    engine_time = str(kit.api.logs(kit.name("web-1"), stderr=False, timestamps=True)).removeprefix("b'").split(" ")[0]
    assert tick[0] == "134" and fields["tock"][0] == "131"
    assert tick[2:5] == ["whale", "web", kit.name("web-1")]
    assert tick[1].rstrip("Z")[:19] == engine_time[:19]
    where = f'stack="{kit.ours["stack"]}" service="web" replica="1" container="{kit.name("web-1")}" id="{id}" stream="stdout"'
    assert tick[5].startswith(f'[remora@32473 {where} environment="prod" time="{engine_time.rstrip("Z").rstrip("0")}')


def test_long_messages_on_both_streams_are_joined(kit: Kit) -> None:
    code = (
        "import os, threading\n"
        "def say(fd, letter):\n"
        "    for i in range(20):\n"
        "        data = b'%c %02d ' % (letter, i) + bytes([letter]) * 40000 + b'\\n'\n"
        "        while data: data = data[os.write(fd, data[:5000]):]\n"
        "both = [threading.Thread(target=say, args=a) for a in ((1, 111), (2, 101))]\n"
        "[t.start() for t in both]; [t.join() for t in both]; os.write(1, b'no newline at the end')\n"
    )
    kit.receiver("relp", "%msg%")
    kit.reader()
    kit.sender(f"relp://{kit.name('receiver')}:2514")
    kit.app("web", code)
    wanted = {f"{letter} {i:02d} {letter * 40000}" for letter in "oe" for i in range(20)} | {"no newline at the end"}
    assert until(lambda: len(kit.received()) >= len(wanted)), kit.said(kit.name("reader"))
    assert sorted(kit.received()) == sorted(wanted)


def test_a_container_that_is_removed_at_once_arrives_whole(kit: Kit) -> None:
    count = 500_000 if SOAK else 100_000
    kit.receiver("relp")
    kit.reader()
    kit.sender(f"relp://{kit.name('receiver')}:2514")
    kit.printer("brief", count, auto_remove=True)
    assert until(lambda: len(kit.received()) >= count, 120)
    assert account(kit.received(), {"brief": count}) == (0, 0)


@pytest.mark.parametrize(
    "options", [{"max-size": "1m", "max-file": "4", "compress": "true"}, {"max-size": "200m", "labels": "a", "tag": "t"}]
)
def test_what_was_printed_before_arrives_too(kit: Kit, options: dict[str, str]) -> None:
    kit.wait(kit.printer("early", 20_000, options=options))
    time.sleep(1)
    kit.receiver("relp")
    kit.reader()
    kit.sender(f"relp://{kit.name('receiver')}:2514")
    assert until(lambda: len(kit.received()) >= 20_000)
    assert account(kit.received(), {"early": 20_000}) == (0, 0)


def test_a_driver_without_files_is_read_through_the_api(kit: Kit) -> None:
    count = 40_000
    kit.receiver("relp")
    reader = kit.reader("api")
    kit.sender(f"relp://{kit.name('receiver')}:2514")
    kit.printer("quiet", 10, driver="none")
    kit.printer("filed", 10)
    kit.printer("local", count, every=3, driver="local", options={"max-size": "20m"})
    kit.app("terminal", "print('x' * 40000); print('short')", driver="local", tty=True)
    for pause in (0.5, 0.1, 0.3):
        time.sleep(pause)
        kit.kill(reader)
    assert until(lambda: len(kit.received()) >= count + 2), kit.said(reader)
    assert account(kit.received(), {"local": count}) == (0, 0)
    assert {"terminal " + "x" * 40000, "terminal short"} <= {line.rstrip("\r") for line in kit.received()}
    assert len(kit.received()) == count + 2
    silent = f"container {kit.name('quiet')}: its logging driver is none: what it prints is kept nowhere"
    assert until(lambda: kit.status().get("faults") == [silent])


WRITER = """
import os, shutil, sys, time
n = 0
def write(file, count):
    global n
    for _ in range(count):
        print(f"app {n:07d} ......................", file=file)
        n += 1
    file.flush()
os.makedirs("/var/log/app", exist_ok=True)
log = "/var/log/app/a.log"
with open(log, "a") as file:
    write(file, 1000)
    for turn in range(5):                       # copytruncate, with lines written just before the copy
        time.sleep(0.7)
        write(file, 200)
        shutil.copy(log, f"{log}.{turn}")
        os.truncate(log, 0)
        write(file, 100)
for turn in range(5):                           # rename, and go on in the old file for a while
    file = open(log, "a")
    write(file, 500)
    os.rename(log, f"/var/log/app/old-{turn}")
    write(file, 100)
    time.sleep(0.3)
with open("/var/log/app/born-later.log", "wb") as file:
    file.write(b"app %07d bytes \\xff\\xfe that are no text\\n" % n)
    file.write(b"app %07d without newline" % (n + 1))
print(n + 2)
time.sleep(600)
"""


def test_files_of_an_app(kit: Kit) -> None:
    logs = kit.volume("logs")
    kit.receiver("relp")
    about = {"service": "web", "replica": "1", "container": "web-1", "paths": ["/files/var/log/app", "/files/var/log/app/*"]}
    mounts = [Mount("/files/var/log/app", logs, type="volume", read_only=True)]
    reader = kit.reader("files", settings=about, mounts=mounts, cap_add=["DAC_READ_SEARCH"])
    kit.sender(f"relp://{kit.name('receiver')}:2514")
    app = kit.app("web", WRITER, unbuffered=True, mounts=[Mount("/var/log/app", logs, type="volume")])
    for pause in (1.0, 2.5):
        time.sleep(pause)
        kit.kill(reader)
    assert until(lambda: kit.said(app).strip().isdigit())
    count = int(kit.said(app)) - 1
    assert until(lambda: not account([f"web {line}" for line in words(kit)], {"app": count})[0], 20), kit.said(reader)
    kit.stop(reader)
    assert until(lambda: not account([f"web {line}" for line in words(kit)], {"app": count + 1})[0], 10)
    assert account([f"web {line}" for line in words(kit)], {"app": count + 1}) == (0, 0)


def words(kit: Kit) -> list[str]:
    return [line.partition(" ")[2] for line in kit.received()]


def tls(kit: Kit, made: dict[str, bytes], destination: str, id: str = "d-1", **more: Any) -> str:
    """A sender with its secrets, which the engine mounts as files."""
    given = {f"/run/secrets/{name}": made[path] for name, path in (("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key"))}
    where = {name: f"/secrets/{name}" for name in ("ca", "cert", "key")}
    secrets = kit.volume(f"secrets-{id}")
    box = kit.create(f"box-{id}", ["true"], mounts=[Mount("/secrets", secrets, type="volume")], start=False)
    for path, content in given.items():
        kit.client.containers.get(box).put_archive("/secrets", packed(Path(path).name, content))
    mounts = [Mount("/secrets", secrets, type="volume", read_only=True)]
    return kit.sender(destination, id, f"sender-{id}", settings={"tls": where}, mounts=mounts, **more)


def test_with_tls_only_what_lay_in_the_socket_is_lost(kit: Kit) -> None:
    name = kit.name("receiver")
    made = authority(name)
    files = {"/tls/ca.pem": made["ca.pem"], "/tls/cert.pem": made["server.pem"], "/tls/key.pem": made["server.key"]}
    kit.receiver("tls", auth="x509/certvalid", files=files)
    reader = kit.reader()
    sender = tls(kit, made, f"syslog+tls://{name}:6514")
    count = 100_000 if SOAK else 20_000
    for turn, victim in enumerate((sender, reader, sender)):
        kit.printer(f"calm{turn}", count)
        time.sleep(0.3)
        kit.kill(victim)
    counts = {f"calm{turn}": count for turn in range(3)}
    assert until(lambda: kit.count() >= 3 * count and not account(kit.received(), counts)[0]), kit.said(sender)
    print(f"\nTLS: of {3 * count} lines 0 lost, {account(kit.received(), counts)[1]} twice; both killed")
    kit.printer("storm", count)
    time.sleep(0.5)
    kit.kill(name, away=2)
    until(lambda: not account(kit.received(), {"storm": count})[0], 20)
    lost, again = account(kit.received(), {"storm": count})
    gaps = sum(1 for a, b in pairwise(sorted(set(numbers(kit.received(), "storm")))) if b - a > 1)
    print(f"TLS: of {count} lines {lost} lost, {again} twice; the receiver killed")
    assert lost < 10_000 and gaps <= 1


def test_a_certificate_for_another_name_gets_nothing(kit: Kit) -> None:
    made = authority("somebody-else")
    files = {"/tls/ca.pem": made["ca.pem"], "/tls/cert.pem": made["server.pem"], "/tls/key.pem": made["server.key"]}
    kit.receiver("tls", files=files)
    kit.reader()
    tls(kit, made, f"syslog+tls://{kit.name('receiver')}:6514")
    kit.printer("web", 1000)
    assert until(lambda: bool(kit.status() and kit.status()["destinations"]["d-1"]["waiting_since"]), 20)
    assert kit.count() == 0


def test_files_are_rotated_and_compressed_and_lose_nothing(kit: Kit) -> None:
    count = 60_000
    out = kit.volume("out")
    kit.reader()
    settings = {"file": {"rotate": 1 << 20, "keep": 50, "compress": True}, "destination": "file:///srv/logs"}
    sender = kit.sender("file:///srv/logs", settings=settings, mounts=[Mount("/out", out, type="volume")])
    for service in ("web", "worker"):
        kit.printer(service, count)
    time.sleep(1)
    kit.kill(sender)
    assert until(lambda: len(set(filed(kit, sender, "web"))) == len(set(filed(kit, sender, "worker"))) == count), kit.said(sender)
    assert until(lambda: sum(name.endswith(".gz") for name in kit.files(sender, "/out")) > 10)
    assert all(len(data) <= (1 << 20) + 1000 for data in kit.files(sender, "/out").values())
    assert set(filed(kit, sender, "worker")) == set(range(count))
    assert kit.stop(sender) == 0


def filed(kit: Kit, sender: str, service: str) -> list[int]:
    """The numbers in a service's files, compressed or not."""
    found = []
    for name, data in kit.files(sender, "/out").items():
        if name.split("/")[-1].startswith(f"{service}.log"):
            try:
                text = gzip.decompress(data) if name.endswith(".gz") else data
            except (EOFError, zlib.error):
                continue  # just being compressed; the original is still there
            records = [json.loads(line) for line in text.splitlines() if line.endswith(b"}")]
            found += [int(record["log"].split()[1]) for record in records]
    return found


def test_no_more_files_are_kept_than_asked(kit: Kit) -> None:
    out = kit.volume("out")
    kit.reader()
    settings = {"file": {"rotate": 300_000, "keep": 3, "compress": True}}
    sender = kit.sender("file:///srv/logs", settings=settings, mounts=[Mount("/out", out, type="volume")])
    kit.printer("web", 20_000)
    assert until(lambda: kit.status().get("lines") == 20_000 and not kit.status()["destinations"]["d-1"]["waiting_bytes"])
    assert until(lambda: len(kit.files(sender, "/out")) == 4, 20)


def test_a_full_spool_drops_the_oldest_and_counts_them(kit: Kit) -> None:
    count = 60_000
    kit.reader(spool={"bytes": 4 << 20, "segment_bytes": 256 << 10})
    kit.wait(kit.printer("web", count))
    assert until(lambda: kit.status().get("lines") == count and kit.status()["spooled_bytes"] <= 4 << 20)
    dropped = kit.status()["dropped"]["lines"]
    kit.kill(kit.name("reader"))
    kit.receiver("relp")
    kit.sender(f"relp://{kit.name('receiver')}:2514")
    assert until(lambda: kit.count() >= count - dropped)
    time.sleep(1)
    assert account(kit.received(), {"web": count}) == (dropped, 0)
    assert kit.status()["dropped"]["lines"] == dropped > 0


def test_a_destination_that_is_away_is_named_and_the_reader_goes_on(kit: Kit) -> None:
    kit.reader(destinations=("d-1", "d-2"))
    kit.receiver("relp")
    kit.sender(f"relp://{kit.name('receiver')}:2514")
    away = kit.sender("relp://nobody.invalid:2514", "d-2", "away")
    kit.printer("web", 5000)
    assert until(lambda: kit.count() == 5000)
    assert until(lambda: bool(kit.status()["destinations"]["d-2"]["waiting_since"]), 20)
    assert kit.status()["destinations"]["d-1"] == {"waiting_bytes": 0, "waiting_since": None}
    assert "destination d-2 takes nothing" in kit.said(kit.name("reader"))
    assert kit.stop(away, 20) == 0


def test_a_full_disk_is_said_and_waited_for(kit: Kit) -> None:
    count = 60_000
    small = kit.volume("small", type="tmpfs", device="tmpfs", o="size=8m")
    kit.spool = small
    reader = kit.reader()
    kit.wait(kit.printer("web", count))
    assert until(lambda: "cannot write to the spool: No space left on device" in kit.said(reader))
    assert kit.api.inspect_container(reader)["RestartCount"] == 0
    kit.receiver("relp")
    kit.sender(f"relp://{kit.name('receiver')}:2514")
    assert until(lambda: kit.count() >= count, 90), (kit.said(reader), kit.count())
    assert account(kit.received(), {"web": count})[0] == 0
