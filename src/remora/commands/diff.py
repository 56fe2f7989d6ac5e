"""`remora diff`: what a reload of the ops file would do to the sidekicks that run now."""

from __future__ import annotations

from remora.cli import DONE, TO_DO
from remora.commands.doing import facts, faults
from remora.core.diff import changes
from remora.output import Output
from remora.session import Asked, open_session


def run(asked: Asked, out: Output, as_json: bool, exit_code: bool) -> int:
    session = open_session(asked)
    world = session.observe()
    woven = session.weave(world, strict=False)  # as the watcher does: what cannot be had holds up no other
    actions = session.plan(woven, world, retry=False)
    changed = changes(session.ops, session.environment, woven.specs, world, session.stack, woven.unsure)
    if as_json:
        out.json(
            {
                "stack": session.stack,
                "environment": session.environment,
                "changes": [{"sidekick": c.sidekick, "line": c.line, "sign": c.sign, "words": list(c.words)} for c in changed],
                "actions": [facts(action) for action in actions],
                "faults": list(woven.faults),
            }
        )
        return TO_DO if exit_code and actions else DONE
    out.title(f"{session.ops.document.name} for {session.stack} in {session.environment}, beside what is attached")
    for change in changed:
        out.line(f"  {change}")
    out.title("a reload would")
    for action in actions:
        out.line(f"  {action}")
    if not actions:
        out.line("  do nothing")
    faults(woven, out)
    return TO_DO if exit_code and actions else DONE
