"""Everything that a person reads goes through here: colour, quiet and tests have one place."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from remora.errors import RemoraError

COLOURS = {"+": "\033[32m", "-": "\033[31m", "~": "\033[33m", "!": "\033[31;1m"}
CONTROL = {number: "?" for number in (*range(32), *range(127, 160)) if chr(number) != "\t"}  # what could move a terminal's cursor
CONTROLS = {number: "?" for number in CONTROL if chr(number) != "\n"}
RESET, BOLD, DIM = "\033[0m", "\033[1m", "\033[2m"


class Output:
    """Facts go to standard output, progress and remarks to standard error."""

    def __init__(self, quiet: bool = False, color: bool = True) -> None:
        self.quiet = quiet
        self.color = color and not os.environ.get("NO_COLOR") and terminal(sys.stdout)
        self.live = color and terminal(sys.stderr) and not quiet and os.environ.get("TERM") != "dumb"

    def line(self, text: str = "") -> None:
        """A line of facts; its first character may give it a colour."""
        colour = COLOURS.get(text.strip()[:1], "") if self.color else ""
        text = text.translate(CONTROL)  # a name or label of somebody's may hold anything
        self.print(f"{colour}{text}{RESET if colour else ''}")

    def title(self, text: str) -> None:
        text = text.translate(CONTROL)
        self.print(f"{BOLD}{text}{RESET}" if self.color else text)

    def json(self, value: Any) -> None:
        self.print(json.dumps(value, indent=2, sort_keys=True))

    def print(self, text: str, end: str = "\n") -> None:
        """A piece of standard output; a reader who has gone, as in `remora up | head -1`, does not stop what we do."""
        try:
            with written():
                print(f"{text}{end}", end="")
        except BrokenPipeError:
            discard()

    def say(self, text: str, **facts: Any) -> None:
        """A remark that `--quiet` silences; `facts` are for those who read logs by machine."""
        if not self.quiet:
            self.clear()
            remark(text.translate(CONTROLS))

    def warn(self, text: str, **facts: Any) -> None:
        """A remark that nothing silences."""
        self.clear()
        remark(text.translate(CONTROLS))

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table: drawn on a terminal, tab-separated elsewhere."""
        rows = [[cell.translate(CONTROL) for cell in row] for row in rows]
        if not terminal(sys.stdout):
            for row in [heads, *rows]:
                self.print("\t".join(row))
            return
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        Console(no_color=not self.color, highlight=False, markup=False).print(table)

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """Show that something takes its time; `step` says how far it is."""
        self.step(text)
        try:
            yield
        finally:
            self.clear()

    def step(self, text: str) -> None:
        if self.live:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            remark(f"\r\033[K{DIM}{text[: width - 1]}{RESET}", end="")

    def clear(self) -> None:
        if self.live:
            remark("\r\033[K", end="")


class Log(Output):
    """Remarks as JSON objects, one a line: for those who read logs by machine."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(quiet, color=False)

    def say(self, text: str, **facts: Any) -> None:
        if not self.quiet:
            self.log("warning" if text.startswith("!") else "info", text, facts)

    def warn(self, text: str, **facts: Any) -> None:
        self.log("error" if text.startswith("remora: ") else "warning", text, facts)

    def log(self, level: str, text: str, facts: dict[str, Any]) -> None:
        words = text.removeprefix("remora: ").removeprefix("! ")
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        given = {"time": time, "level": level, "words": words, **({"facts": facts} if facts else {})}
        remark(json.dumps(given, default=str))


def terminal(stream: TextIO | None) -> bool:
    """Whether somebody watches; a stream that the caller closed is None."""
    return stream is not None and stream.isatty()


@contextmanager
def written() -> Iterator[None]:
    """Around what writes to standard output: a disk that is full is the reader's to mend."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard()
        raise RemoraError(f"standard output: cannot be written: {error.strerror}") from None


def flush() -> None:
    """Write out what is still held back."""
    if sys.stdout:
        with written():
            sys.stdout.flush()


def remark(text: str, end: str = "\n") -> None:
    """A piece of standard error; that its reader has gone, or its disk is full, stops nothing of what we do."""
    try:
        print(f"{text}{end}", end="", file=sys.stderr, flush=True)  # in one piece: several threads speak
    except BrokenPipeError:
        discard(sys.stderr)
    except OSError:
        pass  # what is held back is written when there is room again


def part() -> None:
    """At the end: what standard error could not take is no reason for another exit code."""
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO | None = None) -> None:
    """What is still to be printed, to standard output unless said, goes nowhere, so that it fails no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())
