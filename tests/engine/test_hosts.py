"""Engines far away: by TCP with TLS and by ssh, for our own client and for Compose."""

from __future__ import annotations

import io
import os
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import docker
import pytest
from logkit import authority, packed, until
from stackkit import IDLE, Stack

pytestmark = pytest.mark.engine

ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
SSHD = b"""
FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends openssh-server docker-cli && mkdir -p /run/sshd /root/.ssh
CMD ["/usr/sbin/sshd", "-D", "-e"]
"""


@pytest.fixture
def stack(stack: Stack) -> Stack:
    stack.developers(f"services: {{web: {{{IDLE}}}}}")
    stack.attached(net="for: web, walls: {network: true}")
    return stack


def works(stack: Stack, host: str, **env: str) -> None:
    """The whole way up and down, at that host."""
    stack.remora("up", "-H", host, **env)
    assert stack.paired(1, net="network"), stack.why()
    stack.remora("plan", "--exit-code", **{"DOCKER_HOST": host, **env})
    stack.remora("down", "-H", host, **env)
    assert stack.containers() == []


class TlsFront(threading.Thread):
    """The engine by TCP: TLS with certificates on both sides, as dockerd's own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self.listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except ssl.SSLError:  # a client without a certificate
                continue
            except OSError:
                return
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(ENGINE)
            back = threading.Thread(target=copy, args=(engine, client), daemon=True)
            back.start()
            copy(client, engine)
            back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # the other side hung up
        pass


def test_by_tcp_with_tls(stack: Stack, tmp_path: Path) -> None:
    made = authority("localhost")
    for name, of in (("cert.pem", "client.pem"), ("key.pem", "client.key")):
        made[name] = made[of]
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    front = TlsFront(tmp_path)
    front.start()
    try:
        works(stack, f"tcp://localhost:{front.port}", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(tmp_path))
    finally:
        front.listener.close()


def test_by_ssh(stack: Stack, tmp_path: Path) -> None:
    """To a container with the engine's socket and sshd. Our ssh is told which key to show, as a user's configuration would."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    client = docker.from_env()
    image, _ = client.images.build(fileobj=io.BytesIO(SSHD), tag="remora-test-sshd", rm=True)
    volumes = {ENGINE: {"bind": "/var/run/docker.sock"}}
    far = client.containers.run(image, detach=True, volumes=volumes)
    far.put_archive("/root/.ssh", packed("authorized_keys", (tmp_path / "key.pub").read_bytes()))
    far.reload()
    address = next(iter(far.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.parent.mkdir()
    quiet = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -i {tmp_path}/key {quiet} "$@"\n')
    wrapper.chmod(0o755)
    assert until(lambda: b"listening" in far.logs())
    try:
        works(stack, f"ssh://root@{address}", PATH=f"{wrapper.parent}:{os.environ['PATH']}")
    finally:
        far.remove(force=True)
