"""The command line: parse, call one command, turn errors into words."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

import click

from remora import __version__
from remora.errors import RemoraError, WrongUsage

DONE, FIXABLE, USAGE, BUG, TO_DO, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main() -> None:
    """The command `remora`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to stop
    code, words = ended()
    from remora.output import part, remark

    if words:
        remark(words)
    part()
    sys.exit(code)


def ended() -> tuple[int, str]:
    """Run what the command line asks for; gives the exit code, and what there is to say of it."""
    try:
        code = remora.main(standalone_mode=False, prog_name="remora")
    except click.ClickException as error:
        return error.exit_code, misused(error)
    except click.exceptions.Exit as error:
        return error.exit_code, ""
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED, "\ninterrupted; what was done is consistent, the same command goes on from there"
    except RemoraError as error:
        return USAGE if isinstance(error, WrongUsage) else FIXABLE, f"remora: {error}"
    except Exception:
        ours = f"remora {__version__}: this is a bug of remora's, not of yours; please report it with the lines above"
        return BUG, f"{traceback.format_exc()}{ours}"
    return (code if isinstance(code, int) else DONE), ""


def misused(error: click.ClickException) -> str:
    """What click says of the command line, as one line; the help of a group that was called without a command stays as it is."""
    text = error.format_message()
    if text.startswith("Usage:"):
        return text
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "remora"
    where = command.removeprefix("remora").strip()
    said = " ".join(text.split())
    return f"remora: {where + ': ' if where else ''}{said}{'' if said.endswith(('.', '?')) else '.'} See `{command} --help`."


os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # we have none, and looking for them takes 20 ms


def call(command: str, **arguments: Any) -> int:
    """Run the command module of that name: only the one that is asked for is loaded."""
    from remora.output import discard, flush

    try:
        found: int = import_module(f"remora.commands.{command}").run(**arguments)
        flush()
    except BrokenPipeError:
        discard()
        return DONE
    return found


Options = Callable[[Callable[..., Any]], Callable[..., Any]]


