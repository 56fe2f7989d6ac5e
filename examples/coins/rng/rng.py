"""GET /N answers with N random bytes, slowly: one request at a time, 100 ms each."""

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

MOST = 65536


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        number = self.path.removeprefix("/")
        if not (number.isascii() and number.isdigit() and len(number) <= 5 and 1 <= int(number) <= MOST):
            self.send_error(400, f"ask for /1 to /{MOST}")
            return
        time.sleep(0.1)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", number)
        self.end_headers()
        self.wfile.write(os.urandom(int(number)))


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print("rng listens on port 80")
HTTPServer(("", 80), Handler).serve_forever()
