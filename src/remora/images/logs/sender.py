"""The sender's share of Python: writes rsyslog's configuration before it starts, and knows when everything is sent.

The settings are those that lose nothing: every queue is `Direct`, so nothing is held in memory, and imfile notes its
position only after what it read was handed over.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from bisect import bisect
from typing import Any
from urllib.parse import urlsplit

from remora.images.logs.senders import BACK, SOCKET, Sender, sizes
from remora.images.logs.spool import HEAD

PORTS = {"relp": 2514, "syslog+udp": 514, "syslog+tcp": 514, "syslog+tls": 6514}
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
ROTATE = "/opt/remora/images/logs/rotate.sh"
LARGEST = 2**31 - 1  # rsyslog keeps a file's size limit in an int
RETRY = 'action.resumeRetryCount="-1" action.resumeInterval="1" action.resumeIntervalMax="10"'
DATAGRAM = 60000  # bytes that fit one datagram

CONF = """\
global(workDirectory="{state}" maxMessageSize="4m" localHostname="{host}" net.enableDNS="off")
module(load="imfile" mode="inotify")
module(load="mmjsonparse")
main_queue(queue.type="Direct")
{before}
ruleset(name="send" queue.type="Direct") {{
  if $rawmsg startswith "#" then stop
{action}
}}
input(type="imfile" file="/spool/segments/*/*.jsonl" tag="remora" ruleset="send"
  persistStateInterval="0" persistStateAfterSubmission="on")
"""

# RFC 5424. Nearly every record has no backslash in its text and the engine's full time at its end: there all fields are
# where quotes are counted to, and taking them from there costs a third of parsing the record. What is odd is parsed.
PLAIN = {"stack": 4, "environment": 8, "service": 12, "replica": 16, "container": 20, "id": 24, "log": 28, "stream": 32, "time": 36}
ENDS = 'substring($rawmsg, strlen($rawmsg) - 48, 16) == "{stream}\\",\\"time\\":\\""'

CHOOSE = f"""\
  if $rawmsg contains "\\\\" then set $.way = "odd";
  else if {ENDS.format(stream="stdout")} then set $.line = exec_template("stdout");
  else if {ENDS.format(stream="stderr")} then set $.line = exec_template("stderr");
  else set $.way = "odd";
  if $.way == "odd" then {{
    action(type="mmjsonparse" cookie="")
    set $.priority = "134";
    if $!stream == "stderr" then set $.priority = "131";
    set $.time = $!time;
    if strlen($!time) > 27 then set $.time = substring($!time, 0, 26) & "Z";
    set $.line = exec_template("odd");
  }}
"""


def template(name: str, host: str, priority: str, time: str, fields: dict[str, str]) -> str:
    """A message from the properties that `fields` names."""
    where = ("stack", "service", "replica", "container", "id", "stream", "environment", "time")
    data = "".join(f' constant(value="{" " if n else ""}{key}=\\"") {fields[key]} constant(value="\\"")\n' for n, key in enumerate(where))
    return (
        f'template(name="{name}" type="list") {{ constant(value="<") {priority} constant(value=">1 ") {time} constant(value=" {host} ")\n'
        f' {fields["service"]} constant(value=" ") {fields["container"]} constant(value=" - [remora@32473 ")\n'
        f'{data} constant(value="] ") {fields["log"]} }}\n'
    )


def syslog(host: str, most: int) -> str:
    """The templates for records of both streams, and for odd ones; `most` bytes of a text, 0 for all."""
    parsed = {key: f'property(name="$!{key}")' for key in PLAIN}
    plain = {key: f'property(name="rawmsg" field.number="{number}" field.delimiter="34")' for key, number in PLAIN.items()}
    time = 'property(name="rawmsg" position.from="32" position.to="7" position.relativeToEnd="on") constant(value="Z")'
    return "".join(
        (
            template("stdout", host, 'constant(value="134")', time, plain),
            template("stderr", host, 'constant(value="131")', time, plain),
            template("odd", host, 'property(name="$.priority")', 'property(name="$.time")', parsed),
            'template(name="line" type="list") { property(name="$.line"'
            + (f' position.from="1" position.to="{most}"' if most else "")
            + ") }",
        )
    )


def render(settings: dict[str, Any], host: str, root: str = "/spool") -> str:
    """rsyslog's configuration for a destination."""
    url = urlsplit(settings["destination"])
    state = os.path.join(root, "state", settings["id"])
    if url.scheme == "file":
        return CONF.format(state=state, host=host, before=FILES, action=files(settings))
    target = f'target="{url.hostname}" port="{url.port or PORTS[url.scheme]}" template="line" queue.type="Direct" {RETRY}'
    before = syslog(host, DATAGRAM if url.scheme == "syslog+udp" else 0) + ('\nmodule(load="omrelp")' if url.scheme == "relp" else "")
    ways = {
        "relp": f'action(type="omrelp" {target} timeout="10")',
        "syslog+udp": f'action(type="omfwd" protocol="udp" {target})',
        "syslog+tcp": f'action(type="omfwd" protocol="tcp" {target} {STREAM})',
        "syslog+tls": f'action(type="omfwd" protocol="tcp" {target} {STREAM} {tls(settings["tls"], url.hostname or "")})',
    }
    return CONF.format(state=state, host=host, before=before, action=f"{CHOOSE}  {ways[url.scheme]}")


