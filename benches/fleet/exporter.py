#!/usr/bin/env python3
"""A fleet's metrics, made up: several targets on one port, each the series of some of the services.

Every count is a function of time alone, so that nothing is kept up between two scrapes and each body is one pass of
string formatting: the exporter must not be what is measured. One service in a hundred fails a fifth of its requests and
answers every tenth slowly. Posts (of alerts) are taken and forgotten.

    benches/fleet/exporter.py --services 1000 --targets 1 --port 9100
"""

import argparse
import http.server
import time

BOUNDS = ["0.05", "0.1", "0.25", "0.5", "1", "2", "5", "+Inf"]
# How much of the requests is answered within each bound.
QUICK = [0.40, 0.70, 0.90, 0.97, 0.99, 0.998, 0.9995, 1.0]
SLOW = [0.30, 0.55, 0.75, 0.82, 0.88, 0.995, 0.9995, 1.0]
# Requests a second: services differ, and twenty kinds of them are enough.
RATES = [2 + kind for kind in range(20)]
FAILING_EVERY = 100
# So long before the start the services began to count: nothing starts at zero.
HEAD_START_S = 3600


def name(number):
    return f"service-{number:05}"


def is_failing(number):
    return number % FAILING_EVERY == FAILING_EVERY // 2


def failing(services):
    return sum(1 for number in range(services) if is_failing(number))


def block(number):
    """The lines of one service, with a place for each value."""
    service = f'service="{name(number)}"'
    lines = [f'http_requests_total{{{service},code="{code}"}} %d' for code in (200, 500)]
    lines += [f'http_request_duration_seconds_bucket{{{service},le="{bound}"}} %d' for bound in BOUNDS]
    lines += [f"http_request_duration_seconds_count{{{service}}} %d"]
    lines += [f"process_cpu_share{{{service}}} %.3f"]
    return "\n".join(lines) + "\n"


def values(rate, fails, passed_s):
    """What the places hold after so many seconds."""
    total = int(rate * passed_s)
    bad = int(total * (0.2 if fails else 0.001))
    buckets = [int(total * share) for share in (SLOW if fails else QUICK)]
    return (total - bad, bad, *buckets, total, 0.2 + 0.6 * (passed_s % 600) / 600)


class Fleet:
    def __init__(self, services, targets):
        self.began = time.time() - HEAD_START_S
        each = -(-services // targets)
        numbers = range(services)
        self.targets = [
            [(block(n), n % len(RATES), is_failing(n)) for n in numbers[at : at + each]]
            for at in range(0, services, each)
        ]

    def body(self, target):
        passed = time.time() - self.began
        now = {
            (kind, fails): values(rate, fails, passed)
            for kind, rate in enumerate(RATES)
            for fails in (False, True)
        }
        return "".join([lines % now[kind, fails] for lines, kind, fails in self.targets[target]])


def serve(fleet, port):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            place = self.path.removeprefix("/metrics/")
            known = place.isdigit() and int(place) < len(fleet.targets)
            self.answer(200 if known else 404, fleet.body(int(place)) if known else "")

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(200, "")

        def answer(self, status, body):
            body = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--services", type=int, default=1000)
    arguments.add_argument("--targets", type=int, default=1)
    arguments.add_argument("--port", type=int, required=True)
    given = arguments.parse_args()
    serve(Fleet(given.services, given.targets), given.port)
