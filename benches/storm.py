#!/usr/bin/env python3
"""A whole fleet breaches at once: how long until all of it is written down, what a P0 waits for meanwhile, who is paged, and
how much memory it takes.

Starts the program it is given beside a Prometheus that is made up, with SERVICES services of one template that all begin to
fail in the same moment, a channel that takes everything and one that never answers. While the storm lasts, data corruption
is reported for one service after another: each such report is a P0, and its answer says that it is written down.
"""
import argparse, http.client, http.server, json, os, pathlib, shutil, socketserver, subprocess, sys, tempfile, threading, time

sys.dont_write_bytecode = True
from fleet.process import free_port
from overload import memory

HOLDS_S = 10
POLL_S = 3


class Fleet:
    """Answers queries: what each service has counted so far is a function of time alone."""

    def __init__(self, services):
        self.began, self.failing_since = time.time() - 3600, None
        self.rows = [f'{{"metric":{{"service":"s{n:05}"}},"value":[' for n in range(services)]

    def answer(self, form):
        if "query_range" in form:
            return b'{"status":"success","data":{"resultType":"matrix","result":[]}}'
        now = time.time()
        count = int((now - self.began) * 20)
        if "5.." in form:
            count = int((now - self.failing_since) * 8) if self.failing_since else 0
        value = f'{now:.3f},"{count}"]}}'
        rows = ",".join(row + value for row in self.rows)
        return f'{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}}}'.encode()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512


def serve(answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            said = answer(self.path + " " + body)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def configuration(home, port, services, prometheus, hook, mute):
    (home / "token").write_text("overload-overload-overload-1234")
    os.chmod(home / "token", 0o600)
    (home / "hook").write_text(f"http://127.0.0.1:{hook}/")
    (home / "mute").write_text(f"http://127.0.0.1:{mute}/")
    text = f"""
mode = "observe"
state_dir = "{home}/state"
reports_dir = "{home}/reports"
bake = "5s"
[http]
listen = "127.0.0.1:{port}"
open_metrics = true
[token.load]
scopes = ["alerts", "view", "evidence"]
file = "{home}/token"
[prometheus.main]
url = "http://127.0.0.1:{prometheus}"
body_max_bytes = {max(16 << 20, services * 400)}
[notify.hook]
audiences = ["on_call", "stakeholders"]
webhook = {{ url = {{ file = "{home}/hook" }} }}
[notify.mute]
audiences = ["on_call", "stakeholders"]
webhook = {{ url = {{ file = "{home}/mute" }} }}
[trigger.critical-errors]
holds_for = "{HOLDS_S}s"
grace = "{POLL_S}s"
silence = "20s"
buckets = ["2s", "4s", "6s", "8s", "{HOLDS_S}s"]
recurrent = {{ enabled = false }}
escalation = {{ enabled = false }}
[template.fleet]
watch_only = true
[template.fleet.signal.error_rate]
every = "{POLL_S}s"
every_watched = "{POLL_S}s"
[template.fleet.signal.error_rate.prometheus]
from = "main"
bad = 'sum by (service) (http_requests_total{{code=~"5.."}})'
total = 'sum by (service) (http_requests_total)'
label = "service"
"""
    text += "".join(f'[service.s{n:05}]\ntemplate = "fleet"\n' for n in range(services))
    (home / "rollbackd.toml").write_text(text)


def ask(port, method, path, body=None, timeout=120):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Authorization": "Bearer overload-overload-overload-1234", "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    return answer.status, said


def metric(port, name):
    page = ask(port, "GET", "/metrics")[1]
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name) and not line.startswith("#"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", default="target/release/rollbackd")
    arguments.add_argument("--services", type=int, default=10_000)
    arguments.add_argument("--seconds", type=float, default=300, help="look at it for so long at most")
    told = arguments.parse_args()
    home, port = pathlib.Path(tempfile.mkdtemp(prefix="storm-")), free_port()
    fleet, notices = Fleet(told.services), []

    def hook(text):
        notices.append((time.monotonic(), json.loads(text[text.index("{"):])))
        return b"{}"

    def mute(_):
        time.sleep(3600)
        return b"{}"

    configuration(home, port, told.services, serve(fleet.answer), serve(hook), serve(mute))
    log = open(home / "log", "wb")
    environment = dict(os.environ, MALLOC_ARENA_MAX="1")
    daemon = subprocess.Popen([told.program, "run", "--config", home / "rollbackd.toml"], stderr=log, stdout=log, env=environment)
    try:
        for _ in range(600):
            try:
                if ask(port, "GET", "/readyz")[0] == 200:
                    break
            except OSError:
                pass
            if daemon.poll() is not None:
                raise SystemExit((home / "log").read_text()[-4000:])
            time.sleep(0.1)
        time.sleep(8 * POLL_S)
        print(f"{told.services} services, quiet: {memory(daemon.pid, 'VmRSS'):.0f} MB", flush=True)
        fleet.failing_since, begun = time.time(), time.monotonic()
        waited, looked, number, opened = [], [], 0, 0
        while opened < told.services and time.monotonic() - begun < told.seconds:
            at = time.monotonic()
            note = json.dumps({"service": f"s{number:05}", "kind": "data-corruption", "note": "rows are missing"})
            status, said = ask(port, "POST", "/v1/evidence", note)
            waited.append((at - begun, time.monotonic() - at, status))
            at = time.monotonic()
            ask(port, "GET", f"/v1/services/s{number:05}/production/explain")
            looked.append(time.monotonic() - at)
            number += 1
            opened = metric(port, "rollbackd_incidents_total") or opened
            time.sleep(0.5)
        took = time.monotonic() - begun
        print(f"{opened:.0f} of them in an incident after {took:.1f} s, of which {HOLDS_S} s are what a breach must hold")
        stormy = sorted(wait for _, wait, _ in waited)
        print(f"{len(waited)} reports of a P0 meanwhile: written down after at most {stormy[-1] * 1000:.0f} ms, median {stormy[len(stormy) // 2] * 1000:.0f} ms; a look at most {max(looked) * 1000:.0f} ms")
        print(f"    refused: {sum(1 for _, _, status in waited if status != 200)}")
        time.sleep(5)
        pages = [n for _, n in notices if n.get("urgency") == "page"]
        about = sorted({str(n.get("service")) for n in pages})
        print(f"told so far: {len(notices)} notices, {len(pages)} pages about {len(about)} services; {metric(port, 'rollbackd_notices_dropped_total'):.0f} pushed out of a full queue")
        for page in pages[:4] + pages[-4:]:
            print("   ", page["text"].splitlines()[0][:160])
        print(f"memory: {memory(daemon.pid, 'VmRSS'):.0f} MB, at most {memory(daemon.pid, 'VmHWM'):.0f} MB; journal {sum(f.stat().st_size for f in (home / 'state').iterdir()) >> 20} MiB")
        print("alive:", daemon.poll() is None)
    finally:
        daemon.terminate()
        daemon.wait()
        print((home / "log").read_text(errors="replace").count(" WARN"), "warnings in the log")
        if os.environ.get("KEEP"):
            print(home)
        else:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
