"""Remarks for those who read logs by machine."""

import json

import pytest

from remora.output import Log

REMARKS = [
    pytest.param("say", "watching shop in prod", "info", "watching shop in prod", id="a remark"),
    pytest.param("say", "! failed: + attach probe", "warning", "failed: + attach probe", id="a remark of something bad"),
    pytest.param("warn", "! the journal cannot be written", "warning", "the journal cannot be written", id="a warning"),
    pytest.param("warn", "remora: remora.yaml:1: no", "error", "remora.yaml:1: no", id="an error"),
    pytest.param("warn", "one\ntwo", "warning", "one\ntwo", id="several lines"),
]


@pytest.mark.parametrize("how, text, level, words", REMARKS)
def test_a_remark_is_one_line_of_json(capsys, how, text, level, words):
    getattr(Log(), how)(text)
    said, err = capsys.readouterr()
    [line] = err.splitlines()
    assert (said, {**json.loads(line), "time": ""}) == ("", {"time": "", "level": level, "words": words})


def test_facts_are_kept(capsys):
    Log().say("+ attach probe", action="attach", odd={1})
    assert json.loads(capsys.readouterr().err)["facts"] == {"action": "attach", "odd": "{1}"}


def test_who_wants_quiet_hears_warnings_alone(capsys):
    log = Log(quiet=True)
    log.say("watching")
    log.warn("! no")
    assert [json.loads(line)["words"] for line in capsys.readouterr().err.splitlines()] == ["no"]
