"""Short ways to make the values that the unit tests are about."""

from textwrap import dedent

from remora.core import ops, overlay, plan, project, weave
from remora.core.check import check
from remora.core.sidekick import Context
from remora.core.world import EngineFacts
from remora.engines.performing import perform
from remora.sidekicks import KINDS, settings

OWNER = "/srv/shop/remora.yaml"
IMAGES = {"logs": "remora/logs:1"}

SHOP = {
    "name": "shop",
    "services": {
        "db": {"image": "postgres:16", "volumes": [{"type": "volume", "source": "data", "target": "/var/lib/postgresql/data"}]},
        "web": {
            "image": "nginx:1.27",
            "volumes": [
                {"type": "volume", "source": "logs", "target": "/var/log/nginx"},
                {"type": "bind", "source": "/home/dev/html", "target": "/usr/share/nginx/html"},
            ],
        },
    },
    "volumes": {"data": {"name": "shop_data"}, "logs": {"name": "shop_logs"}},
}


def compose(name="shop", volumes=None, networks=None, **services):
    """A project out of canonical Compose entries."""
    whole = {key: {"image": f"{key}:1", **entry} for key, entry in services.items()}
    return project.read({"name": name, "services": whole, "volumes": volumes or {}, "networks": networks or {}})


def shop():
    return project.read(SHOP)


def read(text):
    """An ops file, indented as the test likes."""
    return ops.read(dedent(text).lstrip("\n"), "remora.yaml", OWNER, settings())


def checked(text, stack=None):
    """An ops file held against a stack."""
    found = read(text)
    check(found, stack or shop())
    return found


def context(found, stack="shop", facts=None, volumes=None):
    return Context(stack, found.environment(None), found.owner, facts or EngineFacts(host="fake", id="FAKE"), IMAGES, volumes or {})


def woven(found, apps, stack="shop", volumes=None):
    return weave.weave(found, apps, context(found, stack, volumes=volumes), KINDS)


def coming(stack):
    """The app containers that Compose will make of `stack`."""
    return weave.expected(stack, {}, ())


def specs(text, stack=None):
    """The sidekicks that an ops file wants beside the containers of `stack`."""
    stack = stack or shop()
    return woven(read(text), coming(stack), stack.name, stack.volumes).specs


def wanted(engine, found, stack):
    """The sidekicks for what runs on an engine."""
    world = engine.observe(stack.name)
    return woven(found, weave.present(world, stack.name), stack.name, stack.volumes).specs, world


def planned(engine, found, stack):
    """What is to be done on an engine, images included."""
    wants, world = wanted(engine, found, stack)
    actions = plan.plan(wants, world, stack.name, found.owner)
    return plan.prepared(actions, engine.having({a.spec.image for a in actions if isinstance(a, plan.Attach)}))


def settle(engine, found, stack):
    """Plan and perform once; gives what failed."""
    return perform(engine, planned(engine, found, stack), lambda _: None, lambda *_: None)


def rendered(text, stack):
    """The overlay of an ops file for a stack."""
    return overlay.overlay(stack, specs(text, stack), {app.name: app.service for app in coming(stack)})
