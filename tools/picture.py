"""The pictures of a terminal in the README: runs commands in one and draws what they print. Usage: picture.py FILE TITLE COMMAND..."""

from __future__ import annotations

import io
import os
import pty
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS, ROWS = 116, 50
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"  # what the reader has; nothing is fetched
SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: FONT; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
""".replace("FONT", FONT)


def shown(command: str) -> str:
    """What a command prints on a terminal of our size."""
    pid, terminal = pty.fork()
    if not pid:
        os.environ.update(COLUMNS=str(COLUMNS), LINES=str(ROWS), TERM="xterm-256color")
        os.execvp("sh", ["sh", "-c", f"stty cols {COLUMNS} rows {ROWS}; {command}"])
    printed = io.BytesIO()
    try:
        while piece := os.read(terminal, 65536):
            printed.write(piece)
    except OSError:  # the other end is closed
        pass
    os.waitpid(pid, 0)
    return printed.getvalue().decode().replace("\r\n", "\n")


def main() -> None:
    path, title, *commands = sys.argv[1:]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command in commands:
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text.from_ansi(shown(command)))
    Path(path).write_text(console.export_svg(title=title, theme=MONOKAI, code_format=SVG, unique_id="t"))


if __name__ == "__main__":
    main()
