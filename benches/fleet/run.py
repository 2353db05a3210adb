#!/usr/bin/env python3
"""The daemon, Prometheus's rules and vmalert, each judging the same fleet in the same Prometheus, one after the other.

What each costs is its own CPU and what it makes Prometheus spend beyond scraping. Everything listens on loopback, on
free ports, and ends with this program. A judge that was not seen to judge fails the run: a cheap nothing is no result.

    benches/fleet/run.py --services 1000 --phase 90 --json out.json
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

# Nothing is left behind in the tree.
sys.dont_write_bytecode = True

import exporter  # noqa: E402
import files  # noqa: E402
from process import Failed, Process, fetch, free_port  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TICK_S = files.TICK_S
TARGET_SERVICES = 1000
SERIES_WITHIN_S = 120


def say(text):
    print(f"fleet: {text}", file=sys.stderr, flush=True)


class Run:
    def __init__(self, given, directory, stack):
        self.given, self.directory, self.stack = given, directory, stack
        self.phase_s = -(-given.phase // TICK_S) * TICK_S
        self.targets = -(-given.services // TARGET_SERVICES)
        self.exporter_port, self.prometheus_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.prometheus_port}"
        self.rules = files.rules(self.path("rules.yml"))
        self.base_cpu = None

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, name, command, url):
        process = Process(name, command, self.directory)
        self.stack.callback(process.stop)
        return process.ready(url)

    def begin(self):
        say(f"{self.given.services} services, {self.targets} targets; logs in {self.directory}")
        self.start(
            "exporter",
            [
                sys.executable,
                os.path.join(HERE, "exporter.py"),
                f"--services={self.given.services}",
                f"--targets={self.targets}",
                f"--port={self.exporter_port}",
            ],
            f"http://127.0.0.1:{self.exporter_port}/metrics/0",
        )
        self.configure(rules=None)
        self.prometheus = self.start(
            "prometheus",
            [
                "prometheus",
                f"--config.file={self.path('prometheus.yml')}",
                f"--storage.tsdb.path={self.path('data')}",
                f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
                "--web.enable-remote-write-receiver",
                "--log.level=warn",
            ],
            f"{self.url}/-/ready",
        )
        end = time.monotonic() + SERIES_WITHIN_S
        while self.ask("count(process_cpu_share)") != self.given.services:
            if time.monotonic() > end:
                raise Failed(f"Prometheus does not hold the fleet; its log: {self.prometheus.log}")
            time.sleep(1)

    def configure(self, rules):
        files.prometheus(self.path("prometheus.yml"), self.exporter_port, self.targets, rules)

    def ask(self, query):
        """The one number of a query, None without one."""
        form = urllib.parse.urlencode({"query": query}).encode()
        rows = json.loads(fetch(f"{self.url}/api/v1/query", data=form))["data"]["result"]
        return float(rows[0]["value"][1]) if rows else None

    def wait(self, seconds, processes=()):
        """Passes the time, looking at the memory of processes once a second."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for process in (self.prometheus, *processes):
                process.sample()
            time.sleep(min(1, left))

    def measure(self, name, judge=None):
        """Warms up, then watches for whole ticks; what a phase cost in CPU seconds a second."""
        processes = [judge] if judge else []
        say(f"{name}: warming up for {self.given.warm_up} s, then {self.phase_s} s")
        self.wait(self.given.warm_up, processes)
        self.prometheus.forget_peaks()
        began = time.monotonic()
        spent = [process.cpu_s() for process in (self.prometheus, *processes)]
        self.wait(self.phase_s, processes)
        took = time.monotonic() - began
        after = [process.cpu_s() for process in (self.prometheus, *processes)]
        cpu = [(b - a) / took for a, b in zip(spent, after)]
        found = {
            "phase": name,
            "seconds": round(took, 2),
            "prometheus_cpu": cpu[0],
            "prometheus_rss": self.prometheus.rss_peak,
            "judge_cpu": cpu[1] if judge else 0.0,
        }
        if judge:
            found |= {"judge_rss": judge.rss_peak, "judge_threads": judge.threads}
        return found

    # ---- The phases.

    def base(self, name="base"):
        return self.measure(name)

    def daemon(self):
        port, state = free_port(), self.path("state")
        services = self.given.services
        config = files.daemon(self.path("rollbackd.toml"), services, state, port, self.url)
        daemon = self.start(
            "daemon",
            # As the unit has it.
            ["env", "MALLOC_ARENA_MAX=1", self.given.daemon, "run", "--config", config],
            f"http://127.0.0.1:{port}/readyz",
        )
        found = self.measure("daemon", daemon)
        # What it says of itself is asked afterwards: to tell it costs it CPU.
        said = samples(fetch(f"http://127.0.0.1:{port}/metrics"))
        time.sleep(TICK_S)
        later = samples(fetch(f"http://127.0.0.1:{port}/metrics"))
        polls = grown(said, later, "rollbackd_polls_total", result="ok")
        ages = sorted(v for _, v in later.get("rollbackd_poll_age_seconds", []))
        turns = grown(said, later, "rollbackd_turn_seconds_count")
        found |= {
            "polls_ok": polls,
            "polls_expected": 3 * services,
            "age_median_s": ages[len(ages) // 2] if ages else None,
            "age_most_s": ages[-1] if ages else None,
            "turns": turns,
            "turn_mean_s": grown(said, later, "rollbackd_turn_seconds_sum") / max(turns, 1),
            "turns_s": grown(said, later, "rollbackd_turn_seconds_sum"),
        }
        if polls < 0.9 * 3 * services:
            raise Failed(f"of {3 * services} polls a tick only {polls:.0f} were ok; log: {daemon.log}")
        began = time.monotonic()
        daemon.stop()
        found["stop_s"] = time.monotonic() - began
        return found

    def by_rules(self):
        self.configure(rules=self.rules)
        self.prometheus.hang_up()
        found = self.measure("rules")
        found["pending"] = self.ask('count(ALERTS{alertname="CriticalErrors"})')
        said = samples(fetch(f"{self.url}/metrics"))
        found["evaluation_s"] = said["prometheus_rule_group_last_duration_seconds"][0][1]
        self.configure(rules=None)
        self.prometheus.hang_up()
        self.must_see(found)
        return found

    def vmalert(self):
        port = free_port()
        vmalert = self.start(
            "vmalert",
            [
                "vmalert",
                f"-rule={self.rules}",
                f"-datasource.url={self.url}",
                f"-remoteWrite.url={self.url}",
                f"-notifier.url=http://127.0.0.1:{self.exporter_port}",
                f"-httpListenAddr=127.0.0.1:{port}",
                f"-evaluationInterval={TICK_S}s",
                "-loggerLevel=WARN",
            ],
            f"http://127.0.0.1:{port}/health",
        )
        found = self.measure("vmalert", vmalert)
        alerts = json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/alerts"))["data"]["alerts"]
        found["pending"] = sum(1 for alert in alerts or [] if alert["name"] == "CriticalErrors")
        said = samples(fetch(f"http://127.0.0.1:{port}/metrics"))
        sums = said.get("vmalert_iteration_duration_seconds_sum", [])
        counts = said.get("vmalert_iteration_duration_seconds_count", [])
        if sums and counts:
            found["evaluation_s"] = sums[0][1] / max(counts[0][1], 1)
        vmalert.stop()
        self.must_see(found)
        return found

    def must_see(self, found):
        failing = exporter.failing(self.given.services)
        if failing and (found["pending"] or 0) < failing:
            seen = f"{found['pending']} of {failing} failing services"
            raise Failed(f"{found['phase']} saw only {seen}: warm up for longer")


LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)")


