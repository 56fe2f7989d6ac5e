"""The general client of the Engine API, for what changes an engine, and for engines that are not behind a unix socket.

It is loaded when it is needed: that takes longer than all that is asked to find that there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from docker import APIClient
from docker.transport import UnixHTTPAdapter

from remora.engines.answers import refusal
from remora.engines.host import Host
from remora.engines.patient import Adapter, within

CONNECTIONS = 32


class Client(APIClient):  # type: ignore[misc]
    """docker-py's, with our own errors for what an engine refuses.

    requests lets REQUESTS_CA_BUNDLE win over the authority that was asked for (psf/requests #3829); here it does not.
    """

    told: Mapping[str, Any] = MappingProxyType({})  # what the engine last said of its version

    def __init__(self, host: Host, version: str, patience: float) -> None:
        """`version` is the API's; with `auto` the engine is asked for it, and has `patience` seconds to answer."""
        super().__init__(host.url, version=version, timeout=patience, tls=host.tls or False, num_pools=4, max_pool_size=CONNECTIONS)

    def version(self, api_version: bool = True) -> Any:
        self.told = super().version(api_version)
        return self.told

    def mount(self, prefix: str, adapter: Any) -> None:
        """Unix sockets are those that look at the clock."""
        if isinstance(adapter, UnixHTTPAdapter):
            adapter = Adapter(adapter.socket_path, adapter.timeout, max_pool_size=adapter.max_pool_size)
        super().mount(prefix, adapter)

    def send(self, request: Any, **how: Any) -> Any:
        """An answer that is no stream has to be there in time, all of it; of a stream, the head."""
        patience = how.get("timeout")
        with within(patience[-1] if isinstance(patience, tuple) else patience):
            return super().send(request, **how)

    def merge_environment_settings(self, url: str, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        return super().merge_environment_settings(url, proxies, stream, self.verify if verify is None else verify, cert)

    def _raise_for_status(self, response: Any) -> None:
        if response.status_code >= 400:
            raise refusal(response.status_code, response.text)