def options(*several: Options) -> Options:
    """Several options as one decorator."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(several):
            function = option(function)
        return function

    return decorate


def asking(values: dict[str, Any]) -> dict[str, Any]:
    """Option values become what the commands take: where things are, and how to print."""
    from remora.engines.compose import Compose

    named = ("file", "project_name", "profile", "env_file", "project_directory")
    compose = replace(Compose(*(values.pop(name) for name in named)), quiet=values["quiet"])
    reading = compose.begin()  # Compose reads the files while we load the rest
    from remora.output import Output
    from remora.session import Asked

    asked = Asked(compose, values.pop("ops"), values.pop("environment"), values.pop("host"), values.pop("take_over", False), reading)
    return {"asked": asked, "out": Output(values.pop("quiet"), not values.pop("no_color")), **values}


def command(name: str, *more: Options, help: str) -> None:
    """Add the verb `name`, with the options that every verb on a stack has."""

    @remora.command(name, help=help, short_help=help.split("\n")[0])
    @options(*WHERE, *more)
    def run(**values: Any) -> int:
        return call(name, **asking(values))


WHERE: tuple[Options, ...] = (
    click.option("-f", "--file", multiple=True, metavar="FILE", help="Compose file; may be given several times."),
    click.option("-p", "--project-name", metavar="NAME", help="Compose project name."),
    click.option("--profile", multiple=True, metavar="NAME", help="Compose profile; may be given several times."),
    click.option("--env-file", multiple=True, metavar="FILE", help="Env file for Compose; may be given several times."),
    click.option("--project-directory", metavar="DIR", help="Compose project directory."),
    click.option("--ops", metavar="FILE", help="Ops file [default: remora.yaml beside the compose file]."),
    click.option(
        "-e", "--environment", metavar="NAME", envvar="REMORA_ENVIRONMENT", help="Environment of the ops file [REMORA_ENVIRONMENT]."
    ),
    click.option("-H", "--host", metavar="URL", help="Engine: unix://, tcp:// (TLS by DOCKER_TLS_VERIFY) or ssh://."),
    click.option("-q", "--quiet", is_flag=True, help="No progress and no remarks."),
    click.option("--no-color", is_flag=True, help="No colour [NO_COLOR]."),
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
SERVICES = click.argument("services", nargs=-1)
TAKE_OVER = click.option("--take-over", is_flag=True, help="Take the stack's sidekicks over from another ops file.")
VOLUMES = click.option("-v", "--volumes", is_flag=True, help="Remove volumes, too: the sidekicks' own, and with `down` those of the stack.")


class Verb(click.Command):
    """A verb. Help whose reader has seen enough is help all the same; click would call it a failure."""

    def make_context(self, *given: Any, **more: Any) -> click.Context:
        with helping():
            return super().make_context(*given, **more)


class Verbs(Verb, click.Group):
    """All of them."""

    command_class = Verb


@contextmanager
def helping() -> Iterator[None]:
    """Around what click prints by itself."""
    from remora.output import discard, written

    try:
        with written():
            yield
    except BrokenPipeError:
        discard()
        raise click.exceptions.Exit(DONE) from None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", prog_name="remora")
def remora() -> None:
    """Attach sidekicks (log shippers, exporters, anything) to the containers of a Compose stack, from outside.

    The developers' compose.yaml stays as it is; the ops file remora.yaml says what is attached, and where.
    """


BUILD = click.option("--build", is_flag=True, help="Build the app's images first.")
EXIT_CODE = click.option("--exit-code", is_flag=True, help="Exit with 4 when there is something to do.")
ONCE = click.option("--once", is_flag=True, help="Look once, do what is to be done, and end.")
RESYNC = click.option("--resync", default="30s", metavar="TIME", help="Look again after this time without news.", show_default=True)
LISTEN = click.option(
    "--listen", metavar="ADDRESS", help="Metrics and probes: unix:///PATH, 127.0.0.1:PORT or none [default: a socket in the state folder]."
)
LOG = click.option("--log", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How remarks are written.")
TARGET = click.option("--to", type=click.Choice(["compose"]), default="compose", show_default=True, help="Target.")
FILE = click.option("-o", "--output", metavar="FILE", help="Write to FILE, whole or not at all.")
SAVE = click.option("--save", metavar="FILE", help="Keep the facts of A in FILE, to compare with on another machine.")
FOLLOW = click.option("--follow", is_flag=True, help="Go on as more comes.")
SINCE = click.option("--since", metavar="TIME", help="Only what came since then: 10m or 2d ago, or 2024-05-31T12:00:00Z.")
TAIL = click.option("-n", "--tail", type=int, metavar="N", help="Only the last N lines of each container.")
SIDES = (click.argument("a"), click.argument("b", required=False))
PARITY = """Show every difference of the app containers between two environments.

A and B are environments, or files that --save wrote. Exit code 1 says that a difference is not declared.
"""

EXPLAIN = """Show which sidekicks a container gets, which not, and because of which line.

