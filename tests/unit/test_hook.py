"""How hooks are written, what is refused with which sentence, and which news they are for."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from test_news import NOW, app
from worlds import checked, compose

from remora.core import ops
from remora.core.document import parse
from remora.core.hook import Do, Hook, Webhook
from remora.core.news import News
from remora.core.sidekick import observed
from remora.errors import RemoraError
from remora.sidekicks import settings

FILE = """\
environments: {prod: }
sidekicks:
  core: {kind: container, for: web, image: busybox}
  ship: {kind: logs, for: web, to: file:///l}
on:
  - HOOK
"""
SCHEMA = Draft202012Validator(ops.schema(settings()))
DOCS = Path(__file__).parents[2] / "docs"
RUN = Do(run=("true",))


def row(id, *values):
    return pytest.param(*values, id=id)


GOOD = [
    row("a command", "{event: app.oom, do: {run: [./page, --now]}}", Hook(event="app.oom", do=Do(run=("./page", "--now")))),
    row("globs", "{event: [app.*, sidekick.failed], do: {run: ['true']}}", Hook(event=("app.*", "sidekick.failed"), do=RUN)),
    row("a service", "{event: app.oom, for: web, do: {run: ['true']}}", Hook(event="app.oom", for_={"service": "web"}, do=RUN)),
    row("conditions", "{event: app.oom, for: {image: nginx}, do: {run: ['true']}}", Hook(event="app.oom", for_={"image": "nginx"}, do=RUN)),
    row("a time", "{event: app.oom, do: {run: ['true']}, within: 1m}", Hook(event="app.oom", do=RUN, within=60)),
    row("a job", "{event: app.oom, do: {job: core}}", Hook(event="app.oom", do=Do(job="core"))),
    row(
        "a webhook",
        "{event: app.oom, do: {webhook: {url: 'https://h.internal:8443/x?y=1'}}}",
        Hook(event="app.oom", do=Do(webhook=Webhook(url="https://h.internal:8443/x?y=1"))),
    ),
    row(
        "a webhook by reference",
        "{event: app.oom, do: {webhook: {url: env:URL, secret: file:key}}}",
        Hook(event="app.oom", do=Do(webhook=Webhook(url="env:URL", secret="file:key"))),
    ),
]


@pytest.mark.parametrize("text, hook", GOOD)
def test_a_hook_is_read(text, hook):
    file = FILE.replace("HOOK", text)
    assert checked(file).on == (hook,)
    assert list(SCHEMA.iter_errors(parse(file, "remora.yaml").plain())) == []


def test_a_file_without_hooks_has_none():
    assert checked("environments: {prod: }\non:\n").on == checked("environments: {prod: }\non: []\n").on == ()


ADDRESS = "must be http://HOST/… or https://HOST/…, or name where it is: `env:NAME` or `file:PATH`"
SCHEMA_SEES_NOT = {
    "an unknown event",
    "a glob that fits none",
    "a job that there is not",
    "a job of another kind",
    "an unknown service",
    "no time at all",
}
WRONG = [
    row("no event", "{do: {run: ['true']}}", "0: `event` is missing"),
    row("nothing to do", "{event: app.oom}", "0: `do` is missing"),
    row("plain text", "app.oom", "0: must be a mapping"),
    row("an unknown setting", "{event: app.oom, do: {job: core}, witin: 5}", "0.witin: no such setting; did you mean `within`?"),
    row("an event that is nearly one", "{event: app.omm, do: {job: core}}", "0.event: no event `app.omm`; did you mean `app.oom`?"),
    row("an empty list of events", "{event: [], do: {job: core}}", "0.event: the list is empty; write at least one"),
    row("an event that is a number", "{event: 5, do: {job: core}}", "0.event: must be text; put it in quotes"),
    row("an unknown service", "{event: app.oom, for: wbe, do: {job: core}}", "0.for: no service `wbe`; there is `db`, `web`"),
    row(
        "an unknown condition",
        "{event: app.oom, for: {services: web}, do: {job: core}}",
        "0.for.services: no such setting; did you mean `service`?",
    ),
    row("nothing in it", "{event: app.oom, do: {}}", "0.do: must be one of `webhook`, `run` and `job`"),
    row("two at once", "{event: app.oom, do: {run: ['true'], job: core}}", "0.do: must be one of `webhook`, `run` and `job`"),
    row("an unknown deed", "{event: app.oom, do: {mail: me}}", "0.do.mail: no such setting; there is `job`, `run`, `webhook`"),
    row("a command for a shell", "{event: app.oom, do: {run: 'page --now'}}", "0.do.run: must be a list"),
    row("an empty command", "{event: app.oom, do: {run: []}}", "0.do.run: must be a command and its arguments, such as [./page, --now]"),
    row("an argument that is a number", "{event: app.oom, do: {run: [sleep, 5]}}", "0.do.run.1: must be text; put it in quotes"),
    row("a job that there is not", "{event: app.oom, do: {job: cor}}", "0.do.job: no sidekick `cor`; did you mean `core`?"),
    row(
        "a job of another kind", "{event: app.oom, do: {job: ship}}", "0.do.job: `ship` is of kind `logs`, and a job is of kind `container`"
    ),
    row("a webhook without a URL", "{event: app.oom, do: {webhook: {}}}", "0.do.webhook: `url` is missing"),
    row("a webhook that is only a URL", "{event: app.oom, do: {webhook: 'http://x'}}", "0.do.webhook: must be a mapping"),
    row("another scheme", "{event: app.oom, do: {webhook: {url: 'ftp://h/x'}}}", f"0.do.webhook.url: {ADDRESS}"),
    row("no host", "{event: app.oom, do: {webhook: {url: 'https:///x'}}}", f"0.do.webhook.url: {ADDRESS}"),
    row("a URL with a line end", '{event: app.oom, do: {webhook: {url: "http://h/x\\n"}}}', f"0.do.webhook.url: {ADDRESS}"),
    row("a port that is none", "{event: app.oom, do: {webhook: {url: 'http://h:99999/'}}}", f"0.do.webhook.url: {ADDRESS}"),
    row(
        "a password in the URL",
        "{event: app.oom, do: {webhook: {url: 'https://me:hunter2@h/'}}}",
        "0.do.webhook.url: a user or password stands in the URL; name where the whole of it is: `env:NAME` or `file:PATH`",
    ),
    row(
        "a secret written out",
        "{event: app.oom, do: {webhook: {url: 'https://h/', secret: hunter2}}}",
        "0.do.webhook.secret: must name where the secret is, `env:NAME` or `file:PATH`; the secret itself never stands here",
    ),
    row(
        "a time that is none",
        "{event: app.oom, do: {job: core}, within: soon}",
        "0.within: `soon` is not a time; write it like 30s, 5m or 1h30m",
    ),
    row("no time at all", "{event: app.oom, do: {job: core}, within: 0}", "0.within: must be at least 1"),
]


@pytest.mark.parametrize("text, message", WRONG)
def test_a_wrong_hook_is_refused(text, message, request):
    file = FILE.replace("HOOK", text)
    with pytest.raises(RemoraError) as error:
        checked(file)
    assert str(error.value) == f"remora.yaml:6: on.{message}"
    if request.node.callspec.id not in SCHEMA_SEES_NOT | {
        "an event that is nearly one",
        "a port that is none",
        "no host",
        "a URL with a line end",
    }:
        assert list(SCHEMA.iter_errors(parse(file, "remora.yaml").plain())) != []


def test_a_glob_that_fits_no_event_is_refused_with_all_there_are():
    with pytest.raises(RemoraError) as error:
        checked(FILE.replace("HOOK", "{event: [app.oom, volume.*], do: {job: core}}"))
    assert str(error.value).startswith("remora.yaml:6: on.0.event.1: no event `volume.*`; there is `app.died`, `app.gone`, ")
    assert "hook.failed" not in str(error.value)


def test_hooks_that_are_no_list_are_refused():
    with pytest.raises(RemoraError) as error:
        checked("environments: {prod: }\non: {event: app.oom, do: {run: ['true']}}\n")
    assert str(error.value) == "remora.yaml:2: on: must be a list of hooks, each with `event` and `do`"


def test_the_line_is_that_of_the_hook():
    with pytest.raises(RemoraError) as error:
        checked(FILE.replace("HOOK", "{event: app.oom, do: {job: core}}\n  - event: app.died\n    do:\n      job: cor"))
    assert str(error.value) == "remora.yaml:9: on.1.do.job: no sidekick `cor`; did you mean `core`?"


def test_what_the_docs_show_is_right():
    [shown] = [block for block in re.findall(r"```yaml\n(.*?)```", (DOCS / "watch.md").read_text(), re.S) if block.startswith("on:")]
    found = checked(f"environments: {{prod: }}\n{shown}", compose(webui={}, db={"image": "postgres:16"}))
    assert [hook.do.kind for hook in found.on] == ["webhook", "run", "job"]


@pytest.mark.parametrize("model, prefix", [(Hook, ""), (Do, "do."), (Webhook, "do.webhook.")])
def test_every_setting_is_in_the_docs(model, prefix):
    text = (DOCS / "ops-file.md").read_text()
    assert [name for name, field in model.model_fields.items() if f"`{prefix}{field.alias or name}`" not in text] == []


def news(name, container=None):
    return News(name, NOW.time, "it happened", app=observed(container) if container else None)


MATCHES = [
    row("its name", Hook(event="app.oom", do=RUN), news("app.oom", app()), True),
    row("another name", Hook(event="app.oom", do=RUN), news("app.oom_child", app()), False),
    row("a glob", Hook(event="app.*", do=RUN), news("app.oom", app()), True),
    row("any of several", Hook(event=("ops.*", "app.oom"), do=RUN), news("app.oom", app()), True),
    row("everything, but not what hooks tell", Hook(event="*", do=RUN), news("hook.failed"), False),
    row("its app container", Hook(event="app.*", for_={"service": "web"}, do=RUN), news("app.oom", app()), True),
    row("another app container", Hook(event="app.*", for_={"service": "db"}, do=RUN), news("app.oom", app()), False),
    row("no app container", Hook(event="*", for_={"service": "*"}, do=RUN), news("plan.done"), False),
]


@pytest.mark.parametrize("hook, told, wanted", MATCHES)
def test_a_hook_is_for_some_news(hook, told, wanted):
    assert hook.wants(told) is wanted
