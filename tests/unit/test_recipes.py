"""A sidekick image is tagged by its content: an upgrade rebuilds just what changed."""

import tarfile

from remora.engines import recipes


def test_each_recipe_has_a_tag_of_its_content():
    assert recipes.tags().keys() == set(recipes.names()) - {"watch"} >= {"logs"}
    assert recipes.tag("logs") == recipes.tag.__wrapped__("logs")


def test_another_base_is_another_image(monkeypatch):
    before = recipes.tag.__wrapped__("logs")
    monkeypatch.setenv("REMORA_BASE", "debian:bookworm-slim")
    assert recipes.tag.__wrapped__("logs") != before


def test_the_same_recipe_is_the_same_context():
    assert recipes.context("logs").read() == recipes.context("logs").read()


def test_a_context_holds_the_dockerfile_and_what_is_shared():
    with tarfile.open(fileobj=recipes.context("logs")) as tar:
        assert {"Dockerfile", "selector.py"} <= set(tar.getnames())


def test_a_context_says_nothing_of_when_and_by_whom():
    with tarfile.open(fileobj=recipes.context("logs")) as tar:
        assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}


def test_the_image_of_the_watcher_holds_all_of_remora_and_nothing_else():
    names = [name for name, _ in recipes.files("watch")]
    assert {"Dockerfile", "remora/cli.py", "remora/images/logs/Dockerfile", "remora/images/watch/Dockerfile"} < set(names)
    assert not [name for name in names if "cache" in name or name.startswith(".")]
