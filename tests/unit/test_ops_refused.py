"""Every way in which an ops file can be wrong, and the whole sentence that says so."""

import pytest
from worlds import checked

from remora.core import ops
from remora.errors import RemoraError
from remora.sidekicks import settings


def row(id, text, message):
    return pytest.param(text, message, id=id)


def complaint(text):
    with pytest.raises(RemoraError) as found:
        checked(text)
    assert "hunter2" not in str(found.value)
    return str(found.value)


FILES = [
    row("an empty file", "", "1: must be a mapping with `environments` and `sidekicks`"),
    row("a list", "- logs\n", "1: must be a mapping with `environments` and `sidekicks`"),
    row("plain text", "hello\n", "1: must be a mapping with `environments` and `sidekicks`"),
    row("a bracket left open", "environments: [\n", "2: not YAML: expected the node content, but found '<stream end>'"),
    row("a bracket closed by a brace", "environments:\n  prod: {attach: [logs}\n", "2: not YAML: expected ',' or ']', but got '}'"),
    row("a tab as indent", "environments:\n\tprod: {}\n", "2: not YAML: found character '\\t' that cannot start any token"),
    row(
        "two documents",
        "environments: {prod: }\n---\na: b\n",
        "2: not YAML: expected a single document in the stream, but found another document",
    ),
    row(
        "a control character",
        "environments:\n  prod: \x01\n",
        "2: not YAML: unacceptable character #x0001: special characters are not allowed",
    ),
    row("an alias of nothing", "environments: *prod\n", "1: not YAML: found undefined alias 'prod'"),
    row(
        "a template left in",
        "environments:\n  prod: {attach: {{ sidekicks }}}\n",
        "2: a key is a list or a mapping; text that begins with a brace needs quotes",
    ),
    row("a key twice at the top", "environments: {prod: }\nenvironments: {}\n", "2: the key `environments` stands here twice; keep one"),
    row("a key twice below", "environments:\n  prod:\n    attach: []\n    attach: []\n", "4: the key `attach` stands here twice; keep one"),
    row("an unknown key that is nearly one", "environment: {}\n", "1: environment: no such setting; did you mean `environments`?"),
    row("an unknown key", "foo: {}\n", "1: foo: no such setting; there is `environments`, `on`, `sidekicks`, `stack`"),
    row("a key that is a number", "1: {}\n", "1: 1: no such setting; there is `environments`, `on`, `sidekicks`, `stack`"),
    row(
        "a stack that is a number",
        "stack: 5\nenvironments: {prod: }\n",
        '1: stack: must be text: a Compose project name, or "*" for every container of the engine',
    ),
    row("no environments", "sidekicks: {}\n", "1: environments: missing or empty; name at least one, such as `prod`"),
    row("environments empty", "environments: {}\n", "1: environments: missing or empty; name at least one, such as `prod`"),
    row("environments a list", "environments: [prod]\n", "1: environments: must be a mapping"),
    row("an environment that is a list", "environments:\n  prod: [logs]\n", "2: environments.prod: must be a mapping"),
    row(
        "an environment called by a number",
        "environments:\n  1: {}\n",
        "2: environments.1: a name is made of letters, digits, `-`, `_` and `.`, and is text",
    ),
    row(
        "an environment with a space in its name",
        "environments:\n  our prod: {}\n",
        "2: environments.our prod: a name is made of letters, digits, `-`, `_` and `.`, and is text",
    ),
    row(
        "an unknown key of an environment",
        "environments:\n  prod:\n    atach: []\n",
        "3: environments.prod.atach: no such setting; did you mean `attach`?",
    ),
    row(
        "an unknown key behind a merge",
        "x-all: &all {attach: []}\nenvironments:\n  prod:\n    <<: *all\n    atach: []\n",
        "5: environments.prod.atach: no such setting; did you mean `attach`?",
    ),
    row("attach that is text", "environments:\n  prod: {attach: logs}\n", "2: environments.prod.attach: must be a list"),
    row("attach a number", "environments:\n  prod: {attach: [1]}\n", "2: environments.prod.attach.0: must be text; put it in quotes"),
    row(
        "an unknown sidekick where there is none",
        "environments:\n  prod: {attach: [logs]}\n",
        "2: environments.prod.attach.0: no sidekick `logs`; there is none",
    ),
    row(
        "an unknown sidekick",
        "environments:\n  prod: {attach: [lgs]}\nsidekicks:\n  logs: {kind: logs, for: web, to: file:///l}\n",
        "2: environments.prod.attach.0: no sidekick `lgs`; did you mean `logs`?",
    ),
    row(
        "a sidekick attached twice",
        "environments:\n  prod:\n    attach:\n      - logs\n      - logs\nsidekicks:\n  logs: {kind: logs, for: web, to: file:///l}\n",
        "5: environments.prod.attach.1: `logs` stands here twice; keep one",
    ),
    row(
        "a project name that Compose would refuse",
        "environments:\n  prod: {project: My Shop}\n",
        "2: environments.prod.project: must be a Compose project name: lower-case letters, digits, `-` and `_`, in quotes where all digits",
    ),
    row("services that are a list", "environments:\n  prod: {services: [web]}\n", "2: environments.prod.services: must be a mapping"),
    row(
        "an unknown service",
        "environments:\n  prod:\n    services:\n      wbe: {replicas: 2}\n",
        "4: environments.prod.services.wbe: no service `wbe`; there is `db`, `web`",
    ),
    row(
        "a service with nothing in it",
        "environments:\n  prod:\n    services:\n      web:\n",
        "4: environments.prod.services.web: must be a mapping",
    ),
    row("sidekicks that are a list", "environments: {prod: }\nsidekicks: [logs]\n", "2: sidekicks: must be a mapping"),
    row(
        "a sidekick with a slash in its name",
        "environments: {prod: }\nsidekicks:\n  a/b: {}\n",
        "3: sidekicks.a/b: a name is made of letters, digits, `-`, `_` and `.`, and is text",
    ),
    row(
        "a sidekick with nothing in it",
        "environments: {prod: }\nsidekicks:\n  logs:\n",
        "3: sidekicks.logs: must be a mapping with `kind` and `for`",
    ),
    row(
        "no kind",
        "environments: {prod: }\nsidekicks:\n  logs: {for: web}\n",
        "3: sidekicks.logs: `kind` is missing; there is `container`, `logs`",
    ),
    row(
        "a kind that is a list",
        "environments: {prod: }\nsidekicks:\n  logs: {kind: [logs], for: web}\n",
        "3: sidekicks.logs.kind: must be text; there is `container`, `logs`",
    ),
    row(
        "a kind that is nearly one",
        "environments: {prod: }\nsidekicks:\n  logs: {kind: log, for: web}\n",
        "3: sidekicks.logs.kind: no kind `log`; did you mean `logs`?",
    ),
    row(
        "an unknown kind",
        "environments: {prod: }\nsidekicks:\n  logs: {kind: mesh, for: web}\n",
        "3: sidekicks.logs.kind: no kind `mesh`; there is `container`, `logs`",
    ),
    row("no for", "environments: {prod: }\nsidekicks:\n  logs: {kind: logs, to: file:///l}\n", "3: sidekicks.logs: `for` is missing"),
    row("no to", "environments: {prod: }\nsidekicks:\n  logs: {kind: logs, for: web}\n", "3: sidekicks.logs: `to` is missing"),
    row("no image", "environments: {prod: }\nsidekicks:\n  probe: {kind: container, for: web}\n", "3: sidekicks.probe: `image` is missing"),
]


