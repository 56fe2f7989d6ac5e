"""`remora init`: a commented starter `remora.yaml` for the compose file at hand."""

from __future__ import annotations

from remora.cli import DONE
from remora.core import project
from remora.core.project import Project
from remora.errors import RemoraError
from remora.output import Output
from remora.session import Asked, ops_path

STARTER = """\
# What ops attach to the stack `{name}`, from outside. The developers' compose file stays as it is.
# `remora plan` shows what it comes to, `remora up` does it; `remora kinds` lists what a sidekick can be.

environments:
  dev: {{}}                        # nothing attached: the plain app
  prod:
    attach: [logs]
    # What may differ from the developers' file, and nothing else:
    # services:
    #   {service}:
    #     replicas: 2
    #     environment: {{LOG_LEVEL: info, API_TOKEN: "env:API_TOKEN"}}    # a secret is named, never written
    #     restart: unless-stopped
    #     limits: {{memory: 256m}}

sidekicks:
  # What all containers print, to one file a service on this host. Other destinations: relp://, syslog+udp://,
  # syslog+tcp:// and syslog+tls://HOST:PORT; a list sends to several.
  logs: {{kind: logs, for: "*", to: "file:///srv/logs"}}
{files}
  # Any image beside one service, in its network: its localhost is the sidekick's.
  # probe:
  #   kind: container
  #   for: {service}
  #   image: debian:trixie-slim
  #   command: [sleep, infinity]
  #   walls: {{network: true}}

# Services of this stack: {services}
"""

FILES = """
  # Files that `{service}` writes into its volume at {path}.
  # {service}-files: {{kind: logs, for: {service}, from: {path}, to: "file:///srv/logs"}}
"""


def run(asked: Asked, out: Output) -> int:
    path = ops_path(asked)
    if path.exists():
        raise RemoraError(f"{path}: is there already, and is not overwritten")
    found = project.read(asked.compose.config(asked.reading))
    try:
        with path.open("x") as file:
            file.write(starter(found))
    except OSError as error:
        raise RemoraError(f"{path}: cannot be written: {error.strerror}") from None
    out.say(f"wrote {path}; read it, then try `remora plan -e prod`")
    return DONE


def starter(found: Project) -> str:
    """The file's text; what is not commented out is valid as it stands."""
    volumes = [(s.name, m.target) for s in found.services.values() for m in s.mounts if m.type == "volume"]
    files = "".join(FILES.format(service=service, path=path) for service, path in volumes)
    return STARTER.format(name=found.name, service=next(iter(found.services), "web"), services=", ".join(found.services), files=files)
