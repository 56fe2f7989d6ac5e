"""POST / answers with the SHA-256 of the body in hexadecimal, 100 ms each."""

import hashlib
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST = 1 << 20


class Handler(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= 7 and int(length) <= MOST):
            self.send_error(400, f"send a body of at most {MOST} bytes, with its Content-Length")
            return
        digest = hashlib.sha256(self.rfile.read(int(length))).hexdigest()
        time.sleep(0.1)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(digest)))
        self.end_headers()
        self.wfile.write(digest.encode())


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print("hasher listens on port 80")
ThreadingHTTPServer(("", 80), Handler).serve_forever()