@pytest.mark.parametrize("text, message", FILES)
def test_a_wrong_file_is_refused(text, message):
    assert complaint(text) == "remora.yaml:" + message


DIFFERENCES = [
    row("replicas that are text", "replicas: many", "replicas: must be a whole number"),
    row("replicas below zero", "replicas: -1", "replicas: must be at least 0"),
    row("replicas in quotes", 'replicas: "2"', "replicas: must be a whole number"),
    row("half a replica", "replicas: 2.5", "replicas: must be a whole number"),
    row("ports that are not a list", 'ports: "8080:80"', "ports: must be a list"),
    row("a port that is a number", "ports: [80]", 'ports.0: must be [ADDRESS:]HOST:CONTAINER in quotes, such as "8080:80"'),
    row("a port that is none", 'ports: ["8080:80", web]', 'ports.1: must be [ADDRESS:]HOST:CONTAINER in quotes, such as "8080:80"'),
    row("a port in Compose's long form", "ports: [{target: 80}]", 'ports.0: must be [ADDRESS:]HOST:CONTAINER in quotes, such as "8080:80"'),
    row(
        "an unknown restart policy",
        "restart: maybe",
        "restart: must be `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:TIMES`",
    ),
    row(
        "a restart policy that YAML takes for false",
        "restart: false",
        "restart: must be `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:TIMES`",
    ),
    row("an image by tag", "image: nginx:1.27", "image: must name the image by its digest: NAME@sha256:…"),
    row("an image that is a number", "image: 5", "image: must name the image by its digest: NAME@sha256:…"),
    row("limits that are no mapping", "limits: 64m", "limits: must be a mapping"),
    row("an unknown limit", "limits: {mem: 64m}", "limits.mem: no such setting; there is `cpus`, `memory`, `pids`"),
    row("a size that is none", "limits: {memory: lots}", "limits.memory: `lots` is not a size; write it like 64m or 1g"),
    row("a size of zero", "limits: {memory: 0}", "limits.memory: `0` is not a size; write it like 64m or 1g"),
    row("a size that is true", "limits: {memory: true}", "limits.memory: must be a size, like 64m or 1g"),
    row("a size too small for the engine", "limits: {memory: 1k}", "limits.memory: must be at least 6m: the engine takes no less"),
    row("cpus in quotes", 'limits: {cpus: "0.5"}', "limits.cpus: must be a number"),
    row("no cpus at all", "limits: {cpus: 0}", "limits.cpus: must be at least 0.01"),
    row("infinite cpus", "limits: {cpus: .inf}", "limits.cpus: must be a number"),
    row("no pids at all", "limits: {pids: 0}", "limits.pids: must be more than 0"),
    row("half a pid", "limits: {pids: 1.5}", "limits.pids: must be a whole number"),
    row(
        "a mount that is not there",
        "drop_mounts: [/src]",
        "drop_mounts.0: `web` has no mount at `/src`; there is `/usr/share/nginx/html`, `/var/log/nginx`",
    ),
    row("a mount that is a number", "drop_mounts: 5", "drop_mounts: must be text; put it in quotes"),
    row("env values as a list", "environment: [DEBUG=1]", "environment: must be a mapping"),
    row(
        "an env value that is nothing",
        "environment: {DEBUG: }",
        'environment.DEBUG: must be text, and nothing stands here; write "" for empty text',
    ),
    row("an env value that is a list", "environment: {DEBUG: [1]}", "environment.DEBUG: must be text, a number, or true or false"),
    row(
        "a password in clear",
        "environment: {DB_PASSWORD: hunter2}",
        "environment.DB_PASSWORD: looks like a secret written out; name where it is: `env:NAME`",
    ),
    row(
        "a password that is a number",
        "environment: {API_KEY: 4711}",
        "environment.API_KEY: looks like a secret written out; name where it is: `env:NAME`",
    ),
    row(
        "a password in a URL",
        "environment: {DB: 'postgres://u:hunter2@db/shop'}",
        "environment.DB: looks like a secret written out; name where it is: `env:NAME`",
    ),
    row(
        "a reference that Compose cannot look up",
        "environment: {DB_PASSWORD: 'file:/run/hunter2'}",
        "environment.DB_PASSWORD: looks like a secret written out; name where it is: `env:NAME`",
    ),
    row(
        "a reference to no variable",
        "environment: {DEBUG: 'env:not a name'}",
        "environment.DEBUG: must name a variable behind `env:`, made of letters, digits and `_`",
    ),
    row(
        "an unknown setting",
        "foo: 1",
        "foo: no such setting; there is `drop_mounts`, `environment`, `image`, `limits`, `ports`, `replicas`, `restart`",
    ),
    row("Compose's word for replicas", "scale: 2", "scale: no such setting; write `replicas`"),
    row("Compose's word for memory", "mem_limit: 1g", "mem_limit: no such setting; write `limits: {memory: …}`"),
    row("Compose's word for cpus", "cpus: 1", "cpus: no such setting; write `limits: {cpus: …}`"),
    row("Compose's word for pids", "pids_limit: 9", "pids_limit: no such setting; write `limits: {pids: …}`"),
    row("Compose's word for sizes", "deploy: {}", "deploy: no such setting; write `replicas` or `limits`"),
    row("short for environment", "env: {A: b}", "env: no such setting; write `environment`"),
    row(
        "a container name",
        "container_name: web",
        "container_name: no such setting; write nothing instead: sidekicks find it whatever its name",
    ),
]