STREAM = 'TCP_Framing="octet-counted" KeepAlive="on" ResendLastMSGOnReconnect="on"'

FILES = """\
template(name="path" type="string" string="/out/%msg:F,34:4:secpath-replace%/%msg:F,34:12:secpath-replace%.log")
template(name="line" type="string" string="%msg%\\n")"""


def files(settings: dict[str, Any]) -> str:
    """One file a service. Where stack and service stand in a record is fixed, and no quotes are in them."""
    limit = min(settings["file"]["rotate"], LARGEST)
    return (
        f'  action(type="omfile" dynaFile="path" template="line" queue.type="Direct" {RETRY} dynaFileCacheSize="200"\n'
        f'    dirCreateMode="0755" fileCreateMode="0644" rotation.sizeLimit="{limit}"\n'
        f'    rotation.sizeLimitCommand="{ROTATE} {limit} {settings["stack"]}")'
    )


def tls(given: dict[str, str], host: str) -> str:
    """The destination must show a certificate for its name; ours is shown where there is one."""
    own = "".join(f' StreamDriver.{key}File="{given[name]}"' for key, name in (("Cert", "cert"), ("Key", "key")) if name in given)
    return (
        f'StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="{host}" '
        f'StreamDriver.CAFile="{given.get("ca", SYSTEM_CA)}"{own}'
    )


# ---- positions ----


# What was under way when a sender was killed, and nobody has: lines that RELP's receiver did not confirm, and what lay in the
# socket of a TLS connection. (A killed sender's kernel goes on sending what the socket holds, unless something came in that was
# not read: then it resets the connection and drops it all. With TLS 1.3 there is such a thing, the server's session tickets.)
UNDER_WAY = {"relp": (BACK, 0), "syslog+tls": (0, SOCKET)}  # lines, bytes


def rewind(folder: str, segments: dict[str, int], lines: int, size: int) -> None:
    """Go back, in every reader's segments, by as many `lines` and as many bytes."""
    sender = Sender(folder)
    sender.look()
    states = {path: name for name, (path, _, _) in sender.seen.items()}
    for reader in {os.path.dirname(path) for path in segments}:
        left = (lines, size)
        for path in sorted((path for path in states if os.path.dirname(path) == reader and path in segments), reverse=True):
            offset, left = back(path, sender.sent[path], *left)
            place(os.path.join(folder, states[path]), offset)
            if left <= (0, 0):
                break


