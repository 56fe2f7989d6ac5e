"""Check: the ops file held against the stack. What can match nothing there is an error, with its line."""

from __future__ import annotations

import fnmatch

from remora.core.document import Document, Path
from remora.core.ops import Conditions, Differences, Match, Ops
from remora.core.project import Project, Service
from remora.core.selector import Facts, Selector, image_matches
from remora.errors import choices


def check(ops: Ops, project: Project) -> None:
    """Hold the ops file against the stack: every service it names must be there. Raises RemoraError with the line."""
    for name, each in ops.sidekicks.items():
        match_known(ops, ("sidekicks", name, "for"), each.for_, project)
        matches_some(ops, ("sidekicks", name, "for"), each.for_, project)
    for index, hook in enumerate(ops.on):
        match_known(ops, ("on", index, "for"), hook.for_, project)
        matches_some(ops, ("on", index, "for"), hook.for_, project)
    for name, place in ops.environments.items():
        for key, wanted in place.services.items():
            differences_known(ops.document, ("environments", name, "services", key), wanted, project)


def match_known(ops: Ops, path: Path, match: Conditions, project: Project) -> None:
    """A service or image pattern that fits nothing in the stack can match nothing, ever."""
    for index, pattern in enumerate(match.service):
        if not fnmatch.filter(project.services, pattern):
            raise ops.document.fault((*path, "service", index), f"no service `{pattern}`; {choices(pattern, project.services)}")
    images = {image for service in project.services.values() for image in images_of(ops, service)}
    for index, pattern in enumerate(match.image):
        if not any(image_matches(pattern, image) for image in images):
            raise ops.document.fault((*path, "image", index), f"no service runs an image `{pattern}`; {choices(pattern, images)}")
    for index, taken in enumerate(getattr(match, "except_", ())):
        match_known(ops, (*path, "except", index), taken, project)


def images_of(ops: Ops, service: Service) -> set[str]:
    """The images that a service may run: the developers', and those by digest of each environment."""
    found = {place.services[service.name].image for place in ops.environments.values() if service.name in place.services}
    return {service.image, *(image for image in found if image)}


def matches_some(ops: Ops, path: Path, match: Match, project: Project) -> None:
    """Conditions that fit one by one but never together, or that `except` takes away whole, match nothing either.

    Only service and image are held against the file: an image may bring labels, env and ports that no file tells of.
    """
    wanted = Selector(service=match.service, image=match.image, except_=match.selector().except_)
    facts = [
        Facts(project.name, service.name, "", image, service.labels, service.env, service.ports)
        for service in project.services.values()
        for image in images_of(ops, service)
    ]
    if facts and not any(wanted.matches(each) for each in facts):
        raise ops.document.fault(path, "matches nothing: no service fits all of its conditions without being taken away by `except`")


def differences_known(document: Document, path: Path, wanted: Differences, project: Project) -> None:
    name = str(path[-1])
    if name not in project.services:
        raise document.fault(path, f"no service `{name}`; {choices(name, project.services)}")
    targets = {mount.target for mount in project.services[name].mounts}
    for index, target in enumerate(wanted.drop_mounts):
        if target not in targets:
            raise document.fault((*path, "drop_mounts", index), f"`{name}` has no mount at `{target}`; {choices(target, targets)}")