DIFFERENCES_FILE = """\
environments:
  prod:
    services:
      web:
        TEXT
"""


@pytest.mark.parametrize("text, message", DIFFERENCES)
def test_a_wrong_difference_is_refused(text, message):
    assert complaint(DIFFERENCES_FILE.replace("TEXT", text)) == "remora.yaml:5: environments.prod.services.web." + message


SELECTORS = [
    row("an unknown service", "for: wbe", ": no service `wbe`; there is `db`, `web`"),
    row("an unknown service in a list", "for: [web, dbb]", ".1: no service `dbb`; did you mean `db`?"),
    row("a glob that fits no service", 'for: "api-*"', ": no service `api-*`; there is `db`, `web`"),
    row("an empty list", "for: []", ": the list is empty; write at least one"),
    row("empty text", 'for: ""', ": no service ``; there is `db`, `web`"),
    row("a number", "for: 5", ": must be a service name or glob, a list of them, or a mapping of conditions"),
    row("nothing", "for:", ": must be a service name or glob, a list of them, or a mapping of conditions"),
    row("an unknown condition", "for: {servce: web}", ".servce: no such setting; did you mean `service`?"),
    row("an unknown service in a mapping", "for: {service: wbe}", ".service: no service `wbe`; there is `db`, `web`"),
    row("a service that is a number", "for: {service: [1]}", ".service.0: must be text; put it in quotes"),
    row("a service that is nothing", "for: {service: }", ".service: nothing stands here; write one, or a list"),
    row("no services", "for: {service: []}", ".service: the list is empty; write at least one"),
    row(
        "an image that no service runs",
        "for: {image: ngnx}",
        ".image: no service runs an image `ngnx`; there is `nginx:1.27`, `postgres:16`",
    ),
    row(
        "a tag that no service runs",
        'for: {image: "postgres:15"}',
        ".image: no service runs an image `postgres:15`; did you mean `postgres:16`?",
    ),
    row("a label with a list", "for: {label: {a: [1]}}", ".label.a: must be text, a number, or true or false"),
    row("a label in a list of mappings", "for: {label: [{a: b}]}", ".label.0: must be text, not a mapping"),
    row("a port by name", "for: {port: http}", ".port: must be a port, or a range such as 8000-8100"),
    row("a port too high", "for: {port: 99999}", ".port: must be a port, or a range such as 8000-8100"),
    row("a range that runs backwards", 'for: {port: "90-80"}', ".port: must be a port, or a range such as 8000-8100"),
    row("one port of several wrong", "for: {port: [80, 0]}", ".port.1: must be a port, or a range such as 8000-8100"),
    row("an exception that is no service", "for: {except: wbe}", ".except: no service `wbe`; there is `db`, `web`"),
    row("one exception of several wrong", "for: {except: [db, wbe]}", ".except.1: no service `wbe`; there is `db`, `web`"),
    row(
        "an exception with an unknown condition", "for: {except: {servce: db}}", ".except.servce: no such setting; did you mean `service`?"
    ),
    row(
        "an exception that is a number",
        "for: {except: [5]}",
        ".except.0: must be a service name or glob, a list of them, or a mapping of conditions",
    ),
    row(
        "an exception from an exception",
        "for: {except: {except: web}}",
        ".except.except: no such setting; there is `env`, `image`, `label`, `name`, `port`, `service`",
    ),
    row(
        "an exception that takes all away",
        "for: {service: web, except: {image: nginx}}",
        ": matches nothing: no service fits all of its conditions without being taken away by `except`",
    ),
    row(
        "conditions that no service has together",
        "for: {service: web, image: postgres}",
        ": matches nothing: no service fits all of its conditions without being taken away by `except`",
    ),
]

