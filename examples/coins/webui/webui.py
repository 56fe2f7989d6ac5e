"""Shows the mine: a page with a live graph, its figures as /json, and an access log in the combined format."""

import json
import logging
import pathlib
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from logging.handlers import WatchedFileHandler

import redis

PAGE = pathlib.Path(__file__).with_name("index.html").read_bytes()

store = redis.Redis(host="redis", socket_timeout=1, socket_connect_timeout=1)
access = logging.getLogger("access")
access.setLevel(logging.INFO)
access.addHandler(WatchedFileHandler("/var/log/webui/access.log"))


def figures():
    hashes, coins = store.pipeline(transaction=False).get("hashes").hlen("coins").execute()
    return {"now": time.time(), "hashes": int(hashes or 0), "coins": coins}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = -1  # headers and body leave in one packet
    size = "-"

    def do_GET(self):
        match self.path.partition("?")[0]:
            case "/":
                self.reply(200, "text/html; charset=utf-8", PAGE)
            case "/json":
                self.reply_json()
            case "/healthz":
                self.reply(200, "text/plain", b"ok\n")
            case _:
                self.reply(404, "text/plain", b"not found\n")

    def reply_json(self):
        try:
            self.reply(200, "application/json", json.dumps(figures()).encode())
        except redis.RedisError as error:
            self.reply(503, "application/json", json.dumps({"error": str(error)}).encode())

    def reply(self, status, kind, body):
        self.size = len(body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        asked, headers = self.requestline.replace('"', "%22"), getattr(self, "headers", None) or {}
        referer, agent = (headers.get(name, "-").replace('"', "%22") for name in ("Referer", "User-Agent"))
        now = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        access.info(f'{self.client_address[0]} - - [{now}] "{asked}" {int(code)} {self.size} "{referer}" "{agent}"')


class Server(ThreadingHTTPServer):
    request_queue_size = 128


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print("webui listens on port 80")
Server(("", 80), Handler).serve_forever()
