"""Secrets by reference: looked up at the last moment, and never shown."""

import io
import os
import tarfile

import pytest

from remora.core.plan import Attach, Prepare
from remora.core.sidekick import Spec
from remora.engines import secrets
from remora.errors import RemoraError


def spec(reference, owner="/srv/remora.yaml"):
    return Spec("a.x", "x", "container", "shop", "prod", owner, "busybox", secrets=(("pw", reference),), why="remora.yaml:3")


def test_a_variable_is_looked_up(monkeypatch):
    monkeypatch.setenv("PW", "hunter2")
    assert secrets.resolve("env:PW", spec("env:PW")) == b"hunter2"


@pytest.mark.parametrize("path", ["{folder}/pw", "pw", "./pw"])
def test_a_file_is_read_from_the_ops_files_folder_on(tmp_path, path):
    (tmp_path / "pw").write_bytes(b"hunter2\n")
    reference = "file:" + path.format(folder=tmp_path)
    assert secrets.resolve(reference, spec(reference, str(tmp_path / "remora.yaml"))) == b"hunter2\n"


@pytest.mark.parametrize(
    "reference, words",
    [
        pytest.param("env:NOT_SET_HERE", "is missing: the variable NOT_SET_HERE is not set", id="a variable that is not set"),
        pytest.param("file:/nowhere/pw", "cannot be read: No such file or directory", id="a file that is not there"),
        pytest.param("file:/", "cannot be read: Is a directory", id="a folder"),
    ],
)
def test_a_missing_secret_stops_it_before_anything_is_done(reference, words):
    with pytest.raises(RemoraError) as error:
        secrets.check([Prepare("busybox"), Attach(spec(reference))])
    assert str(error.value) == f"remora.yaml:3: the secret `{reference}` {words}"


def test_only_its_user_may_read_a_secret():
    with tarfile.open(fileobj=io.BytesIO(secrets.archive([("pw", b"hunter2")], "1000:50"))) as tar:
        member = tar.getmembers()[0]
    assert (member.name, member.mode, member.uid, member.gid, member.size) == ("pw", 0o400, 1000, 50, 7)


def test_a_secret_out_of_a_pipe_is_there_once(tmp_path):
    """As in `remora attach` with `file:/dev/fd/3`, or a named pipe: the check before must not take it away."""
    reader, writer = os.pipe()
    os.write(writer, b"hunter2")
    os.close(writer)
    reference = f"file:/dev/fd/{reader}"
    secrets.check([Attach(spec(reference))])
    assert secrets.resolve(reference, spec(reference)) == b"hunter2"
    os.close(reader)
