"""A Redis server that has become a replica, as after a failover."""

from __future__ import annotations

import pytest

from handler.errors import StoreUnavailable
from handler.store.redis import RedisStore
from tests.support.store_servers import HAS_REDIS62, Reply, running_redis62, running_relay, running_valkey

pytestmark = pytest.mark.process


@pytest.mark.parametrize("error", ["READONLY replica", "LOADING dataset", "MOVED 1 127.0.0.1:1"])
def test_the_first_connection_leads_to_the_old_server(error: str) -> None:
    with (running_redis62 if HAS_REDIS62 else running_valkey)() as server, running_relay(server) as relay:

        def spoil(request: bytes, answer: bytes) -> Reply:
            old = relay.connections == 1 and b"SET" in request
            return Reply(f"-{error}\r\n".encode() if old else answer)

        relay.spoil = spoil
        store = RedisStore(f"redis://127.0.0.1:{relay.port}")
        assert store.get("k") is None  # the connection is older than the failover
        store.add("k", "value", 60)  # behind the relay the first SET was executed, unlike on a replica
        assert relay.connections == 2
        assert store.get("k") == "value"


def test_a_server_that_stays_a_replica() -> None:
    with (running_redis62 if HAS_REDIS62 else running_valkey)() as server, running_relay(server) as relay:
        relay.spoil = lambda request, answer: Reply(b"-READONLY x\r\n" if b"SET" in request else answer)
        with pytest.raises(StoreUnavailable):
            RedisStore(f"redis://127.0.0.1:{relay.port}").add("k", "v", 60)
        assert relay.connections == 2
