"""What goes wrong when an engine is asked, in words."""

import sys
from subprocess import run

import pytest
from docker.errors import DockerException
from urllib3.exceptions import ProtocolError

from remora.engines.answers import Missing, Refusal, in_words, refusal
from remora.errors import RemoraError

SILENT = "the engine does not answer: "


@pytest.mark.parametrize(
    "error, words",
    [
        pytest.param(refusal(409, '{"message": "in\\nuse"}'), "the engine says: in use", id="a refusal with a message"),
        pytest.param(refusal(500, "ouch\n"), "the engine says: ouch", id="a refusal in plain text"),
        pytest.param(refusal(400, "[1]"), "the engine says: [1]", id="a refusal in odd JSON"),
        pytest.param(TimeoutError("timed out"), f"{SILENT}nothing came in time", id="no answer in time"),
        pytest.param(ConnectionRefusedError(111, "Connection refused"), f"{SILENT}Connection refused", id="nobody there"),
        pytest.param(ProtocolError("broke off"), f"{SILENT}broke off", id="an answer that broke off"),
        pytest.param(DockerException("bad credentials"), "bad credentials", id="the general client's own"),
        pytest.param(RemoraError("as it is"), "as it is", id="in words already"),
    ],
)
def test_what_goes_wrong_is_said_with_its_place(error: Exception, words: str) -> None:
    with pytest.raises(RemoraError) as found, in_words("remora.yaml:7"):
        raise error
    assert str(found.value).removeprefix("remora.yaml:7: ") == words
    assert str(found.value).startswith("remora.yaml:7: ") != isinstance(error, RemoraError)


def test_a_bug_stays_one() -> None:
    with pytest.raises(ZeroDivisionError), in_words():
        raise ZeroDivisionError


def test_what_is_not_there_is_told_by_its_code() -> None:
    assert isinstance(refusal(404, "no such container"), Missing)
    assert type(refusal(403, "no")) is Refusal


def test_looking_loads_no_general_client() -> None:
    heavy = "print([name for name in ('docker', 'requests', 'urllib3', 'http.client') if name in sys.modules])"
    script = f"import sys, remora.commands.plan, remora.commands.status, remora.commands.up, remora.engines.connect\n{heavy}"
    assert run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
