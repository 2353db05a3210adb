#!/usr/bin/env python3
"""More webhooks than the daemon can write down: rate offered, rate kept, and how long from an alert to its fact.

Starts the program it is given with SERVICES services, and sends alerts that fire and resolve in turns, each of them in a
webhook of its own, at rising rates; an answer of 200 says that what followed is durable. Then one body of 100,000 alerts.
"""
import argparse, http.client, json, os, pathlib, queue, shutil, socket, subprocess, sys, tempfile, threading, time

sys.dont_write_bytecode = True
from fleet.process import free_port

SENDERS = 128


def configuration(home, port, services):
    (home / "token").write_text("overload-overload-overload-1234")
    os.chmod(home / "token", 0o600)
    text = f'mode = "observe"\nstate_dir = "{home}/state"\n[http]\nlisten = "127.0.0.1:{port}"\nopen_metrics = true\n'
    text += f'[token.load]\nscopes = ["alerts", "view"]\nfile = "{home}/token"\n'
    text += '[prometheus.main]\nurl = "http://127.0.0.1:1"\n'
    for n in range(services):
        text += f'[service.s{n}]\nwatch_only = true\n[service.s{n}.signal.cpu.prometheus]\nfrom = "main"\nvalue = "x"\n'
    (home / "rollbackd.toml").write_text(text)


def webhook(n, service):
    alert = {
        "status": "firing" if n % 2 == 0 else "resolved",
        "labels": {"alertname": "Overload", "service": f"s{service}", "severity": "warning"},
        "annotations": {},
        "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": f"{service:08x}{n // 2:08x}",
    }
    return json.dumps({"version": "4", "status": alert["status"], "receiver": "r", "alerts": [alert]})


def post(connection, body):
    headers = {"Authorization": "Bearer overload-overload-overload-1234", "Content-Type": "application/json"}
    connection.request("POST", "/v1/alertmanager", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def offer(port, rate, seconds, services):
    """Open loop: a webhook is due when it is due, whether the one before was answered or not."""
    due = queue.Queue()
    results, lock = [], threading.Lock()

    def sender():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while (one := due.get()) is not None:
            when, body = one
            try:
                status = post(connection, body)
            except OSError:
                connection.close()
                status = 0
            with lock:
                results.append((status, time.monotonic() - when))

    senders = [threading.Thread(target=sender) for _ in range(SENDERS)]
    for each in senders:
        each.start()
    begun = time.monotonic()
    for n in range(int(rate * seconds)):
        when = begun + n / rate
        pause = when - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        due.put((when, webhook(n // services, n % services)))
    for _ in senders:
        due.put(None)
    for each in senders:
        each.join()
    took = time.monotonic() - begun
    kept = sorted(latency for status, latency in results if status == 200)
    shed = sum(1 for status, _ in results if status != 200)
    p99 = kept[int(len(kept) * 0.99)] * 1000 if kept else float("nan")
    return len(kept) / took, shed, p99


def memory(pid, what):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return float("nan")


def metric(port, name):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    return [line for line in page.splitlines() if line.startswith(name)]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", default="target/release/rollbackd")
    arguments.add_argument("--services", type=int, default=200)
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--rates", default="100,200,400,800,1600,3200,6400")
    told = arguments.parse_args()
    home, port = pathlib.Path(tempfile.mkdtemp(prefix="overload-")), free_port()
    configuration(home, port, told.services)
    log = open(home / "log", "wb")
    daemon = subprocess.Popen([told.program, "run", "--config", home / "rollbackd.toml"], stderr=log, stdout=log)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit((home / "log").read_text()[-4000:])
        print(f"{'offered/s':>10} {'kept/s':>8} {'not kept':>9} {'p99 ms':>8} {'RSS MB':>7}")
        for rate in map(float, told.rates.split(",")):
            kept, shed, p99 = offer(port, rate, told.seconds, told.services)
            print(f"{rate:10.0f} {kept:8.0f} {shed:9} {p99:8.1f} {memory(daemon.pid, 'VmRSS'):7.1f}", flush=True)
        body = json.dumps({"version": "4", "alerts": [json.loads(webhook(0, 0))["alerts"][0]] * 100_000})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            status = post(connection, body)
        except OSError as why:
            status = why
        print(f"100,000 alerts in one body of {len(body) >> 20} MiB: {status}; at most {memory(daemon.pid, 'VmHWM'):.1f} MB")
        print("\n".join(metric(port, "rollbackd_alerts_received_total") + metric(port, "rollbackd_http_requests_total")))
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
