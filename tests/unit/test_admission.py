"""Which containers, volumes and files the guard lets through: those that remora makes. A row for every way around it."""

import io
import json
import tarfile
from copy import deepcopy
from dataclasses import replace

import pytest
from guardkit import CARRIER, ENGINE, MODES, NOTHING, ROOT, WEB, Facts, missing, refused, row, unknown
from hypothesis import given
from hypothesis import strategies as st
from worlds import compose, specs

from remora.core.admission import Policy, Volume, packed
from remora.core.body import Refused
from remora.core.guard import judge
from remora.core.sidekick import Spec
from remora.core.world import MARK
from remora.engines import inspection, secrets

# ---- containers ----

NAME = "shop-web-1.probe"
SPEC = Spec(NAME, "probe", "container", "shop", "prod", "/srv/shop/remora.yaml", "debian:trixie-slim", host="shop-web-1", parent=WEB)


def creation(**changes):
    """A create body of remora's own, changed: a key may be a path, such as HostConfig.Memory, and None takes it away."""
    body = deepcopy(inspection.creation(SPEC, ENGINE))
    body = {key: value for key, value in body.items() if value is not None}
    for path, value in changes.items():
        *above, last = path.split("__")
        where = body
        for key in above:
            where = where[key]
        where.pop(last, None)
        if value is not None:
            where[last] = value
    return body


def create(body, name=NAME, policy=NOTHING):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = judge("POST", f"/v1.45/containers/create?name={name}" if name else "/v1.45/containers/create", text, policy, Facts())
    return json.loads(call.body)


def host(**changes):
    return creation(**{f"HostConfig__{key}": value for key, value in changes.items()})


def mount(**fields):
    return host(Mounts=[{"Type": "volume", "Source": "shop_data", "Target": "/data", "ReadOnly": True, **fields}])


def bind(source, read_only=True, **more):
    return host(Mounts=[{"Type": "bind", "Source": source, "Target": "/x", "ReadOnly": read_only, **more}])


def creation_refused(body, name=NAME, policy=NOTHING):
    with pytest.raises(Refused) as error:
        create(body, name, policy)
    return str(error.value)


def only_ours(label):
    return f"{label}: only a label that begins with `remora.` is let through"


def no_cap(key):
    return f"HostConfig.{key}: must be a number from 1 to {2**63 - 1}"


def no_capability(name):
    return f"HostConfig.CapAdd: `{name}` is not allowed; `remora guard --allow-capability {name}` would"


def hosts_own(key, name):
    return f"HostConfig.{key}: `{name}` has the host's own namespace"


def not_allowed(path, writes=False):
    return f"{MOUNT}: the host path `{path}` is not allowed; `remora guard --allow-path {path}{':rw' if writes else ''}` would"


def only_read(volume):
    return f"{MOUNT}: the volume `{volume}` may only be read; `remora guard --allow-volume {volume}:rw` would allow it"


def outside(volume):
    why = "stands for something outside of the engine's folder"
    return f"{MOUNT}: the volume `{volume.removesuffix(':rw')}` {why}; `remora guard --allow-volume {volume}` would allow it"


