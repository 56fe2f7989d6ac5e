"""Writes the pages of `docs/` that are made from the code: kinds, ops file and commands. `--check` says whether they are up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from remora.cli import remora
from remora.commands.kinds import rows
from remora.core.hook import Hook
from remora.core.news import KEYS, VOCABULARY, News
from remora.core.ops import TOP, Environment, Sidekick
from remora.sidekicks import KINDS

DOCS = Path(__file__).parent.parent / "docs"
NOTICE = "<!-- Made from the code by `make docs`; a change here is lost. -->\n"

EXAMPLE = News(
    "sidekick.failed",
    "2024-05-31T12:00:00.123Z",
    "probe beside shop-web-1 was killed at 64 MiB; the app was not affected",
    "shop",
    "prod",
    "shop-web-1.probe",
    "web",
    "probe",
    {"beside": "shop-web-1", "reason": "killed at 64 MiB; the app was not affected", "exit_code": 137, "on_failure": "warn"},
    {"Type": "container", "Action": "oom", "Actor": {"ID": "4f1c…", "Attributes": {"name": "shop-web-1.probe"}}},
)


def pages() -> dict[str, str]:
    """Path under docs/ and content."""
    found = {f"kinds/{name}.md": kind_page(name) for name in KINDS}
    found["ops-file.md"] = ops_page()
    found["events.md"] = events_page()
    found["commands.md"] = commands_page()
    return found


def kind_page(name: str) -> str:
    kind = KINDS[name]
    return page(f"# Kind `{name}`", kind.SUMMARY, table(kind.Settings.model_json_schema()), notes(f"kinds/{name}"))


def ops_page() -> str:
    """The ops file: its top, and what an environment and every sidekick has."""
    top = [f"| `{key}` | {escaped(words)} |" for key, words in TOP.items()]
    return page(
        "# The ops file, `remora.yaml`",
        "\n".join(["| key | what it is |", "|---|---|", *top]),
        "## Environments",
        table(Environment.model_json_schema()),
        "## Sidekicks",
        "What every sidekick has; its kind adds settings of its own: " + ", ".join(f"[`{n}`](kinds/{n}.md)" for n in KINDS) + ".",
        table(Sidekick.model_json_schema()),
        "## Hooks: `on`",
        "What `remora watch` does when something happens; [its page](watch.md#when-something-happens-on) has examples.",
        table(Hook.model_json_schema()),
        notes("ops-file"),
    )


def events_page() -> str:
    """What can happen, and one of it as it is handed out."""
    names = [f"| `{name}` | {escaped(words)} |" for name, words in VOCABULARY.items()]
    keys = [f"| `{key}` | {escaped(words)} |" for key, words in KEYS.items()]
    return page(
        "# Events",
        "What happens has names of remora's own, that stay the same from engine to engine.",
        "\n".join(["| name | what happened, and its `facts` |", "|---|---|", *names]),
        "## One of them",
        "As `remora events --json` prints it, and as a webhook and a command get it. What does not apply is left out.",
        f"```json\n{json.dumps(EXAMPLE.to_json(), indent=2, ensure_ascii=False)}\n```",
        "\n".join(["| key | what it is |", "|---|---|", *keys]),
        notes("events"),
    )


def page(*parts: str) -> str:
    return "\n".join(f"{part}\n" for part in (NOTICE.rstrip(), *parts) if part)


def table(schema: dict[str, Any]) -> str:
    heads = ["| setting | type | default | what it means |", "|---|---|---|---|"]
    return "\n".join([*heads, *(f"| `{key}` | {kind} | {default} | {escaped(words)} |" for key, kind, default, words in rows(schema))])


def notes(name: str) -> str:
    """What is written by hand for a page."""
    path = DOCS / f"{name}.notes.md"
    return path.read_text().rstrip() if path.exists() else ""


def escaped(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")


def commands_page() -> str:
    lines = [
        NOTICE,
        "# Commands\n",
        "Exit codes: 0 done, 1 you can fix it, 2 wrong usage, 3 our bug, 4 there is something to do, 130 interrupted.\n",
    ]
    with click.Context(remora, info_name="remora") as top:
        for name in remora.list_commands(top):
            command = remora.commands[name]
            with click.Context(command, info_name=f"remora {name}", parent=None) as context:
                lines += [f"## `remora {name}`\n", "```text", context.get_help(), "```\n"]
    return "\n".join(lines)


def main() -> int:
    if "--check" in sys.argv:
        stale = [path for path, text in pages().items() if not (DOCS / path).exists() or (DOCS / path).read_text() != text]
        print("\n".join(f"docs/{path} is not up to date: make docs" for path in stale), end="\n" if stale else "")
        return int(bool(stale))
    for path, text in pages().items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
