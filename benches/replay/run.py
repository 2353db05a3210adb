#!/usr/bin/env python3
"""How fast a month is replayed, and what `vmalert -replay` needs for the same series and the same alerts.

A month of many services (series.py) is replayed from a local file: samples a second, CPU, and the most memory. Of a tenth of it the same series are
loaded into a VictoriaMetrics, which is not counted, and `vmalert -replay` evaluates rules with `for:` over them: first RULES, one for each kind of fault
that was put in. Both must fire for each of those faults and for nothing else, and within TOLERANCE_S of each other; otherwise this ends with 1. Then
every trigger of the runbook as a rule (MORE), which is what rollbackd judges in the same time.
"""
import argparse, datetime, json, os, pathlib, shutil, subprocess, sys, tempfile, time, urllib.parse, urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from fleet.process import Failed, Process, fetch, free_port

import series

# Where `rollbackd replay` lets every series begin.
FROM_S = 1_767_571_200
SIGNALS = 3
# One poll apart: rollbackd's first interval ends where a `for:` is first evaluated, and what is sure takes some requests more.
TOLERANCE_S = 180
# What is still found: an alert may begin so long after its fault has ended, as the last minute is judged a poll later.
BEHIND_S = 300

# The fault, rollbackd's trigger, and the rule that says the same. Of a counter, `increase` over one step is what that minute added.
RULES = {
    "errors": ("critical-errors", "increase(bad_total[1m]) / increase(all_total[1m]) > 0.05", "5m"),
    "slow": ("performance-degradation", "p95_seconds > 3 * clamp_min(quantile_over_time(0.5, p95_seconds[58m] offset 2m), 0.05)", "10m"),
    "outage": ("service-outage", "up == 0", "2m"),
}

RATE = "increase(bad_total[1m]) / increase(all_total[1m])"
ENOUGH = "increase(all_total[1m]) >= 20"
USUAL = "clamp_min(quantile_over_time(0.5, p95_seconds[58m] offset 2m), 0.05)"
# What rollbackd judges beside these by default, as rules: name, expression, `for`.
MORE = [
    ("worse", f"{RATE} >= 0.5 and {ENOUGH}", "2m"),
    ("elevated", f"{RATE} > 0.01 and {ENOUGH}", "5m"),
    ("minor", f"{RATE} > 0.005 and {ENOUGH}", "5m"),
    ("slow-responses", "p95_seconds > 2", "10m"),
    ("slower", f"p95_seconds > 1.5 * {USUAL}", "10m"),
    ("slower-minor", f"p95_seconds > 1.2 * {USUAL}", "10m"),
    ("traffic-collapse", "increase(all_total[1m]) < 0.1 * increase(all_total[58m] offset 2m) / 58", "5m"),
    ("failed-health-checks", "up == 0", "3m"),
]

# rollbackd's trigger fires sooner where most requests fail; as rules that is another one.
SAME = {"worse": "errors"}


def measured(command, cores, **more):
    """Runs it: seconds, CPU seconds, bytes at most, and what it printed."""
    with tempfile.TemporaryFile() as printed:
        begun = time.monotonic()
        child = subprocess.Popen(command, stdout=printed, preexec_fn=lambda: os.sched_setaffinity(0, cores), **more)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - begun
        printed.seek(0)
        if child.returncode:
            raise Failed(f"{command[0]} ended with {child.returncode}")
        return took, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, printed.read()


def replayed(program, path, cores):
    return measured([program, "replay", "--labelled", str(path), "--json"], cores)


def lines(path):
    with open(path) as file:
        for text in file:
            yield json.loads(text)


def samples_in(services, days):
    return services * days * series.DAY * SIGNALS


def as_series(one):
    """A service's series as VictoriaMetrics imports them: counters that go on where nothing was recorded, and gauges with a hole."""
    step = one["interval_s"]
    at = lambda index: (FROM_S + index * step) * 1_000
    for name, key in (("bad_total", "e"), ("all_total", "n")):
        count, values, times = 0, [0], [at(0)]
        for index, value in enumerate(one[key], 1):
            if value is not None:
                count += value
                values.append(count)
                times.append(at(index))
        yield {"metric": {"__name__": name, "service": one["id"]}, "values": values, "timestamps": times}
    for name, key, unit in (("p95_seconds", "p95_ms", 1_000), ("up", "up", 1)):
        told = [(value / unit, at(index)) for index, value in enumerate(one[key], 1) if value is not None]
        values, times = zip(*told)
        yield {"metric": {"__name__": name, "service": one["id"]}, "values": values, "timestamps": times}