def samples(text):
    """An exposition as name -> [(labels, value)]; only our own programs' are read, whose labels hold no quotes."""
    found = {}
    for line in text.splitlines():
        if match := LINE.match(line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            found.setdefault(match[1], []).append((labels, float(match[3])))
    return found


def grown(before, after, name, **labels):
    def total(said):
        wanted = labels.items()
        return sum(v for l, v in said.get(name, []) if wanted <= l.items())

    return total(after) - total(before)


def table(found, services):
    base = found["base"]["prometheus_cpu"]
    lines = [
        "",
        f"{services} services x 3 signals every {TICK_S} s; "
        f"Prometheus scraping alone: {100 * base:.1f} % CPU"
        + (f", and {100 * found['base again']['prometheus_cpu']:.1f} % at the end" if "base again" in found else ""),
        "",
        f"{'judged by':<10} {'Prometheus':>11} {'judge':>8} {'together':>9} {'own a tick':>11} "
        f"{'both a tick':>12} {'judge RSS':>10} {'Prom. RSS':>10} {'threads':>8}",
    ]
    for name in ("daemon", "rules", "vmalert"):
        if name not in found:
            continue
        of = found[name]
        own, more = of["judge_cpu"], of["prometheus_cpu"] - base
        of |= {"over_base_cpu": more, "own_tick_s": own * TICK_S, "tick_s": (own + more) * TICK_S}
        rss = f"{of['judge_rss'] / 1e6:.0f} MB" if "judge_rss" in of else "-"
        lines.append(
            f"{name:<10} {100 * more:>+9.1f} % {100 * own:>6.1f} % {100 * (own + more):>7.1f} % "
            f"{1000 * own * TICK_S:>8.0f} ms {1000 * (own + more) * TICK_S:>9.0f} ms "
            f"{rss:>10} {of['prometheus_rss'] / 1e6:>7.0f} MB {of.get('judge_threads', '-'):>8}"
        )
    lines.append("")
    if of := found.get("daemon"):
        lines.append(
            f"daemon: {of['polls_ok']:.0f} of {of['polls_expected']} polls a tick ok; newest samples "
            f"{of['age_median_s']:.1f} s old (median), {of['age_most_s']:.1f} s (most); {of['turns']:.0f} turns a "
            f"tick of {1e6 * of['turn_mean_s']:.0f} us, {1000 * of['turns_s']:.0f} ms; ended in {of['stop_s']:.1f} s"
        )
    for name in ("rules", "vmalert"):
        if name in found:
            lasted = found[name].get("evaluation_s")
            lasted = f"an evaluation lasts {lasted:.2f} s; " if lasted is not None else ""
            lines.append(f"{name}: {lasted}{found[name]['pending']:.0f} services seen to fail")
    return "\n".join(lines)


def version(program, flag="--version"):
    said = subprocess.run([program, flag], capture_output=True, text=True)
    return ((said.stdout or said.stderr).splitlines() or ["unknown"])[0].strip() or "unknown"


def parsed():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--services", type=int, default=1000)
    arguments.add_argument("--phase", type=int, default=90, help="seconds that are measured of each phase")
    arguments.add_argument("--warm-up", type=int, default=60, help="seconds before each")
    arguments.add_argument("--only", default="daemon,rules,vmalert", help="which judges")
    arguments.add_argument("--daemon", default=os.path.join(ROOT, "target/release/rollbackd"))
    arguments.add_argument("--json", help="a file for the numbers")
    arguments.add_argument("--keep", action="store_true", help="keep logs and data")
    given = arguments.parse_args()
    if given.services < 1 or not 15 <= given.phase <= 3600 or not 15 <= given.warm_up <= 3600:
        arguments.error("at least one service, and phases of 15 to 3600 s")
    return given


def main():
    given = parsed()
    only = given.only.split(",")
    needed = ["setpriv", "prometheus", *(["vmalert"] if "vmalert" in only else [])]
    missing = [program for program in needed if not shutil.which(program)]
    if missing or not os.access(given.daemon, os.X_OK):
        raise Failed(f"missing: {', '.join(missing) or given.daemon}; `make bench-fleet` installs and builds it")
    # What a supervisor sends is to end the run as Ctrl-C does: with everything stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = tempfile.mkdtemp(prefix="rollbackd-fleet-")
    with contextlib.ExitStack() as stack:
        if not given.keep:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        run = Run(given, directory, stack)
        load = os.getloadavg()[0]
        run.begin()
        phases = {"base": run.base}
        judges = {"daemon": run.daemon, "rules": run.by_rules, "vmalert": run.vmalert}
        phases |= {name: judges[name] for name in only}
        phases["base again"] = lambda: run.base("base again")
        found = {name: phase() for name, phase in phases.items()}
        print(table(found, given.services), flush=True)
        if load > 0.5:
            say(f"the machine was busy (load {load:.1f} before the run): compare within this run only")
    if given.json:
        about = {
            "services": given.services,
            "cpus": os.cpu_count(),
            "machine": platform.machine(),
            "load_before": load,
            "prometheus": version("prometheus"),
            "daemon": version(given.daemon),
        }
        files.write(os.path.abspath(given.json), json.dumps(about | {"phases": found}, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(f"fleet: {why}")
    except KeyboardInterrupt:
        sys.exit(130)