SELECTORS_FILE = """\
environments: {prod: }
sidekicks:
  x:
    kind: logs
    to: file:///l
    TEXT
"""


@pytest.mark.parametrize("text, message", SELECTORS)
def test_a_wrong_selector_is_refused(text, message):
    assert complaint(SELECTORS_FILE.replace("TEXT", text)) == "remora.yaml:6: sidekicks.x.for" + message


LOGS = [
    row("an unknown setting", "too: file:///l", "too: no such setting; did you mean `to`?"),
    row(
        "an unknown setting unlike any",
        "foo: 1",
        "foo: no such setting; there is `compress`, `for`, `from`, `give_up_after`, `keep`, `kind`, `limits`, `network`, `on_failure`, "
        "`restart`, `rotate`, `spool`, `tls`, `to`",
    ),
    row(
        "a relative path",
        "from: log/nginx",
        "from: must be an absolute path in the app container, such as /var/log/nginx or /var/log/nginx/*.log",
    ),
    row(
        "one relative path of several",
        "from: [/var/log/nginx, access.log]",
        "from.1: must be an absolute path in the app container, such as /var/log/nginx or /var/log/nginx/*.log",
    ),
    row("a path that is a number", "from: 5", "from: must be text; put it in quotes"),
    row(
        "a certificate by its bare path",
        "tls: {ca: /etc/hunter2.pem}",
        "tls.ca: must name where the secret is, `env:NAME` or `file:PATH`; the secret itself never stands here",
    ),
    row(
        "a key in clear",
        "tls: {key: '-----BEGIN hunter2'}",
        "tls.key: must name where the secret is, `env:NAME` or `file:PATH`; the secret itself never stands here",
    ),
    row(
        "a reference to no variable",
        "tls: {ca: 'env:1A'}",
        "tls.ca: must name where the secret is, `env:NAME` or `file:PATH`; the secret itself never stands here",
    ),
    row("an unknown setting of tls", "tls: {foo: a}", "tls.foo: no such setting; there is `ca`, `cert`, `key`"),
    row("tls that is no mapping", "tls: yes", "tls: must be a mapping"),
    row("a spool without a size", "spool: lots", "spool: `lots` is not a size; write it like 64m or 1g"),
    row("a spool of nothing", "spool: 0", "spool: `0` is not a size; write it like 64m or 1g"),
    row("no files kept", "keep: 0", "keep: must be at least 1"),
    row("files kept by text", "keep: some", "keep: must be a whole number"),
    row("compress that is text", "compress: yes", "compress: must be true or false"),
    row("a network with a space", "network: our net", "network: must be the name of a network of the engine, or `none`"),
]