CONTAINER is a name, the beginning of an id, or a service: then each of its containers is explained.
"""

command("init", help="Write a commented starter remora.yaml for the compose file at hand.")
command("plan", JSON, TAKE_OVER, SERVICES, EXIT_CODE, help="Show what `up` would do, and why.")
command("up", JSON, TAKE_OVER, SERVICES, BUILD, help="Compose up, then attach the sidekicks.")
command("down", VOLUMES, TAKE_OVER, help="Detach the sidekicks, then Compose down.")
command("attach", JSON, TAKE_OVER, help="Attach sidekicks to what runs already, whoever started it.")
command("detach", JSON, VOLUMES, TAKE_OVER, click.argument("sidekicks", nargs=-1), help="Detach the sidekicks; the app stays as it is.")
command("watch", TAKE_OVER, ONCE, RESYNC, LISTEN, LOG, help="Keep it true: follow every start, restart, scale and end.")
command("diff", JSON, TAKE_OVER, EXIT_CODE, help="Show what a reload of the ops file would do to the sidekicks that run now.")
command("explain", click.argument("container"), JSON, help=EXPLAIN)
command("status", JSON, help="Show app containers and their sidekicks.")
command("render", TARGET, FILE, help="Print the sidekicks as a Compose overlay that only adds services.")
command("parity", JSON, *SIDES, SAVE, help=PARITY)
command("logs", click.argument("sidekick"), FOLLOW, TAIL, help="Show what a sidekick itself says.")
command("events", FOLLOW, SINCE, JSON, help="Show what happened, from the journal that `watch` keeps.")


@remora.command()
@click.argument("name", required=False)
@JSON
def kinds(name: str | None, as_json: bool) -> int:
    """List the kinds of sidekick, or show the settings of one."""
    return call("kinds", name=name, as_json=as_json)


@remora.command()
@click.option("-H", "--host", metavar="URL", help="Engine.")
@JSON
def doctor(host: str | None, as_json: bool) -> int:
    """Say what engine is here, what of remora works on it, what does not and why, and what to do.

    Exit code 1 says that something needs attention.
    """
    from remora.output import Output

    return call("doctor", host=host, as_json=as_json, out=Output())


@remora.command()
def schema() -> int:
    """Print the JSON Schema of remora.yaml."""
    return call("schema")


@remora.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of a shell: `source <(remora completion bash)`."""
    return call("completion", shell=shell, cli=remora)


@remora.command()
@click.argument("action", type=click.Choice(["build", "list", "save", "load"]))
@click.argument("file", required=False)
@click.option("--only", metavar="NAME", help="Only this image, as `list` names it.")
@click.option("-H", "--host", metavar="URL", help="Engine.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@JSON
def images(quiet: bool, **values: Any) -> int:
    """Build or list the sidekick images; save them to FILE and load them on hosts without network."""
    from remora.output import Output

    return call("images", out=Output(quiet), **values)


@remora.command()
@click.option("--listen", required=True, metavar="PATH", help="The socket to make.")
@click.option("--group", metavar="NAME", help="The group that may use it; without it, that of the guard's user.")
@click.option("--allow-path", "paths", multiple=True, metavar="PATH[:rw]", help="A host path that sidekicks may mount, just this one.")
@click.option(
    "--allow-volume", "volumes", multiple=True, metavar="NAME[:rw]", help="A volume that sidekicks may write to, or no local one."
)
@click.option("--allow-capability", "capabilities", multiple=True, metavar="NAME", help="A capability that sidekicks may have.")
@click.option("--allow-logs", "logs", is_flag=True, help="What every container prints may be read, not only sidekicks.")
@click.option("-H", "--host", metavar="URL", help="The engine to stand before.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what is refused.")
def guard(quiet: bool, **values: Any) -> int:
    """Stand before the engine's socket, and let through just the calls that remora makes."""
    from remora.output import Output

    return call("guard", out=Output(quiet), **values)


@remora.command()
@click.option("--systemd", "target", flag_value="systemd", help="A hardened systemd unit.")
@click.option("--container", "target", flag_value="container", help="A Compose file for a hardened container.")
@click.option("--guard", is_flag=True, help="Of the guard, not of the watcher.")
@click.option("--ops", metavar="FILE", help="Ops file [default: remora.yaml].")
@click.option("-e", "--environment", metavar="NAME", envvar="REMORA_ENVIRONMENT", help="Environment of the ops file [REMORA_ENVIRONMENT].")
@click.option("--group", metavar="NAME", help="The group that may use the socket [default: the socket's; of the guard's: remora].")
@click.option("-H", "--host", metavar="URL", help="Engine.")
@FILE
@click.argument("more", nargs=-1, metavar="[-- OPTIONS OF THE SERVICE]")
def install(output: str | None, **values: Any) -> int:
    """Print what runs `remora watch` as a service: a systemd unit, or a Compose file for a container."""
    from remora.commands.install import Wanted
    from remora.output import Output

    return call("install", wanted=Wanted(**values), output=output, out=Output())
