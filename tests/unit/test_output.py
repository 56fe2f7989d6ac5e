"""What a person reads: one line is one line, whatever somebody called a container, and no name moves the cursor."""

import pytest

from remora.output import Output

ODD = "a\x1b[2Jb\r\x9bc\x07é\ud800\t"


@pytest.mark.parametrize("how", ["line", "title", "say", "warn"])
def test_no_name_moves_the_cursor(how, capfd):
    getattr(Output(color=False), how)(ODD.replace("\ud800", ""))
    printed = "".join(capfd.readouterr())
    assert printed == "a?[2Jb??c?é\t\n"


def test_a_line_is_one_line(capfd):
    out = Output(color=False)
    out.line("one\ntwo")
    out.title("one\ntwo")
    out.table(["name"], [["one\ntwo"]])
    assert capfd.readouterr().out == "one?two\none?two\nname\none?two\n"


def test_a_remark_may_have_several(capfd):
    Output().warn("Traceback:\n  here")
    assert capfd.readouterr().err == "Traceback:\n  here\n"