LOGS_FILE = """\
environments: {prod: }
sidekicks:
  x:
    kind: logs
    for: web
    to: file:///l
    TEXT
"""


@pytest.mark.parametrize("text, message", LOGS)
def test_wrong_logs_is_refused(text, message):
    assert complaint(LOGS_FILE.replace("TEXT", text)) == "remora.yaml:7: sidekicks.x." + message


DESTINATIONS = [
    row("no scheme", "to: logs.internal", ": must be SCHEME://…; there is `file`, `relp`, `syslog+tcp`, `syslog+tls`, `syslog+udp`"),
    row(
        "an unknown scheme",
        "to: http://logs.internal",
        ": no destination scheme `http`; there is `file`, `relp`, `syslog+tcp`, `syslog+tls`, `syslog+udp`",
    ),
    row("a scheme that is nearly one", "to: syslog://logs.internal", ": no destination scheme `syslog`; did you mean `syslog+udp`?"),
    row("a relative folder", "to: file://srv/logs", ": must name an absolute folder of the host, such as file:///srv/logs"),
    row("a folder with dots", "to: file:///srv/../etc", ": must name an absolute folder of the host, such as file:///srv/logs"),
    row("no host", "to: relp://", ": must be relp://HOST or relp://HOST:PORT"),
    row("a port that is no number", "to: relp://logs:often", ": must be relp://HOST or relp://HOST:PORT"),
    row("a port too high", "to: relp://logs:99999", ": 99999 is not a port; there is 1 to 65535"),
    row("port zero", "to: relp://logs:0", ": 0 is not a port; there is 1 to 65535"),
    row("a path behind the host", "to: relp://logs/hunter2", ": must be relp://HOST or relp://HOST:PORT"),
    row("a bracket left open", 'to: "relp://[::1"', ": must be relp://HOST or relp://HOST:PORT"),
    row(
        "a password in the URL",
        "to: relp://u:hunter2@logs",
        ": a user or password stands in the URL; credentials are given by reference, under `tls`",
    ),
    row(
        "a password without a scheme",
        'to: "u:hunter2@logs"',
        ": must be SCHEME://…; there is `file`, `relp`, `syslog+tcp`, `syslog+tls`, `syslog+udp`",
    ),
    row("a token in the URL", 'to: "relp://logs?token=hunter2"', ": must be relp://HOST or relp://HOST:PORT"),
    row("no destination", "to: []", ": the list is empty; write at least one"),
    row("nothing", "to:", ": nothing stands here; write one, or a list"),
    row("a number", "to: 5", ": must be text; put it in quotes"),
    row("a mapping", "to: {relp: logs}", ": must be text, not a mapping"),
    row("one destination of several wrong", "to: [file:///l, relp://]", ".1: must be relp://HOST or relp://HOST:PORT"),
    row("the same destination twice", "to: [relp://logs, relp://logs:2514]", ".1: the same destination stands here twice; keep one"),
]