MOUNT = "HostConfig.Mounts"
NO_MARK = "Labels.remora.mark: is not the one that remora sets for these labels on this engine"
NO_NAME = "name: must be that of a sidekick, such as shop-web-1.probe"
DROPPED = 'HostConfig.CapDrop: must be ["ALL"]'
PRIVILEGES = 'HostConfig.SecurityOpt: must be ["no-new-privileges"]'
LABELS = {key: value for key, value in creation()["Labels"].items() if key != MARK}
ALLOWED = [
    row("as remora makes it", {}),
    row("in the network of its app", {"HostConfig__NetworkMode": f"container:{WEB}"}),
    row("in all its namespaces", {f"HostConfig__{key}": f"container:{WEB}" for key in MODES}),
    row("beside one that is beside another", {"HostConfig__PidMode": f"container:{'6' * 64}"}),
    row("on a network of its own", {"HostConfig__NetworkMode": "shop_default"}),
    row("on a network by its id", {"HostConfig__NetworkMode": "7" * 64}),
    row("on the engine's bridge", {"HostConfig__NetworkMode": "bridge"}),
    row("with an app's volume to read", {"HostConfig__Mounts": mount()["HostConfig"]["Mounts"]}),
    row("with the engine's logs to read", {"HostConfig__Mounts": bind(ROOT)["HostConfig"]["Mounts"]}),
    row("without what the image has", {"Entrypoint": ["x"], "Cmd": ["y", "z"], "User": "0:0", "Env": ["A=b"]}),
    row("with any restart policy", {"HostConfig__RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
    row("with memory of its own", {"HostConfig__Tmpfs": {"/run": "rw,nosuid,nodev,size=64m"}}),
    row("with a small socket", {"HostConfig__Sysctls": {"net.ipv4.tcp_wmem": "4096 65536 262144"}}),
]


@pytest.mark.parametrize("changes", ALLOWED)
def test_a_sidekick_is_let_through_as_it_is(changes):
    assert create(creation(**changes)) == creation(**changes)


def test_names_of_namespaces_become_ids():
    """A name may be another container's a moment later."""
    modes = create(host(NetworkMode="container:shop-web-1", PidMode="container:beside-web"))["HostConfig"]
    assert (modes["NetworkMode"], modes["PidMode"]) == (f"container:{WEB}", f"container:{'6' * 64}")


NEVER = "remora never sets it"
OPTIONS = {
    "Annotations": {"x": "y"},
    "AutoRemove": True,
    "Binds": ["/:/host"],
    "BlkioDeviceReadBps": [],
    "BlkioWeight": 1000,
    "Capabilities": ["SYS_ADMIN"],
    "Cgroup": "container:x",
    "CgroupParent": "/",
    "CgroupnsMode": "host",
    "ConsoleSize": [1, 1],
    "ContainerIDFile": "/etc/cron.d/x",
    "CpuPeriod": 1,
    "CpuQuota": -1,
    "CpuRealtimeRuntime": 950000,
    "CpusetCpus": "0",
    "DeviceCgroupRules": ["a *:* rwm"],
    "DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}],
    "Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}],
    "Dns": ["1.2.3.4"],
    "DnsOptions": [],
    "DnsSearch": [],
    "ExtraHosts": ["db:1.2.3.4"],
    "GroupAdd": ["docker"],
    "IOMaximumBandwidth": 0,
    "Isolation": "process",
    "KernelMemory": 0,
    "Links": ["shop-db-1:db"],
    "LxcConf": [],
    "MaskedPaths": [],
    "MemoryReservation": 0,
    "MemorySwappiness": 0,
    "OomKillDisable": True,
    "PortBindings": {"80/tcp": [{"HostPort": "80"}]},
    "Privileged": True,
    "PublishAllPorts": True,
    "ReadonlyPaths": [],
    "Runtime": "evil",
    "ShmSize": 1 << 40,
    "StorageOpt": {"size": "1T"},
    "UTSMode": "host",
    "Ulimits": [],
    "UsernsMode": "host",
    "VolumeDriver": "evil",
    "VolumesFrom": ["shop-db-1"],
}  # everything else that the engine's HostConfig has, or had


@pytest.mark.parametrize("key", OPTIONS)
def test_an_option_that_remora_never_sets_is_refused(key):
    assert creation_refused(host(**{key: OPTIONS[key]})) == f"HostConfig.{key}: {NEVER}"


@pytest.mark.parametrize("value", [False, None, [], {}, "", 0])
def test_even_when_it_says_nothing(value):
    body = host()
    body["HostConfig"]["Privileged"] = value
    assert creation_refused(body) == f"HostConfig.Privileged: {NEVER}"


TOP = {
    "ArgsEscaped": True,
    "AttachStdin": True,
    "Domainname": "x",
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "x"]},
    "Hostname": "db",
    "MacAddress": "02:00:00:00:00:01",
    "NetworkDisabled": False,
    "NetworkingConfig": {"EndpointsConfig": {"shop_default": {"Aliases": ["db"]}}},
    "OnBuild": ["RUN x"],
    "OpenStdin": True,
    "Platform": "x",
    "Shell": ["x"],
    "StopSignal": "SIGUSR1",
    "Tty": True,
    "Volumes": {"/x": {}},
    "WorkingDir": "/",
    "Binds": ["/:/host"],
    "Privileged": True,
    "Memory": 0,
}


@pytest.mark.parametrize("key", TOP)
def test_a_setting_that_remora_never_gives_is_refused(key):
    assert creation_refused(creation(**{key: TOP[key]})) == f"{key}: {NEVER}"


SPELLINGS = [
    row("small letters", {"hostconfig": {"Privileged": True}}, f"hostconfig: {NEVER}"),
    row("capitals", {"HOSTCONFIG": {}}, f"HOSTCONFIG: {NEVER}"),
    row(
        "a long s, which Go folds to s", {"Ho\N{LATIN SMALL LETTER LONG S}tConfig": {}}, f"Ho\N{LATIN SMALL LETTER LONG S}tConfig: {NEVER}"
    ),
    row(
        "a Kelvin sign, which Go folds to k",
        {"HostConfig__Networ\N{KELVIN SIGN}Mode": "host"},
        f"HostConfig.Networ\N{KELVIN SIGN}Mode: {NEVER}",
    ),
    row("an option in small letters", {"HostConfig__privileged": True}, f"HostConfig.privileged: {NEVER}"),
    row("an allowed one in other letters", {"HostConfig__pidMode": "host"}, f"HostConfig.pidMode: {NEVER}"),
    row("a blank at the end", {"HostConfig__PidMode ": "host"}, f"HostConfig.PidMode : {NEVER}"),
    row("labels in other letters", {"labels": {}}, f"labels: {NEVER}"),
]


@pytest.mark.parametrize("changes, reason", SPELLINGS)
def test_another_spelling_is_another_key(changes, reason):
    assert creation_refused(creation(**changes)) == reason


def doubled(where, more):
    """The body as text, with `more` put behind the brace after `where`."""
    return (
        json.dumps(creation()).replace(f'"{where}": {{', f'"{where}": {{{more}, ', 1).encode()
        if where
        else b"{" + more.encode() + b", " + json.dumps(creation())[1:].encode()
    )


