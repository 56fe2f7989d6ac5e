"""Sizes and times as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.core.units import duration, size, sized


@pytest.mark.parametrize(
    "text, expected",
    [
        pytest.param(512, 512, id="bytes as a number"),
        pytest.param("512", 512, id="bytes as text"),
        pytest.param("512b", 512, id="bytes with their unit"),
        pytest.param("64m", 64 << 20, id="mebibytes in short"),
        pytest.param("64 MiB", 64 << 20, id="mebibytes in full"),
        pytest.param("1.5g", 3 << 29, id="a fraction"),
        pytest.param("2T", 2 << 40, id="capital letters"),
    ],
)
def test_a_size_is_read(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "m", "64 mega", "-1", "0", "1e3", "٣m"], ids=lambda text: f"“{text}”")
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="write it like 64m or 1g"):
        size(text)


@pytest.mark.parametrize(
    "text, expected",
    [
        pytest.param(30, 30, id="seconds as a number"),
        pytest.param("30s", 30, id="seconds"),
        pytest.param("1h30m", 5400, id="hours and minutes"),
        pytest.param("2d", 172800, id="days"),
    ],
)
def test_a_time_is_read(text, expected):
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "30", "s", "1 h", "-1s", -1, 1.5], ids=lambda text: f"“{text}”")
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="write it like 30s, 5m or 1h30m"):
        duration(text)


@pytest.mark.parametrize("value", [True, None, [], {}], ids=str)
def test_what_is_not_even_text_is_refused(value):
    with pytest.raises(ValueError, match="must be a size"):
        size(value)
    with pytest.raises(ValueError, match="must be a time"):
        duration(value)


@pytest.mark.parametrize(
    "count, expected",
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 << 20, "64 MiB"), (3 << 40, "3.0 TiB")],
    ids=["nothing", "bytes", "a fraction", "mebibytes", "tebibytes"],
)
def test_a_size_is_shown(count, expected):
    assert sized(count) == expected


@given(st.integers(1, 1 << 50))
def test_every_number_of_bytes_is_a_size(count):
    assert size(count) == size(str(count)) == size(f"{count}b") == count
