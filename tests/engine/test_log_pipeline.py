"""The log pipeline on a real engine, with real rsyslog receivers.

What is promised: a line that the engine keeps for as long as a killed reader needs to come back (under a second) arrives.
The engine's rotation is the bound: with `max-size=S max-file=N` it keeps the last S x (N - 1) bytes at least, and a container
that prints more than that while no reader is there loses the rest to the engine, whoever ships. At full speed here that
is about 10 MB a second for each container, so the proof rotates at 4 MB and keeps five files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from docker.types import Mount
from logkit import WHOLE, Kit, account, until

pytestmark = pytest.mark.engine

SOAK = os.environ.get("REMORA_SOAK") == "1"
LINES = 333_334 if SOAK else 50_000  # of each of three containers
AWAY = 60.0 if SOAK else 5.0
ROTATED = {"max-size": "4m", "max-file": "5"}
SERVICES = ("rng", "hasher", "worker")


@pytest.fixture
def kit() -> Iterator[Kit]:
    made = Kit()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.soak
def test_nothing_is_lost_with_relp(kit: Kit) -> None:
    kit.receiver("relp")
    reader, sender = kit.reader(spool={"bytes": 1 << 30}), kit.sender(f"relp://{kit.name('receiver')}:2514")
    for service in SERVICES:
        kit.printer(service, LINES, every=5, options=ROTATED)
    for each in (reader, sender, reader):
        time.sleep(0.3)
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
