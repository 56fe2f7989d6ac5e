"""What the measurements share: one line a figure, and ratios taken side by side."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
REMORA = str(ROOT / ".venv" / "bin" / "remora")


def figure(name: str, measured: float, goal: float, unit: str = "", at_least: bool = False, remark: str = "") -> None:
    """Print `name  measured  goal  ok|short`; `goal` is a bound from above unless `at_least`."""
    good = measured >= goal if at_least else measured <= goal
    sign = "≥" if at_least else "≤"
    print(
        f"{name:<34} {measured:>9.3g} {unit:<7} {sign} {goal:g} {unit:<7} {'ok' if good else 'short'}{'  ' + remark if remark else ''}",
        flush=True,
    )


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def side_by_side(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, taken in turns so that what else the machine does hits both."""
    pairs = [(seconds(one), seconds(other)) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def quiet(*words: str, cwd: Path | None = None) -> str:
    """Run a command; what it prints is returned, and shown when it fails."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def folder(**files: str) -> Iterator[Path]:
    """A folder of its own with `compose` and `remora` as compose.yaml and remora.yaml."""
    with tempfile.TemporaryDirectory(prefix="remora-bench-") as path:
        for name, text in files.items():
            (Path(path) / f"{name}.yaml").write_text(text)
        yield Path(path)
