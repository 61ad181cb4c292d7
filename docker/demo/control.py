# SPDX-License-Identifier: Apache-2.0
"""The demo's control endpoint, on loopback: POST /kill?edge=NAME kills that edge; it returns after a while.

Only pages of the demo's own edges may ask: the token is in their demo.json, which other origins can't
read, and the answer to a preflight names the origin. Standard library only.
"""

import hmac
import http.server
import secrets
import threading
import urllib.parse

AWAY_S = 4.0


class Control:
    def __init__(self, stack, say):
        self.stack = stack
        self.say = say
        self.token = secrets.token_urlsafe(18)
        self.timers = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), make_handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kill(self, name):
        pid = self.stack.kill_edge(name)
        self.say(f"{name} killed (pid {pid}); it comes back in {AWAY_S:g} s")
        timer = threading.Timer(AWAY_S, self.bring_back, (name,))
        timer.daemon = True
        timer.start()
        self.timers.append(timer)

    def bring_back(self, name):
        try:
            self.stack.restart_edge(name)
        except Exception as error:  # shown, and the demo goes on with the other edge
            self.say(f"{name} did not come back: {error}")

    def stop(self):
        for timer in self.timers:
            timer.cancel()
        self.server.shutdown()
        self.server.server_close()


def make_handler(control):
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, text=""):
            body = text.encode()
            origin = self.headers.get("Origin", "")
            self.send_response(status)
            if origin in control.stack.origins():
                self.send_header("Access-Control-Allow-Origin", origin)
                self.send_header("Access-Control-Allow-Headers", "X-Demo-Token")
                self.send_header("Vary", "Origin")
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_OPTIONS(self):
            self.answer(204)

        def do_POST(self):
            url = urllib.parse.urlsplit(self.path)
            name = urllib.parse.parse_qs(url.query).get("edge", [""])[0]
            if not hmac.compare_digest(self.headers.get("X-Demo-Token", ""), control.token):
                return self.answer(403, "wrong token")
            if url.path != "/kill":
                return self.answer(404, "no such action")
            try:
                control.kill(name)
            except KeyError as error:
                return self.answer(409, str(error.args[0]))
            return self.answer(200, f"{name} killed")

        def log_message(self, *args):
            pass

    return Handler