DESTINATIONS_FILE = """\
environments: {prod: }
sidekicks:
  x:
    kind: logs
    for: web
    TEXT
"""


@pytest.mark.parametrize("text, message", DESTINATIONS)
def test_a_wrong_destination_is_refused(text, message):
    assert complaint(DESTINATIONS_FILE.replace("TEXT", text)) == "remora.yaml:6: sidekicks.x.to" + message


CONTAINERS = [
    row(
        "an unknown setting",
        "volumes: []",
        "volumes: no such setting; there is `capabilities`, `command`, `entrypoint`, `env`, `for`, `give_up_after`, `image`, "
        "`kind`, `limits`, `network`, `on_failure`, `read_only`, `restart`, `secrets`, `stop_grace`, `tmpfs`, `user`, `walls`",
    ),
    row("a command that is a number", "command: 5", "command: must be text or a list of words"),
    row(
        "a command with an open quote", 'command: echo "a', "command: a quote is opened and not closed; close it, or write a list of words"
    ),
    row("a word that is true", "command: [echo, true]", "command.1: must be text; put it in quotes"),
    row("an unknown wall", "walls: {netwrk: true}", "walls.netwrk: no such setting; did you mean `network`?"),
    row("walls that are a list", "walls: [network]", "walls: must be a mapping"),
    row("a wall that is text", "walls: {network: yes}", "walls.network: must be true or false"),
    row(
        "files both by path and by volume",
        "walls: {files: [{path: /x, volume: logs}]}",
        "walls.files.0: must name a `path` or a `volume`, and not both",
    ),
    row("files by nothing", "walls: {files: [/x, {}]}", "walls.files.1: must name a `path` or a `volume`, and not both"),
    row("files by a relative path", "walls: {files: {path: logs}}", "walls.files.path: must be an absolute path"),
    row("files at a relative path", "walls: {files: [{path: /x, at: y}]}", "walls.files.0.at: must be an absolute path"),
    row("files in an unknown mode", "walls: {files: [{path: /x, mode: rx}]}", "walls.files.0.mode: must be `ro` or `rw`"),
    row("files that are a number", "walls: {files: 5}", "walls.files: must be a path, a volume, or a mapping with `path` or `volume`"),
    row("an unknown setting of files", "walls: {files: [{pth: /x}]}", "walls.files.0.pth: no such setting; did you mean `path`?"),
    row("a network with a space", "network: our net", "network: must be the name of a network of the engine, or `none`"),
    row("env as a list", "env: [A=b]", "env: must be a mapping"),
    row(
        "a password in clear",
        "env: {PGPASSWORD: hunter2}",
        "env.PGPASSWORD: looks like a secret; a sidekick gets those as files: name it under `secrets`",
    ),
    row(
        "a password by reference, where none is looked up",
        "env: {PGPASSWORD: env:PW}",
        "env.PGPASSWORD: looks like a secret; a sidekick gets those as files: name it under `secrets`",
    ),
    row(
        "a password in a URL",
        "env: {DB: 'postgres://u:hunter2@db/shop'}",
        "env.DB: looks like a secret; a sidekick gets those as files: name it under `secrets`",
    ),
    row(
        "a secret in clear",
        "secrets: {pgpass: hunter2}",
        "secrets.pgpass: must name where the secret is, `env:NAME` or `file:PATH`; the secret itself never stands here",
    ),
    row(
        "a secret that is nothing",
        "secrets: {pgpass: }",
        "secrets.pgpass: must name where the secret is, `env:NAME` or `file:PATH`; the secret itself never stands here",
    ),
    row(
        "a secret with a slash in its name", "secrets: {a/b: env:PW}", "secrets.a/b: must be a file name: letters, digits, `-`, `_` and `.`"
    ),
    row("secrets that are a list", "secrets: [pgpass]", "secrets: must be a mapping"),
    row("a user by name", "user: root", 'user: must be `same`, or "UID" or "UID:GID" in quotes'),
    row("a user that is a number", "user: 1000", 'user: must be `same`, or "UID" or "UID:GID" in quotes'),
    row(
        "a capability in small letters", "capabilities: [net_admin]", "capabilities.0: no capability `net_admin`; did you mean `NET_ADMIN`?"
    ),
    row(
        "an unknown capability among known ones",
        "capabilities: [NET_RAW, NET_ADMINN]",
        "capabilities.1: no capability `NET_ADMINN`; did you mean `NET_ADMIN`?",
    ),
    row("all capabilities", "capabilities: ALL", "capabilities: all capabilities at once are refused; name each that it needs"),
    row("a tmpfs at a relative path", "tmpfs: [/tmp, cache]", "tmpfs.1: must be an absolute path"),
    row("a stop grace below zero", "stop_grace: -1", "stop_grace: must be at least 0"),
    row("a stop grace too long", "stop_grace: 601", "stop_grace: must be at most 600"),
    row("a stop grace with a unit", "stop_grace: 10s", "stop_grace: must be a whole number"),
    row("a memory cap that is none", "limits: {memory: 1q}", "limits.memory: `1q` is not a size; write it like 64m or 1g"),
]

