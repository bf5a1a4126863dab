# SPDX-License-Identifier: Apache-2.0
"""Serves "admin" or "public" on two ports of loopback that it prints: http.server from the files of the folder named, and
an application of WSGI."""
import functools
import http.server
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def application(environ, start):
    path = environ["PATH_INFO"]
    host = environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("HTTP_HOST", "")
    admin = path == "/admin" or path.startswith("/admin/") or host.rstrip(".").lower() == "admin.example"
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"admin" if admin else b"public"]


files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=sys.argv[1]))
print(files.server_port, flush=True)
threading.Thread(target=files.serve_forever, daemon=True).start()
wsgi = make_server("127.0.0.1", 0, application, handler_class=Quiet)
print(wsgi.server_port, flush=True)
wsgi.serve_forever()
