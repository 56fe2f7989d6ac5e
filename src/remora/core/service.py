"""The watcher and the guard as services: the text of their systemd units, and of the Compose file that runs the watcher in a container."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ruamel.yaml import YAML

GUARD = "/run/remora-guard/engine.sock"  # where the guard's service listens
GUARDED = "remora"  # the group that may use it
NOBODY = 65532  # whom the watcher runs as in a container


@dataclass(frozen=True)
class Service:
    """What runs, and with what."""

    name: str
    command: Sequence[str]  # words, the program first
    group: str  # that may use the engine's socket
    folder: str = "/"  # where it starts
    secrets: tuple[str, ...] = ()  # variables that the ops file takes secrets from
    home: bool = False  # what it reads lies in somebody's home


HEAD = """\
# Made by `remora install`. As root, save it as /etc/systemd/system/{name}.service, then:
{before}#   systemctl daemon-reload && systemctl enable --now {name}
[Unit]
Description=remora: {description}
Documentation=https://github.com/remora/remora
After={after}
Wants={after}
StartLimitIntervalSec=0

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=5
"""

WALLS = """\
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=pid
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
TasksMax=1024
"""

END = """\

[Install]
WantedBy=multi-user.target
"""

WATCH = """\
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={folder}
DynamicUser=yes
SupplementaryGroups={group}
StateDirectory={name}
Environment=HOME=%S/{name} REMORA_STATE=%S/{name}
EnvironmentFile=-/etc/remora/{name}.env
ProtectHome={home}
PrivateUsers=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
MemoryMax=512M
UMask=0077
"""

MEMBERS = """\
#   groupadd --system {group}    # whoever is in it may use the guard
#   useradd --system --gid {group} --no-create-home remora-guard
"""

GUARDING = """\
User=remora-guard
Group={group}
SupplementaryGroups={engine}
RuntimeDirectory=remora-guard
RuntimeDirectoryPreserve=yes
ProtectHome=yes
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
MemoryMax=256M
UMask=0077
"""


def watching(service: Service, guarded: bool) -> str:
    """The unit of a watcher; `guarded` says that a guard's service stands before its engine."""
    needs = [f"{name}=…" for name in service.secrets]
    before = f"#   its secrets, readable by root alone, in /etc/remora/{service.name}.env: {' '.join(needs)}\n" if needs else ""
    home = "read-only" if service.home else "yes"
    head = headed(
        service, before, f"keeps true what the ops file in {service.folder} says", "remora-guard.service" if guarded else "docker.service"
    )
    return head + WATCH.format(folder=escaped(service.folder), group=service.group, name=service.name, home=home) + WALLS + END


def guarding(service: Service, group: str) -> str:
    """The unit of a guard, whose socket is for `group`."""
    head = headed(service, MEMBERS.format(group=group), "stands before the engine's socket", "docker.service")
    return head + GUARDING.format(group=group, engine=service.group) + WALLS + END


def headed(service: Service, before: str, description: str, after: str) -> str:
    command = " ".join(quoted(word) for word in service.command)
    return HEAD.format(name=service.name, before=before, description=escaped(description), after=after, command=command)


def escaped(text: str) -> str:
    """Text for a unit, in which percent signs stand for what systemd knows."""
    return text.replace("%", "%%")


def quoted(word: str) -> str:
    """A word of a command line in a unit."""
    safe = escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return safe if re.fullmatch(r"[\w@%+=:,./$-]+", safe, re.ASCII) else f'"{safe}"'


BOX = """\
# Made by `remora install`. `remora images build --only watch` makes its image; start it with `docker compose -f FILE up -d`{needs}.
"""


def contained(service: Service, image: str, socket: str) -> str:
    """The Compose file that runs a watcher in a container, to which what it reads has the path that it has on the host.

    `socket` is the engine's, or the folder that it lies in: then one that is made anew is seen.
    """
    watch = {
        "image": image,
        "pull_policy": "never",
        "command": [literal(word) for word in service.command],
        "working_dir": literal(service.folder),
        "restart": "unless-stopped",
        "init": True,
        "user": f"{NOBODY}:{NOBODY}",
        "group_add": [service.group],
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": "512m",
        "cpus": 1.0,
        "pids_limit": 256,
        "tmpfs": ["/tmp"],
        "environment": list(service.secrets),
        "volumes": [bind(service.folder), bind(socket), {"type": "volume", "source": "state", "target": "/state"}],
    }
    out = io.StringIO()
    yaml = YAML()
    yaml.width = 4096
    yaml.dump(
        {"name": service.name, "services": {"watch": {key: value for key, value in watch.items() if value}}, "volumes": {"state": {}}}, out
    )
    needs = f", with {', '.join(service.secrets)} in the environment" if service.secrets else ""
    return BOX.format(needs=needs) + out.getvalue()


def bind(path: str) -> dict[str, object]:
    return {"type": "bind", "source": literal(path), "target": literal(path), "read_only": True}


def literal(text: str) -> str:
    """Text for a Compose file, in which a dollar stands for what Compose knows."""
    return text.replace("$", "$$")