RAW = [
    row("a second HostConfig before", doubled("", '"HostConfig": {"Privileged": true}'), "HostConfig: the key stands there twice"),
    row(
        "a second HostConfig behind",
        json.dumps(creation())[:-1].encode() + b', "HostConfig": {}}',
        "HostConfig: the key stands there twice",
    ),
    row("a second option", doubled("HostConfig", '"NetworkMode": "host"'), "NetworkMode: the key stands there twice"),
    row("a second label", doubled("Labels", '"remora.sidekick": "x"'), "remora.sidekick: the key stands there twice"),
    row("the same key, escaped", doubled("HostConfig", '"\\u004eetworkMode": "host"'), "NetworkMode: the key stands there twice"),
    row("nothing", b"", "the body is not JSON"),
    row("words", b"hello", "the body is not JSON"),
    row("two bodies", json.dumps(creation()).encode() + b'{"HostConfig": {"Privileged": true}}', "the body is not JSON"),
    row("something behind", json.dumps(creation()).encode() + b"x", "the body is not JSON"),
    row("a byte order mark", b"\xef\xbb\xbf" + json.dumps(creation()).encode(), "the body is not JSON"),
    row("no UTF-8", json.dumps(creation()).encode().replace(b"trixie", b"tri\xffie"), "the body is not JSON"),
    row("UTF-16", json.dumps(creation()).encode("utf-16"), "the body is not JSON"),
    row("half a character", json.dumps(creation(User="X")).encode().replace(b'"X"', b'"\\ud800"'), "the body is not JSON"),
    row("a number that is none", json.dumps(creation()).encode().replace(b": 67108864", b": NaN", 1), "NaN: no number of JSON"),
    row("a number without end", json.dumps(creation()).encode().replace(b": 67108864", b": Infinity", 1), "Infinity: no number of JSON"),
    row(
        "a number with too many digits",
        json.dumps(creation()).encode().replace(b": 67108864", b": " + b"9" * 5000, 1),
        "the body is not JSON",
    ),
    row("very deep", b'{"HostConfig":' * 100_000, "the body is not JSON"),
    row("a list", b"[]", "Labels: are missing, and remora always sets them"),
    row("null", b"null", "Labels: are missing, and remora always sets them"),
    row("a comment", b"{/* */}", "the body is not JSON"),
    row("apostrophes", b"{'Labels': {}}", "the body is not JSON"),
]


@pytest.mark.parametrize("body, reason", RAW)
def test_what_could_be_read_in_two_ways_is_refused(body, reason):
    assert creation_refused(body) == reason


