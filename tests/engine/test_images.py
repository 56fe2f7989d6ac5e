"""The sidekick images: built on first use, and carried to hosts without a network."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import docker
import pytest
from stackkit import REMORA

from remora.engines import recipes

pytestmark = pytest.mark.engine


def images(*words: str, **env: str) -> str:
    done = subprocess.run([REMORA, "images", *words], env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_images_are_built_once() -> None:
    images("build", "--only", "logs", "-q")
    tag = recipes.tag("logs")
    assert json.loads(images("list", "--json"))[0] == {"recipe": "logs", "image": tag, "here": True}
    assert images("build", "--only", "logs") == f"{tag} is here\n"


def test_images_are_carried_in_a_file(tmp_path: Path) -> None:
    """A base of its own gives tags of its own, so that nobody else's image is taken away here."""
    client = docker.from_env()
    base = "remora-test-base:1"
    client.images.get("debian:trixie-slim").tag(base)
    file = tmp_path / "images.tar"
    try:
        images("save", str(file), "--only", "logs", REMORA_BASE=base)
        built = json.loads(images("list", "--json", REMORA_BASE=base))[0]
        assert built["here"] and built["image"] != recipes.tag("logs")
        client.images.remove(built["image"])
        assert not json.loads(images("list", "--json", REMORA_BASE=base))[0]["here"]
        images("load", str(file), REMORA_BASE=base)
        assert json.loads(images("list", "--json", REMORA_BASE=base))[0]["here"]
        client.images.remove(built["image"])
    finally:
        client.images.remove(base)