CONTAINERS_FILE = """\
environments: {prod: }
sidekicks:
  x:
    kind: container
    for: web
    image: busybox
    TEXT
"""


@pytest.mark.parametrize("image", ["a b", "Busybox", "a//b", "http://busybox", "busybox:", "busybox@sha256:1"])
def test_what_is_no_image_is_refused(image):
    text = CONTAINERS_FILE.replace("image: busybox", f"image: '{image}'").replace("    TEXT\n", "")
    assert complaint(text) == "remora.yaml:6: sidekicks.x.image: must be an image, such as busybox:1.36"


@pytest.mark.parametrize(
    "image", ["busybox", "a/b_c/d--e:1.0", "localhost:5000/a", "Reg.io/a@sha256:" + "0" * 64, "a:b@sha256:" + "f" * 64]
)
def test_an_image(image):
    checked(CONTAINERS_FILE.replace("image: busybox", f"image: '{image}'").replace("    TEXT\n", ""))


@pytest.mark.parametrize("text, message", CONTAINERS)
def test_a_wrong_container_is_refused(text, message):
    assert complaint(CONTAINERS_FILE.replace("TEXT", text)) == "remora.yaml:7: sidekicks.x." + message


@pytest.mark.parametrize("key", sorted(ops.THEIRS))
def test_the_developers_side_is_refused(key):
    message = complaint(DIFFERENCES_FILE.replace("TEXT", f"{key}: [x]"))
    why = f"the developers' side ({ops.THEIRS[key]}), so that it is the same container everywhere; change it in their file"
    assert message == f"remora.yaml:5: environments.prod.services.web.{key}: {why}"


@pytest.mark.parametrize(
    "name, message",
    [
        pytest.param(None, "remora.yaml: which environment? there is `dev`, `prod`; say -e NAME or REMORA_ENVIRONMENT", id="none of two"),
        pytest.param("prd", "remora.yaml:1: environments: no environment `prd`; did you mean `prod`?", id="one that is nearly there"),
        pytest.param("test", "remora.yaml:1: environments: no environment `test`; there is `dev`, `prod`", id="one that is not there"),
    ],
)
def test_an_environment_has_to_be_one_of_those_there_are(name, message):
    found = ops.read("environments: {dev: , prod: }", "remora.yaml", "/remora.yaml", settings())
    with pytest.raises(RemoraError) as refused:
        found.environment(name)
    assert str(refused.value) == message


def test_the_only_environment_needs_no_name():
    assert checked("environments: {prod: }").environment(None) == "prod"