def load(url, path):
    for one in lines(path):
        body = "\n".join(json.dumps(each) for each in as_series(one)).encode()
        fetch(f"{url}/api/v1/import", body, timeout=120)
    fetch(f"{url}/internal/force_flush", timeout=120)


def rules(path, all_of_them):
    wanted = [(kind, expression, lasts) for kind, (_, expression, lasts) in RULES.items()] + (MORE if all_of_them else [])
    text = ["groups:", "  - name: replay", f"    interval: {series.STEP_S}s", "    rules:"]
    for name, expression, lasts in wanted:
        text += [f"      - alert: {name}", f"        expr: '{expression}'", f"        for: {lasts}"]
    path.write_text("\n".join(text) + "\n")
    return path


def command_of(directory, url, days, all_of_them):
    return ["vmalert", "-replay.disableProgressBar", f"-rule={rules(directory / 'rules.yml', all_of_them)}", f"-datasource.url={url}",
            f"-remoteWrite.url={url}", f"-replay.timeFrom={stamp(FROM_S)}", f"-replay.timeTo={stamp(FROM_S + days * 86_400)}",
            # What is pending is forgotten from one question to the next: one question for all, or a fault at the seam is found later.
            f"-replay.maxDatapointsPerQuery={days * series.DAY + 1}",
            # Nothing stands on another rule's result, so that nothing need be waited for; by default it waits a second for each question.
            "-replay.rulesDelay=0s", "-remoteWrite.maxQueueSize=10000000", f"-datasource.queryStep={series.STEP_S}s", "-loggerLevel=ERROR", f"-httpListenAddr=127.0.0.1:{free_port()}"]


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def vmalert(directory, path, days, cores):
    """What it took, with RULES alone and with all, and when which alert began to fire, by service and kind."""
    url = f"http://127.0.0.1:{free_port()}"
    command = ["taskset", "-c", ",".join(map(str, cores)), "victoria-metrics", f"-storageDataPath={directory}/data",
               f"-httpListenAddr={url[7:]}", "-retentionPeriod=100y", "-search.latencyOffset=0s", "-search.maxUniqueTimeseries=1000000", "-search.maxPointsPerTimeseries=1000000",
               # What one run asked for is not to be there already for the next.
               "-search.disableCache"]
    server = Process("victoria-metrics", command, str(directory)).ready(url + "/health")
    try:
        load(url, path)
        runs = []
        for all_of_them in (False, True):
            spent = server.cpu_s()
            took, cpu, _, _ = measured(command_of(directory, url, days, all_of_them), cores)
            runs.append((took, cpu + server.cpu_s() - spent))
            fetch(f"{url}/internal/force_flush", timeout=120)
        return runs, began(url)
    finally:
        server.stop()


