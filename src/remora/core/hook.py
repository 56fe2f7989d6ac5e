"""Hooks: what the ops file wants done when something happens. One item of `on:` each."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from remora.core.document import Document, Short, Strict, Wrong
from remora.core.news import VOCABULARY, News
from remora.core.ops import REFERENCE, SOME, TEXT, TEXTS, Match, Reference, Sidekick, Some, conditions
from remora.core.units import Duration
from remora.errors import choices

NAMES = tuple(name for name in VOCABULARY if name != "hook.failed")  # a hook on that could go round in circles
ANY = Match()
WHERE = re.compile(REFERENCE, re.ASCII)


def known(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Each must be an event, or a glob that fits one."""
    for index, pattern in enumerate(patterns):
        if not fnmatch.filter(NAMES, pattern):
            raise Wrong(f"no event `{pattern}`; {choices(pattern, NAMES)}", index)
    return patterns


def url(text: str) -> str:
    """An address, or where it is. What does not fit is not repeated, for it may hold a secret."""
    if WHERE.fullmatch(text):
        return text
    try:
        found = urlsplit(text)
        good = found.scheme in ("http", "https") and bool(found.hostname) and not re.search(r"\s", text) and found.port != 0
    except ValueError:
        good = False
    if not good:
        raise Wrong("must be http://HOST/… or https://HOST/…, or name where it is: `env:NAME` or `file:PATH`")
    if found.username is not None or found.password is not None:
        raise Wrong("a user or password stands in the URL; name where the whole of it is: `env:NAME` or `file:PATH`")
    return text


def argument_list(words: tuple[str, ...]) -> tuple[str, ...]:
    """A command is never empty."""
    if not words or not words[0]:
        raise Wrong("must be a command and its arguments, such as [./page, --now]")
    return words


Events = Annotated[Some, AfterValidator(known)]
Url = Annotated[str, AfterValidator(url), WithJsonSchema({"type": "string", "pattern": rf"^(https?://[^@\s]+|{REFERENCE})$"})]
Command = Annotated[tuple[str, ...], AfterValidator(argument_list), WithJsonSchema({**TEXTS, "minItems": 1})]


class Webhook(Strict):
    """A POST request."""

    url: Url = Field(description="http:// or https://, or where it is: env:NAME or file:PATH")
    secret: Reference | None = Field(None, description="what the request is signed with: env:NAME or file:PATH")


class Do(Strict):
    """One of three."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    webhook: Webhook | None = Field(None, description="send the news there")
    run: Command | None = Field(None, description="a command and its arguments, without a shell; the news are its standard input")
    job: str | None = Field(None, description="a sidekick of kind `container`: attached once beside the app container, until it ends")

    @property
    def kind(self) -> str:
        return "webhook" if self.webhook else "run" if self.run else "job"


def one(do: Do) -> Do:
    if sum(each is not None for each in (do.webhook, do.run, do.job)) != 1:
        raise Wrong("must be one of `webhook`, `run` and `job`")
    return do


class Hook(Strict):
    """When this happens, do that."""

    event: Events = Field(description="names of events or globs, such as app.oom or sidekick.*")
    for_: Annotated[Match, Short(conditions, (TEXT, SOME))] = Field(
        ANY, alias="for", description="only where these app containers are concerned: a service name or glob, or conditions"
    )
    do: Annotated[Do, AfterValidator(one)] = Field(description="what to do")
    within: Annotated[Duration, Field(ge=1)] = Field(10, description="the time that a command, or one try of a webhook, may take")

    def wants(self, news: News) -> bool:
        """Whether it is for these news."""
        if not any(fnmatch.fnmatchcase(news.name, pattern) for pattern in self.event) or news.name not in NAMES:
            return False
        return self.for_ == ANY or (news.app is not None and self.for_.selector().matches(news.app.facts))


def read(document: Document, sidekicks: Mapping[str, Sidekick]) -> tuple[Hook, ...]:
    """The hooks of an ops file. Raises RemoraError for the first thing that is wrong."""
    found = document.data.get("on")
    if found is not None and not isinstance(found, list):
        raise document.fault(("on",), "must be a list of hooks, each with `event` and `do`")
    hooks = tuple(document.decode(Hook, ("on", index)) for index in range(len(found or ())))
    for index, hook in enumerate(hooks):
        if hook.do.job is not None:
            known_job(document, index, hook.do.job, sidekicks)
    return hooks


def known_job(document: Document, index: int, job: str, sidekicks: Mapping[str, Sidekick]) -> None:
    place = ("on", index, "do", "job")
    if job not in sidekicks:
        raise document.fault(place, f"no sidekick `{job}`; {choices(job, sidekicks)}")
    if sidekicks[job].kind != "container":
        raise document.fault(place, f"`{job}` is of kind `{sidekicks[job].kind}`, and a job is of kind `container`")