def back(path: str, offset: int, lines: int, size: int) -> tuple[int, tuple[int, int]]:
    """The offset so many lines and bytes before `offset`, and how many of both are missing to that."""
    with open(path, "rb") as file:
        ends = [found.end() for found in re.finditer(b"\n", file.read(offset))]
    by_lines, by_size = len(ends) - lines - 1, bisect(ends, offset - size) - 1
    if (first := min(by_lines, by_size)) > 0:
        return ends[first], (0, 0)
    return min(HEAD, offset), (max(0, -by_lines), max(0, size - (offset - HEAD)))


def place(state: str, offset: int) -> None:
    """Write an offset into a state file of imfile."""
    with open(state, "rb") as file:
        text = re.sub(rb'("(?:curr|strt)_offs": *)\d+', rb"\g<1>%d" % offset, file.read())
    text = re.sub(rb', *"prev_(?:line|msg)_segment": *"(?:[^"\\]|\\.)*"', b"", text)
    with open(state + ".new", "wb") as file:
        file.write(text)
    os.rename(state + ".new", state)


def left(root: str, id: str) -> int:
    """Bytes that are not sent yet."""
    sender = Sender(os.path.join(root, "state", id))
    sender.look()
    return sum(max(0, size - max(HEAD, sender.sent.get(path, 0))) for path, size in sizes(os.path.join(root, "segments")).items())


# ---- what run.sh calls ----


def prepare(settings: dict[str, Any], run: str, root: str = "/spool", out: str = "/out") -> None:
    if settings["destination"].startswith("file:"):
        check(settings["destination"], out, os.path.join(out, settings["stack"]))
    state = os.path.join(root, "state", settings["id"])
    segments = os.path.join(root, "segments")
    os.makedirs(state, exist_ok=True)
    os.makedirs(segments, exist_ok=True)
    done = os.path.join(state, DONE)
    if os.path.exists(done):
        os.unlink(done)
    else:
        rewind(state, sizes(segments), *UNDER_WAY.get(settings["destination"].partition(":")[0], (0, 0)))
    host = os.environ.get("HOSTNAME_OF_ENGINE") or os.environ.get("HOSTNAME") or "-"
    write(os.path.join(run, "rsyslog.conf"), render(settings, re.sub(r"[^!-~]", "_", host)))
    if settings["destination"].startswith("file:"):
        kept = settings["file"]
        write(os.path.join(run, "keep"), f"{kept['keep']} {'gz' if kept['compress'] else 'plain'} {settings['stack']}\n")


def check(destination: str, *folders: str) -> None:
    """Better no sender than one that throws away what it cannot write, as omfile does where it cannot open a file."""
    for folder in folders:
        if os.path.exists(folder) and not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
            why = "is not for root to write in" if os.path.isdir(folder) else "is no folder"
            sys.exit(f"sender: {destination}: {folder} {why}; what is printed waits in the spool")


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


DONE = "all-sent"  # a file that says that nothing was under way when the sender was stopped


def drain(settings: dict[str, Any], root: str = "/spool") -> bool:
    """Wait until everything is sent and has left the socket, but not for ever."""
    end = time.monotonic() + settings.get("drain_seconds", 10)
    while left(root, settings["id"]) or unacknowledged():
        if time.monotonic() > end:
            print(f"sender: {settings['destination']} did not take everything; the rest waits in the spool", file=sys.stderr)
            return False
        time.sleep(0.1)
    write(os.path.join(root, "state", settings["id"], DONE), "")
    return True


def unacknowledged(tables: tuple[str, ...] = ("/proc/net/tcp", "/proc/net/tcp6")) -> int:
    """Bytes that our connections hold for their other ends: the network is the sender's own."""
    rows = [line.split() for table in tables if os.path.exists(table) for line in read(table).splitlines()[1:]]
    return sum(int(row[4].partition(":")[0], 16) for row in rows if row[3] == "01")


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def main() -> None:
    settings = json.loads(os.environ["REMORA_LOGS"])
    match sys.argv[1:]:
        case ["render", run]:
            prepare(settings, run)
        case ["drain"]:
            sys.exit(0 if drain(settings) else 1)
        case _:
            sys.exit("render FOLDER, or drain")


if __name__ == "__main__":
    main()
