"""Mines: random bytes from rng, their hash from hasher, a coin in Redis for each hash that starts with 0."""

import signal
import sys
import time
from http.client import HTTPException
from urllib.request import urlopen

import redis

store = redis.Redis(host="redis", socket_timeout=5, socket_connect_timeout=5)


def mine():
    """One hash; true where it is a coin."""
    with urlopen("http://rng/32", timeout=5) as answer:
        found = answer.read()
    with urlopen("http://hasher/", data=found, timeout=5) as answer:
        digest = answer.read().decode()
    coin = digest.startswith("0")
    store.incr("hashes")
    if coin:
        store.hset("coins", digest, found.hex())
    return coin


def report(hashes, coins, seconds):
    print(f"{hashes / seconds:.1f} hashes/s, {coins} coins found")


def work():
    """Mines for ever; says how fast once a second."""
    hashes = coins = 0
    since = time.monotonic()
    while True:
        try:
            coins += mine()
            hashes += 1
        except (OSError, HTTPException, redis.RedisError) as error:
            print(f"cannot mine, trying again: {error}")
            time.sleep(1)
        passed = time.monotonic() - since
        if passed >= 1:
            report(hashes, coins, passed)
            hashes, since = 0, time.monotonic()


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
work()