def began(url):
    match = urllib.parse.quote('{__name__="ALERTS",alertstate="firing"}')
    found = {}
    for text in fetch(f"{url}/api/v1/export?match[]={match}", timeout=300).splitlines():
        one = json.loads(text)
        times = sorted(at // 1_000 for at in one["timestamps"])
        starts = [at for before, at in zip([-10**9, *times], times) if at - before > 2 * series.STEP_S]
        kind = SAME.get(one["metric"]["alertname"], one["metric"]["alertname"])
        found.setdefault((one["metric"]["service"], kind), []).extend(at - FROM_S for at in starts)
    return found


def fired(told):
    """The same of what rollbackd told."""
    kinds = {trigger: kind for kind, (trigger, _, _) in RULES.items()}
    found = {}
    for story in json.loads(told):
        for one in story["fired"]:
            if kind := kinds.get(one["trigger"]):
                service = story["service"].split("/")[0]
                at = datetime.datetime.fromisoformat(one["at"].replace("Z", "+00:00"))
                found.setdefault((service, kind), []).append(round(at.timestamp()) - FROM_S)
    return found


def agree(path, ours, theirs):
    """How many faults both fire for, and what is wrong, a sentence each."""
    both, apart, wrong = 0, [], []
    for one in lines(path):
        due = {"errors": [], "slow": [], "outage": []}
        for fault in one["faults"]:
            if fault["kind"] in due:
                due[fault["kind"]].append((fault["from_s"], fault["until_s"] + BEHIND_S))
            # An outage is failing requests as well.
            if fault["kind"] == "outage":
                due["errors"].append((fault["from_s"], fault["until_s"] + BEHIND_S))
        for kind, spans in due.items():
            firsts = []
            for who, times in (("rollbackd", ours), ("vmalert", theirs)):
                left = list(times.get((one["id"], kind), []))
                firsts.append([min((at for at in left if begins < at <= ends), default=None) for begins, ends in spans])
                for begins, ends in spans:
                    left = [at for at in left if not begins < at <= ends]
                wrong += [f"{one['id']} {kind}: {who} fires at {at} s, and nothing is wrong then" for at in left]
            for (begins, _), mine, other in zip(spans, *firsts):
                if mine is None or other is None:
                    silent = " and ".join(who for who, at in (("rollbackd", mine), ("vmalert", other)) if at is None)
                    wrong.append(f"{one['id']} {kind} from {begins} s: not found by {silent}")
                elif abs(mine - other) > TOLERANCE_S:
                    wrong.append(f"{one['id']} {kind} from {begins} s: rollbackd fires at {mine} s, vmalert at {other} s")
                else:
                    both += 1
                    apart.append(mine - other)
    return both, apart, wrong


def say(name, samples, took, cpu, peak=None):
    memory = f", at most {peak / 1e6:.0f} MB" if peak else ""
    print(f"{name}: {samples / 1e6:.1f} million samples in {took:.1f} s ({cpu:.1f} s of CPU), {samples / took / 1e6:.2f} million a second{memory}", flush=True)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--program", required=True)
    ask.add_argument("--services", type=int, default=1_000)
    ask.add_argument("--days", type=int, default=30)
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--cores", type=int, default=2, help="how many may be used, by whichever is measured")
    ask.add_argument("--json", type=pathlib.Path, help="write the numbers there, too")
    ask = ask.parse_args()
    for program, package in (("vmalert", "victoria-metrics"), ("victoria-metrics", "victoria-metrics"), ("taskset", "util-linux")):
        if not shutil.which(program):
            sys.exit(f"{program} is missing; install Debian's {package} (tests/rig/victoria-metrics install)")
    cores = sorted(os.sched_getaffinity(0))[:ask.cores]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as directory:
        directory = pathlib.Path(directory)
        whole, tenth = directory / "whole.jsonl", directory / "tenth.jsonl"
        series.write(whole, ask.services, ask.days, ask.seed)
        few = max(1, ask.services // 10)
        with whole.open() as file, tenth.open("w") as part:
            part.writelines(text for text, _ in zip(file, range(few)))
        size = whole.stat().st_size
        print(f"{ask.services} services, {ask.days} days, {SIGNALS} signals a minute: {size / 1e6:.0f} MB", flush=True)
        samples = samples_in(ask.services, ask.days)
        took, cpu, peak, _ = replayed(ask.program, whole, cores)
        say("rollbackd replay", samples, took, cpu, peak)
        numbers = {"samples": samples, "seconds": took, "cpu_s": cpu, "peak_bytes": peak}
        whole.unlink()
        samples = samples_in(few, ask.days)
        took, cpu, peak, told = replayed(ask.program, tenth, cores)
        say("of a tenth: rollbackd replay", samples, took, cpu, peak)
        runs, theirs = vmalert(directory, tenth, ask.days, cores)
        for (theirs_took, theirs_cpu), rules_of in zip(runs, (len(RULES), len(RULES) + len(MORE))):
            say(f"of a tenth: vmalert -replay, {rules_of} rules", samples, theirs_took, theirs_cpu)
            print(f"  rollbackd, which judges every trigger of the runbook, is {theirs_took / took:.1f} x faster, {theirs_cpu / cpu:.1f} x by CPU")
        both, apart, wrong = agree(tenth, fired(told), theirs)
        apart.sort()
        print(f"both fire for {both} faults, at most {max(map(abs, apart), default=0)} s apart, and are silent otherwise" if not wrong
              else f"both fire for {both} faults; they differ {len(wrong)} times:")
        print("\n".join(f"  {one}" for one in wrong[:30]), end="\n" if wrong else "")
        numbers["tenth"] = {"samples": samples, "seconds": took, "cpu_s": cpu, "vmalert_s": [run[0] for run in runs],
                            "vmalert_cpu_s": [run[1] for run in runs],
                            "both": both, "wrong": wrong}
        if ask.json:
            ask.json.write_text(json.dumps(numbers, indent=1) + "\n")
        sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(str(why))
