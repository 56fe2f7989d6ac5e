"""A file is written whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from remora.files import whole, write


def test_a_file_is_written(tmp_path):
    write(tmp_path / "x", "new")
    write(tmp_path / ("y" * 255), "as long as a name may be")
    assert {path.name[:1]: path.read_text() for path in tmp_path.iterdir()} == {"x": "new", "y": "as long as a name may be"}


def test_mode_and_link_stay(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert ((tmp_path / "file").read_text(), (tmp_path / "file").stat().st_mode & 0o777) == ("new", 0o640)


def test_the_mode_of_a_new_one_is_the_users_choice(tmp_path):
    script = "import os, sys; from pathlib import Path; from remora.files import write; os.umask(0o027); write(Path(sys.argv[1]), '')"
    subprocess.run([sys.executable, "-c", script, tmp_path / "x"], check=True)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), ValueError()], ids=lambda error: type(error).__name__)
def test_what_fails_in_the_middle_changes_nothing(tmp_path, error):
    (tmp_path / "x").write_text("old")
    with pytest.raises(type(error)), whole(tmp_path / "x") as file:
        file.write(b"half")
        raise error
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x", "old")]


def test_a_kill_in_the_middle_changes_nothing(tmp_path):
    (tmp_path / "x").write_text("old")
    script = (
        "import os, sys; from pathlib import Path; from remora.files import whole\n"
        "with whole(Path(sys.argv[1])) as file:\n file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "x"], check=False)
    assert (tmp_path / "x").read_text() == "old"


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path):
    """In the order of the kernel's calls: content, file, name, folder."""
    script = f"""
import sys; from pathlib import Path; from remora.files import write
called = []
sys.setprofile(lambda frame, event, what: called.append(what.__name__) if event == "c_call" else None)
write(Path({str(tmp_path / "x")!r}), "content")
sys.setprofile(None)
print(*[name for name in called if name in ("write", "flush", "fsync", "replace")])
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["write", "flush", "fsync", "replace", "fsync"]


def test_what_is_no_file_is_written_to_as_it_is(tmp_path):
    reader, writer = os.pipe()
    write(Path(f"/dev/fd/{writer}"), "through")
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.read() == "through"
    with pytest.raises(IsADirectoryError):
        write(tmp_path, "")
    with pytest.raises(OSError, match="No space left"):
        write(Path("/dev/full"), "x")