NO_NETWORK = "HostConfig.NetworkMode: must be `none`, container:ID or a network"
BY_ID = "must be container:ID"
CONTAINERS = [
    row("no labels", creation(Labels=None), "Labels: are missing, and remora always sets them"),
    row("labels that are null", creation() | {"Labels": None}, "Labels: are missing, and remora always sets them"),
    row("labels that are a list", creation(Labels=["remora.stack=shop"]), "Labels: are missing, and remora always sets them"),
    row("no stack", creation(Labels={"remora.sidekick": "probe"}), missing("Labels.remora.stack")),
    row("no sidekick", creation(Labels={"remora.stack": "shop"}), missing("Labels.remora.sidekick")),
    row("a sidekick without a name", creation(Labels=LABELS | {"remora.sidekick": ""}), missing("Labels.remora.sidekick")),
    row("no mark", creation(Labels=LABELS), NO_MARK),
    row("the mark of other labels", creation(Labels=creation()["Labels"] | {"remora.parent": "x"}), NO_MARK),
    row(
        "Compose's labels", creation(Labels=LABELS | {"com.docker.compose.project": "shop"}), only_ours("Labels.com.docker.compose.project")
    ),
    row("labels of a proxy", creation(Labels=LABELS | {"traefik.enable": "true"}), only_ours("Labels.traefik.enable")),
    row("a label that is no text", creation(Labels=LABELS | {"remora.role": 1}), "Labels.remora.role: must be text"),
    row("no image", creation(Image=None), missing("Image")),
    row("an image that is none", creation(Image="http://x"), "Image: must be an image"),
    row("an image with a line's end", creation(Image="debian\n"), "Image: must be an image"),
    row("no host config", creation(HostConfig=None), missing("HostConfig")),
    row("a host config that is a list", creation(HostConfig=[]), "HostConfig: must be an object"),
    row("env that is an object", creation(Env={"A": "b"}), "Env: must be a list"),
    row("env that is null", creation() | {"Env": None}, "Env: must be a list"),
    row("a command in one text", creation(Cmd="sh"), "Cmd: must be a list"),
    row("a command of numbers", creation(Cmd=[1]), "Cmd: must be text"),
    row("a user by number", creation(User=0), "User: must be text"),
    row("a stop without an end", creation(StopTimeout=10**9), "StopTimeout: must be a number from 0 to 86400"),
    row("a stop in words", creation(StopTimeout="10"), "StopTimeout: must be a number from 0 to 86400"),
    # caps
    row("no cap on memory", host(Memory=None), missing("HostConfig.Memory")),
    row("memory without end", host(Memory=0), no_cap("Memory")),
    row("memory below nothing", host(Memory=-1), no_cap("Memory")),
    row("memory beyond all", host(Memory=2**63), no_cap("Memory")),
    row("memory that is true", host(Memory=True), no_cap("Memory")),
    row("memory as a fraction", host(Memory=1e9), no_cap("Memory")),
    row("no cap on swap", host(MemorySwap=None), missing("HostConfig.MemorySwap")),
    row("swap without end", host(MemorySwap=-1), no_cap("MemorySwap")),
    row("swap beside memory", host(MemorySwap=1 << 40), "HostConfig.MemorySwap: must be the same as Memory"),
    row("no cap on processes", host(PidsLimit=None), missing("HostConfig.PidsLimit")),
    row("processes without end", host(PidsLimit=-1), no_cap("PidsLimit")),
    row("no cap on processors", host(NanoCpus=None), missing("HostConfig.NanoCpus")),
    row("processors without end", host(NanoCpus=0), no_cap("NanoCpus")),
    row("a greater share than an app", host(CpuShares=2048), "HostConfig.CpuShares: must be a number from 2 to 1024"),
    row("killed after any app", host(OomScoreAdj=-1000), "HostConfig.OomScoreAdj: must be a number from 0 to 1000"),
    # rights
    row("capabilities kept", host(CapDrop=None), missing("HostConfig.CapDrop")),
    row("nothing dropped", host(CapDrop=[]), DROPPED),
    row("one dropped", host(CapDrop=["NET_RAW"]), DROPPED),
    row("all dropped in small letters", host(CapDrop=["all"]), DROPPED),
    row("a capability", host(CapAdd=["NET_RAW"]), no_capability("NET_RAW")),
    row("all capabilities", host(CapAdd=["ALL"]), no_capability("ALL")),
    row("no security options", host(SecurityOpt=None), missing("HostConfig.SecurityOpt")),
    row("no security", host(SecurityOpt=["seccomp=unconfined"]), PRIVILEGES),
    row("less security", host(SecurityOpt=["no-new-privileges", "apparmor=unconfined"]), PRIVILEGES),
    row("new privileges", host(SecurityOpt=["no-new-privileges:false"]), PRIVILEGES),
    row("the host's paths unmasked", host(SecurityOpt=["no-new-privileges", "systempaths=unconfined"]), PRIVILEGES),
    # namespaces
    row("no network mode", host(NetworkMode=None), missing("HostConfig.NetworkMode")),
    row("an empty network mode", host(NetworkMode=""), NO_NETWORK),
    row("the host's network", host(NetworkMode="host"), "HostConfig.NetworkMode: `host` is the host's own network"),
    row("the host's network by its id", host(NetworkMode="9" * 64), f"HostConfig.NetworkMode: `{'9' * 64}` is the host's own network"),
    row("the host's network by a short id", host(NetworkMode="9" * 12), f"HostConfig.NetworkMode: there is no network `{'9' * 12}`"),
    row(
        "the host's network by another name",
        host(NetworkMode="beside_host"),
        "HostConfig.NetworkMode: `beside_host` is the host's own network",
    ),
    row("a network namespace by its path", host(NetworkMode="ns:/proc/1/ns/net"), NO_NETWORK),
    row("a network that is not there", host(NetworkMode="nowhere"), "HostConfig.NetworkMode: there is no network `nowhere`"),
    row("a network by default", host(NetworkMode="default"), "HostConfig.NetworkMode: there is no network `default`"),
    row("beside a container that is not there", host(NetworkMode="container:x"), "HostConfig.NetworkMode: there is no container `x`"),
    row("beside no container", host(NetworkMode="container:"), NO_NETWORK),
    row("beside one on the host's network", host(NetworkMode="container:hosted"), hosts_own("NetworkMode", "hosted")),
    row("beside one beside it", host(NetworkMode="container:beside-hosted"), hosts_own("NetworkMode", "beside-hosted")),
    row("beside one on it by id", host(NetworkMode="container:hosted-by-id"), hosts_own("NetworkMode", "hosted-by-id")),
    row("the host's processes", host(PidMode="host"), f"HostConfig.PidMode: {BY_ID}"),
    row("the host's processes beside a container", host(PidMode="container:hosted"), hosts_own("PidMode", "hosted")),
    row("and beside one beside it", host(PidMode="container:beside-hosted"), hosts_own("PidMode", "beside-hosted")),
    row("beside one that goes round", host(PidMode="container:round"), "HostConfig.PidMode: the namespace of `round` cannot be told"),
    row("beside one beside nobody", host(PidMode="container:beside-nobody"), "HostConfig.PidMode: there is no container `gone`"),
    row("an empty process mode", host(PidMode=""), f"HostConfig.PidMode: {BY_ID}"),
    row("the host's IPC", host(IpcMode="host"), f"HostConfig.IpcMode: {BY_ID}"),
    row("IPC to be shared", host(IpcMode="shareable"), f"HostConfig.IpcMode: {BY_ID}"),
    row("the host's IPC beside a container", host(IpcMode="container:hosted"), hosts_own("IpcMode", "hosted")),
    row(
        "a small socket in an app's network",
        host(NetworkMode="container:shop-web-1", Sysctls={"net.ipv4.tcp_wmem": "1 2 3"}),
        "HostConfig.Sysctls: would change the network of another container",
    ),
    row(
        "another sysctl",
        host(Sysctls={"kernel.msgmax": "1 2 3"}),
        "HostConfig.Sysctls.kernel.msgmax: only net.ipv4.tcp_wmem is let through",
    ),
    row(
        "a sysctl with slashes",
        host(Sysctls={"net/ipv4/tcp_wmem": "1 2 3"}),
        "HostConfig.Sysctls.net/ipv4/tcp_wmem: only net.ipv4.tcp_wmem is let through",
    ),
    row(
        "a sysctl with a line's end",
        host(Sysctls={"net.ipv4.tcp_wmem": "1 2 3\n"}),
        "HostConfig.Sysctls.net.ipv4.tcp_wmem: must be three numbers",
    ),
    # files
    row(
        "a tmpfs that may run programs of others",
        host(Tmpfs={"/x": "exec,suid,dev"}),
        "HostConfig.Tmpfs./x: must be rw,nosuid,nodev,size=N",
    ),
    row("a tmpfs without an end", host(Tmpfs={"/x": ""}), "HostConfig.Tmpfs./x: must be rw,nosuid,nodev,size=N"),
    row(
        "a tmpfs at a way up",
        host(Tmpfs={"/x/..": "rw,nosuid,nodev,size=1m"}),
        "HostConfig.Tmpfs./x/..: only an absolute path is let through",
    ),
    row(
        "a log that goes elsewhere",
        host(LogConfig={"Type": "syslog", "Config": {"syslog-address": "udp://evil"}}),
        'HostConfig.LogConfig.Type: must be "json-file"',
    ),
    row("a log without a file", host(LogConfig={"Type": "none", "Config": {}}), 'HostConfig.LogConfig.Type: must be "json-file"'),
    row("a log without an end", host(LogConfig={"Type": "json-file", "Config": {}}), missing("HostConfig.LogConfig.Config.max-size")),
    row(
        "a log with env",
        host(LogConfig={"Type": "json-file", "Config": {"max-size": "1m", "env": "X"}}),
        f"HostConfig.LogConfig.Config.env: {NEVER}",
    ),
    row("no log settings", host(LogConfig=None), missing("HostConfig.LogConfig")),
    row(
        "a restart policy that there is not",
        host(RestartPolicy={"Name": "x"}),
        'HostConfig.RestartPolicy.Name: must be "no" or "always" or "on-failure" or "unless-stopped"',
    ),
]


