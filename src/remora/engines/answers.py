"""What can go wrong when an engine is asked: it refuses, what it says makes no sense, or it says nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from remora.errors import RemoraError


class Refusal(Exception):
    """The engine says no; `code` is HTTP's, and the text is the engine's own words on one line."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(" ".join(words.split()))
        self.code = code


class Missing(Refusal):
    """There is no such thing."""


def refusal(code: int, content: str) -> Refusal:
    """What an answer with this code and content says."""
    with suppress(ValueError, KeyError, TypeError):
        content = str(json.loads(content)["message"])
    return (Missing if code == 404 else Refusal)(code, content)


@contextmanager
def in_words(where: str = "") -> Iterator[None]:
    """Turn what goes wrong into a RemoraError; `where` says what it is about."""
    about = f"{where}: " if where else ""
    try:
        yield
    except RemoraError:
        raise
    except Refusal as error:
        raise RemoraError(f"{about}the engine says: {error}") from error
    except OSError as error:
        raise RemoraError(f"{about}the engine does not answer: {reason(innermost(error))}") from error
    except Exception as error:
        from docker.errors import DockerException  # only here, for loading them takes long
        from urllib3.exceptions import HTTPError

        if isinstance(error, HTTPError):
            raise RemoraError(f"{about}the engine does not answer: {reason(innermost(error))}") from error
        if isinstance(error, DockerException):
            raise RemoraError(f"{about}{error}") from error
        raise


@contextmanager
def understood() -> Iterator[None]:
    """An answer that is not what an engine says is the engine's fault, not a bug of ours."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RemoraError(f"the engine's answer makes no sense ({type(error).__name__}: {error})") from error


def innermost(error: BaseException) -> BaseException:
    """What a failed call failed of in the end."""
    while deeper := error.__cause__ or error.__context__:
        error = deeper
    return error


def reason(error: BaseException) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, TimeoutError):
        return "nothing came in time"
    return getattr(error, "strerror", None) or str(error)