@pytest.mark.parametrize("body, reason", CONTAINERS)
def test_a_container_that_is_no_sidekick_is_refused(body, reason):
    assert creation_refused(body) == reason


NAMES = [
    row("an app's", "shop-web-2", NO_NAME),
    row("a service's, which others reach it by", "db", NO_NAME),
    row("the sidekick's alone", "probe", NO_NAME),
    row("one that ends alike", "shop-web-1-probe", NO_NAME),
    row("none", None, NO_NAME),
    row("another sidekick's", "shop-web-2.probe", NO_MARK),
    row("with a slash", "%2Fshop.probe", "the parameter `name` may not be `/shop.probe`"),
    row("twice", "shop-web-1.probe&name=db", "the parameter `name` stands there twice"),
    row("with a platform", "shop-web-1.probe&platform=x", unknown("platform")),
]


@pytest.mark.parametrize("name, reason", NAMES)
def test_a_name_that_is_no_sidekicks_is_refused(name, reason):
    assert creation_refused(creation(), name) == reason


# ---- what is mounted ----

MOUNTS = [
    row("the host", bind("/"), not_allowed("/")),
    row("the engine's socket", bind("/var/run/docker.sock"), not_allowed("/var/run/docker.sock")),
    row("the engine's logs, to write", bind(ROOT, False), not_allowed(ROOT, True)),
    row("the engine's logs, unsaid", host(Mounts=[{"Type": "bind", "Source": ROOT, "Target": "/x"}]), not_allowed(ROOT, True)),
    row("below the engine's logs", bind(f"{ROOT}/x"), not_allowed(f"{ROOT}/x")),
    row("above the engine's logs", bind("/var/lib/docker"), not_allowed("/var/lib/docker")),
    row("a way up", bind(f"{ROOT}/.."), f"{MOUNT}.Source: must be an absolute path without `.` and `..`"),
    row("a slash at the end", bind(f"{ROOT}/"), f"{MOUNT}.Source: must be an absolute path without `.` and `..`"),
    row("two slashes", bind(f"/{ROOT}"), f"{MOUNT}.Source: must be an absolute path without `.` and `..`"),
    row("a relative path", bind("var"), f"{MOUNT}.Source: must be an absolute path without `.` and `..`"),
    row("no path", bind(""), f"{MOUNT}.Source: must be an absolute path without `.` and `..`"),
    row("how it spreads", bind(ROOT, BindOptions={"Propagation": "rshared"}), f"{MOUNT}.BindOptions.Propagation: {NEVER}"),
    row("not recursively", bind(ROOT, BindOptions={"NonRecursive": True}), f"{MOUNT}.BindOptions.NonRecursive: {NEVER}"),
    row(
        "read-only at the top alone",
        bind(ROOT, BindOptions={"ReadOnlyNonRecursive": True}),
        f"{MOUNT}.BindOptions.ReadOnlyNonRecursive: {NEVER}",
    ),
    row(
        "a bind with a volume's options",
        bind(ROOT, VolumeOptions={"Labels": {}}),
        f"{MOUNT}.VolumeOptions: remora never sets it for a bind",
    ),
    row(
        "a driver",
        mount(VolumeOptions={"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}}),
        f"{MOUNT}.VolumeOptions.DriverConfig: {NEVER}",
    ),
    row("a driver in other letters", mount(VolumeOptions={"driverConfig": {}}), f"{MOUNT}.VolumeOptions.driverConfig: {NEVER}"),
    row("a folder of a volume", mount(VolumeOptions={"Subpath": "../.."}), f"{MOUNT}.VolumeOptions.Subpath: {NEVER}"),
    row("without a copy", mount(VolumeOptions={"NoCopy": True}), f"{MOUNT}.VolumeOptions.NoCopy: {NEVER}"),
    row(
        "labels of others on a volume",
        mount(Source="remora_new", ReadOnly=False, VolumeOptions={"Labels": {"x": "y"}}),
        only_ours(f"{MOUNT}.VolumeOptions.Labels.x"),
    ),
    row("a tmpfs", mount(Type="tmpfs", Source=""), f'{MOUNT}.Type: must be "bind" or "volume"'),
    row("a named pipe", mount(Type="npipe"), f'{MOUNT}.Type: must be "bind" or "volume"'),
    row("a cluster's volume", mount(Type="cluster"), f'{MOUNT}.Type: must be "bind" or "volume"'),
    row("an image", mount(Type="image"), f'{MOUNT}.Type: must be "bind" or "volume"'),
    row("no type", host(Mounts=[{"Source": "/", "Target": "/x"}]), missing(f"{MOUNT}.Type")),
    row(
        "a type in other letters",
        host(Mounts=[{"Type": "volume", "type": "bind", "Source": "shop_data", "Target": "/x"}]),
        f"{MOUNT}.type: {NEVER}",
    ),
    row("no source, a volume without a name", host(Mounts=[{"Type": "volume", "Target": "/x"}]), missing(f"{MOUNT}.Source")),
    row("an empty source", mount(Source=""), f"{MOUNT}: the source of a volume must be its name"),
    row("a volume that is a path", mount(Source="/"), f"{MOUNT}: the source of a volume must be its name"),
    row("a volume that leads up", mount(Source=".."), f"{MOUNT}: the source of a volume must be its name"),
    row("a relative target", mount(Target="x"), f"{MOUNT}.Target: must be an absolute path without `.` and `..`"),
    row("a target that leads up", mount(Target="/x/../proc"), f"{MOUNT}.Target: must be an absolute path without `.` and `..`"),
    row("read-only in words", mount(ReadOnly="true"), f"{MOUNT}.ReadOnly: must be true or false"),
    row("read-only by number", mount(ReadOnly=1), f"{MOUNT}.ReadOnly: must be true or false"),
    row("consistency", mount(Consistency="cached"), f"{MOUNT}.Consistency: {NEVER}"),
    row("options of a tmpfs", mount(TmpfsOptions={}), f"{MOUNT}.TmpfsOptions: {NEVER}"),
    row("an app's volume, to write", mount(ReadOnly=False), only_read("shop_data")),
    row("a volume that lies elsewhere", mount(Source="shop_nfs"), outside("shop_nfs")),
    row("one of remora's name that lies elsewhere", mount(Source="remora_shop_disk", ReadOnly=False), outside("remora_shop_disk:rw")),
    row("a volume that is not there, which would be made", mount(Source="shop_new"), f"{MOUNT}: there is no volume `shop_new`"),
    row(
        "a new one of remora's name without its label",
        mount(Source="remora_new", ReadOnly=False),
        f"{MOUNT}: there is no volume `remora_new`",
    ),
    row(
        "a squatted one, to write",
        mount(Source="remora_squatted", ReadOnly=False, VolumeOptions={"Labels": {"remora.stack": "shop"}}),
        only_read("remora_squatted"),
    ),
    row("mounts that are an object", host(Mounts={}), f"{MOUNT}: must be a list"),
    row("a mount that is text", host(Mounts=["/:/host"]), f"{MOUNT}: must be an object"),
    row("the second of two", host(Mounts=[*mount()["HostConfig"]["Mounts"], *bind("/")["HostConfig"]["Mounts"]]), not_allowed("/")),
]


@pytest.mark.parametrize("body, reason", MOUNTS)
def test_a_mount_that_opens_more_than_a_wall_is_refused(body, reason):
    assert creation_refused(body) == reason


def test_volumes_of_remoras_own_may_be_written_to():
    for source, more in (("remora_shop_spool", {}), ("remora_new", {"VolumeOptions": {"Labels": {"remora.stack": "shop"}}})):
        body = mount(Source=source, ReadOnly=False, **more)
        assert create(body) == body


PATHS = Policy(paths={"/srv/logs": True, "/srv/html": False, "/run/engine.sock": False})


@pytest.mark.parametrize(
    "source, read_only, fine",
    [("/srv/logs", True, 1), ("/srv/logs", False, 1), ("/srv/html", True, 1), ("/srv/html", False, 0), ("/srv", True, 0)],
)
def test_host_paths_can_be_allowed(source, read_only, fine):
    body = bind(source, read_only, BindOptions={"CreateMountpoint": not read_only})
    assert create(body, policy=PATHS) == body if fine else creation_refused(body, policy=PATHS)


@pytest.mark.parametrize("source", ["/srv/logs/link", "/srv/html/link", "/srv/logs/../html", "/srv/logs/."])
def test_nothing_below_an_allowed_path_is_allowed(source):
    """Whoever writes there could have laid a link to anywhere."""
    assert creation_refused(bind(source, True), policy=PATHS)


def test_the_engines_socket_can_be_allowed_by_name():
    assert create(bind("/run/engine.sock"), policy=PATHS)


@pytest.mark.parametrize(
    "policy, read_only, fine", [({"shop_data": True}, False, 1), ({"shop_data": False}, False, 0), ({"shop_data": False}, True, 1)]
)
def test_volumes_can_be_allowed(policy, read_only, fine):
    body = mount(ReadOnly=read_only)
    assert create(body, policy=Policy(volumes=policy)) if fine else creation_refused(body, policy=Policy(volumes=policy))


@pytest.mark.parametrize(
    "policy, read_only, fine", [({"shop_nfs": True}, False, 1), ({"shop_nfs": False}, False, 0), ({"shop_nfs": False}, True, 1)]
)
def test_volumes_that_lie_elsewhere_can_be_allowed(policy, read_only, fine):
    body = mount(Source="shop_nfs", ReadOnly=read_only)
    assert create(body, policy=Policy(volumes=policy)) if fine else creation_refused(body, policy=Policy(volumes=policy))


@pytest.mark.parametrize("name, fine", [("NET_RAW", 1), ("net_raw", 0), ("CAP_NET_RAW", 0), ("SYS_ADMIN", 0), ("ALL", 0)])
def test_capabilities_can_be_allowed_one_by_one(name, fine):
    body, policy = host(CapAdd=[name]), Policy(capabilities=frozenset({"NET_RAW"}))
    assert create(body, policy=policy) if fine else creation_refused(body, policy=policy)


# ---- secrets ----

CARRYING = {
    "Image": "debian:trixie-slim",
    "Cmd": ["-"],
    "Labels": {"remora.sidekick": "probe", "remora.carrier": "remora_x_secrets"},
    "HostConfig": {"Mounts": [{"Type": "volume", "Source": "remora_x_secrets", "Target": "/secrets"}], "NetworkMode": "none"},
}


def carrying(**changes):
    return {**deepcopy(CARRYING), **changes}


def test_what_carries_secrets_is_let_through():
    assert create(carrying(), name=None) == CARRYING


def carried(*mounts, **more):
    return carrying(HostConfig={"Mounts": list(mounts), "NetworkMode": "none", **more})


SECRETS = {"Type": "volume", "Source": "remora_x_secrets", "Target": "/secrets"}
AT = "HostConfig.Mounts: must be the volume that the label remora.carrier names, at /secrets"
CARRIERS = [
    row("a name", carrying(), "db", "name: remora names no container that carries secrets"),
    row("no sidekick", carrying(Labels={"remora.carrier": "remora_x_secrets"}), None, missing("Labels.remora.sidekick")),
    row("something to run", carrying(Cmd=["sh"]), None, 'Cmd: must be ["-"]'),
    row("something else to run", carrying(Entrypoint=["sh"]), None, f"Entrypoint: {NEVER}"),
    row("a network", carried(SECRETS, NetworkMode="bridge"), None, 'HostConfig.NetworkMode: must be "none"'),
    row("privileges", carried(SECRETS, Privileged=True), None, f"HostConfig.Privileged: {NEVER}"),
    row("an app's volume", carried(SECRETS | {"Source": "shop_data"}), None, AT),
    row(
        "an app's volume as its own",
        carrying(
            Labels=CARRYING["Labels"] | {"remora.carrier": "shop_data"},
            HostConfig={"Mounts": [SECRETS | {"Source": "shop_data"}], "NetworkMode": "none"},
        ),
        None,
        only_read("shop_data"),
    ),
    row("a second mount", carried(SECRETS, {"Type": "bind", "Source": "/", "Target": "/x"}), None, AT),
    row("a bind", carried({"Type": "bind", "Source": "remora_x_secrets", "Target": "/secrets"}), None, AT),
    row("another place", carried(SECRETS | {"Target": "/"}), None, AT),
    row("no mount", carried(), None, AT),
]


@pytest.mark.parametrize("body, name, reason", CARRIERS)
def test_nothing_else_carries_secrets(body, name, reason):
    assert creation_refused(body, name) == reason


def test_secrets_go_into_what_carries_them():
    archive = secrets.archive([("token", b"1234"), (".hidden", b"5")], "7001:42")
    call = judge("PUT", "/v1.45/containers/carrier/archive?path=%2Fsecrets", archive, Policy(), Facts())
    assert (call.target, call.content) == (f"/v1.45/containers/{CARRIER}/archive?path=%2Fsecrets", "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(call.body)) as tar:
        assert [(m.name, m.mode, m.uid, m.gid, tar.extractfile(m).read()) for m in tar] == [
            ("token", 0o400, 7001, 42, b"1234"),
            (".hidden", 0o400, 7001, 42, b"5"),
        ]


def member(name="x", type=tarfile.REGTYPE, **more):
    """A tar with one member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type = type
        for key, value in more.items():
            setattr(info, key, value)
        tar.addfile(info)
    return buffer.getvalue()


MORE = "the archive holds more than plain files"
ARCHIVES = [
    row("a way up", member("../x"), MORE),
    row("an absolute path", member("/etc/passwd"), MORE),
    row("a folder's file", member("x/y"), MORE),
    row("the folder above", member(".."), MORE),
    row("the folder itself", member("."), MORE),
    row("a folder", member("x", tarfile.DIRTYPE), MORE),
    row("a symbolic link", member("x", tarfile.SYMTYPE, linkname="/"), MORE),
    row("a hard link", member("x", tarfile.LNKTYPE, linkname="/etc/shadow"), MORE),
    row("a disk", member("x", tarfile.BLKTYPE, devmajor=8), MORE),
    row("a device", member("x", tarfile.CHRTYPE, devmajor=1), MORE),
    row("a pipe", member("x", tarfile.FIFOTYPE), MORE),
    row("compressed", b"\x1f\x8b\x08\x00", "the body is not a tar archive"),
    row("words", b"hello" * 200, "the body is not a tar archive"),
]


@pytest.mark.parametrize("archive, reason", ARCHIVES)
def test_an_archive_of_anything_else_is_refused(archive, reason):
    assert refused("PUT", "/containers/carrier/archive?path=/secrets", archive) == reason


def test_an_archive_is_written_anew():
    """No set-uid bit, no extended attribute, nothing behind its end."""
    given = member("x", mode=0o4777, uname="root", pax_headers={"SCHILY.xattr.security.capability": "x"}) + b"more" * 512
    with tarfile.open(fileobj=io.BytesIO(packed(given))) as tar:
        assert [(m.mode, m.uname, m.pax_headers) for m in tar] == [(0o777, "", {})]
    assert len(packed(given)) < len(given)


# ---- volumes ----

VOLUME = {"Name": "remora_x_secrets", "Driver": None, "DriverOpts": None, "Labels": {"remora.stack": "shop"}}


def test_a_volume_of_remoras_is_let_through():
    call = judge("POST", "/volumes/create", json.dumps(VOLUME).encode(), Policy(), Facts())
    assert json.loads(call.body) == VOLUME


VOLUMES = [
    row("a folder of the host", {"DriverOpts": {"type": "none", "o": "bind", "device": "/"}}, "DriverOpts: must be null or {}"),
    row("another driver", {"Driver": "evil"}, 'Driver: must be null or "local"'),
    row("a cluster's", {"ClusterVolumeSpec": {}}, f"ClusterVolumeSpec: {NEVER}"),
    row("an app's name", {"Name": "shop_data"}, "Name: must be a name that begins with `remora_`"),
    row("no name", {"Name": ""}, "Name: must be a name that begins with `remora_`"),
    row("a path", {"Name": "remora_/../x"}, "Name: must be a name that begins with `remora_`"),
    row("no stack", {"Labels": {"remora.volume": "x"}}, missing("Labels.remora.stack")),
    row("Compose's labels", {"Labels": {"com.docker.compose.volume": "x"}}, only_ours("Labels.com.docker.compose.volume")),
    row("other letters", {"driverOpts": {"device": "/"}}, f"driverOpts: {NEVER}"),
]


@pytest.mark.parametrize("changes, reason", VOLUMES)
def test_any_other_volume_is_refused(changes, reason):
    assert refused("POST", "/volumes/create", json.dumps(VOLUME | changes).encode()) == reason


# ---- laws ----

EVERYTHING = """
    environments: {prod: {attach: [printed, files, peek, all, tls]}}
    sidekicks:
      printed: {kind: logs, for: "*", to: "file:///srv/logs"}
      files: {kind: logs, for: web, from: /data, to: "relp://logs:2514"}
      tls: {kind: logs, for: "*", to: "syslog+tls://logs:6514", tls: {ca: "file:ca.pem"}}
      peek: {kind: container, for: web, image: "debian:trixie-slim", walls: {network: true, processes: true, ipc: true}}
      all: {kind: container, for: web, image: "a:1", command: x, walls: {files: {volume: data, mode: rw}}, network: shop_default,
        env: {A: b}, secrets: {t: "env:T"}, user: "1:2", capabilities: NET_RAW, limits: {memory: 32m, cpus: 1, pids: 9}}
"""
ALL = Policy({"/srv/logs": True}, {"shop_data": True}, frozenset({"DAC_READ_SEARCH", "NET_RAW"}))


def every_sidekick():
    web = {"volumes": [{"type": "volume", "source": "data", "target": "/data"}], "networks": {"default": None}}
    stack = compose(web=web, volumes={"data": {"name": "shop_data"}}, networks={"default": {"name": "shop_default"}})
    return [replace(each, parent=WEB if each.host else "") for each in specs(EVERYTHING, stack)]


def test_every_sidekick_of_the_catalogue_is_let_through_as_it_is():
    found = every_sidekick()
    assert len(found) >= 8
    facts = Facts()
    facts.volumes = Facts.volumes | {inspection.secret_volume(each.name): Volume({"remora.stack": "shop"}) for each in found}
    for each in found:
        body = {key: value for key, value in inspection.creation(each, ENGINE).items() if value is not None}
        body = json.loads(json.dumps(body).replace(f"{Spec.__name__}", "").replace("/var/lib/docker/containers", ROOT))
        call = judge("POST", f"/v1.45/containers/create?name={each.name}", json.dumps(body).encode(), ALL, facts)
        assert json.loads(call.body) == body, each.name


MOUNTED = {"Type", "Source", "Target", "ReadOnly", "BindOptions", "VolumeOptions"}
KEYS = sorted({*OPTIONS, *TOP, *creation(), *creation()["HostConfig"], *MOUNTED})
WORDS = ["host", "/", ROOT, "none", "container:hosted", "container:shop-web-1", "shop_data", "remora_new", "bind", "volume", "ALL", ""]
MORE_WORDS = ["SYS_ADMIN", "no-new-privileges", "seccomp=unconfined", "/var/run/docker.sock"]
VALUES = st.recursive(
    st.sampled_from([*WORDS, *MORE_WORDS, True, False, None, 0, 1, -1, 1 << 30, 1.5]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=4,
)
SPELT = st.sampled_from([str, str, str, str, str.lower, str.upper])
PLACES = st.sampled_from([(), ("HostConfig",), ("HostConfig",), ("HostConfig", "Mounts", 0), ("Labels",)])


@given(st.lists(st.tuples(PLACES, st.sampled_from(KEYS), SPELT, VALUES | st.just(...)), max_size=4))
def test_whatever_is_let_through_is_within_its_walls(changes):
    """A body of remora's own, changed here and there."""
    body = mount()
    for place, key, spelt, value in changes:
        where = body
        for step in place:
            where = where[step] if (isinstance(where, list) and where) or (isinstance(where, dict) and step in where) else {}
        if isinstance(where, dict):
            where.pop(spelt(key), None)
            where |= {} if value is ... else {spelt(key): value}
    try:
        made = create(body)
    except Refused:
        return
    host = made["HostConfig"]
    assert set(made) <= set(creation()) | {"Entrypoint", "Cmd"} and set(host) <= {*creation()["HostConfig"], "PidMode", "IpcMode"}
    assert (host["CapDrop"], host.get("CapAdd") or [], host["SecurityOpt"]) == (["ALL"], [], ["no-new-privileges"])
    assert min(host["Memory"], host["NanoCpus"], host["PidsLimit"]) > 0 and host["MemorySwap"] == host["Memory"]
    assert host["NetworkMode"] in ("none", f"container:{WEB}")
    assert {host.get("PidMode"), host.get("IpcMode")} <= {None, f"container:{WEB}"}
    for each in host.get("Mounts", []):
        assert (each["ReadOnly"] and each["Source"] in (ROOT, "shop_data")) or each["Source"] == "remora_new"
        assert not {"DriverConfig", "Propagation"} & {*each.get("VolumeOptions", {}), *each.get("BindOptions", {})}
