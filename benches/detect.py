#!/usr/bin/env python3
"""Who finds the labelled faults, how soon, and how often in vain: rollbackd beside Prometheus's rules, on the same series.

The series become counters in blocks of a real Prometheus (`promtool tsdb create-blocks-from openmetrics`), which evaluates every
rule's expression as often as the series were recorded. Only its `for` is counted here, as Prometheus counts it: an expression that holds at each evaluation
for so long fires, and one that is false or tells nothing begins anew. rollbackd's row is `rollbackd replay --score`.
"""
import argparse, json, math, pathlib, subprocess, sys, tempfile, time, urllib.parse, urllib.request

sys.dont_write_bytecode = True
from fleet.process import free_port

# Where `rollbackd replay` lets every series begin.
FROM_S = 1_767_571_200
WEEK_S = 7 * 86_400
FOR_S = 300
POINTS = 10_000


def ratio(window):
    return f"rate(bad_total[{window}s]) / rate(all_total[{window}s])"


def burns(short, long, factor):
    return f"(({ratio(short)} > {factor * 0.001}) and ({ratio(long)} > {factor * 0.001}))"


def detectors(step):
    """Name, expression that is true while it breaches, and `for` in seconds. A rate needs two samples: a window ends just
    behind one."""
    one, five = step + 1, max(300, step) + 1
    sre = f"{burns(max(300, step) + 1, 3601, 14.4)} or {burns(1801, 21601, 6)}"
    return {
        "Prometheus rate[1 step] for:5m": (f"{ratio(one)} > 0.05", FOR_S),
        "Prometheus rate[5m] for:5m": (f"{ratio(five)} > 0.05", FOR_S),
        "Prometheus rate[5m], no for": (f"{ratio(five)} > 0.05", 0),
        "SRE multi-window burn rate, 99.9 %": (sre, 0),
    }


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def openmetrics(series):
    """Every series as counters; those of one name stand together, as the format asks."""
    for name, key in (("bad", "e"), ("all", "n")):
        yield f"# TYPE {name} counter\n"
        for one in series:
            count, labels = 0, f'{{series="{one["id"]}",step="{one["interval_s"]}"}}'
            yield f"{name}_total{labels} 0 {FROM_S}\n"
            for index, value in enumerate(one[key], 1):
                if value is not None:
                    count += value
                    yield f"{name}_total{labels} {count} {FROM_S + index * one['interval_s']}\n"
    yield "# EOF\n"


class Prometheus:
    def __init__(self, directory, series):
        text, data = directory / "series.txt", directory / "data"
        with text.open("w") as file:
            file.writelines(openmetrics(series))
        blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, data]
        subprocess.run(blocks, check=True, stdout=subprocess.DEVNULL)
        (directory / "prometheus.yml").write_text("")
        self.url = f"http://127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={data}",
             "--storage.tsdb.retention.time=10y", f"--web.listen-address={self.url[7:]}", "--log.level=error"])
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url + "/-/ready", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("Prometheus does not become ready")

    def breaches(self, expression, seconds, step):
        """For each series the times at which the expression holds; a rule is evaluated as often as its series are read."""
        found, start = {}, 0
        while start <= seconds:
            end = min(start + (POINTS - 1) * step, seconds)
            form = {"query": expression, "start": FROM_S + start, "end": FROM_S + end, "step": step}
            url = f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(form)}"
            for row in json.load(urllib.request.urlopen(url, timeout=300))["data"]["result"]:
                times = [int(at) - FROM_S for at, _ in row["values"]]
                found.setdefault(row["metric"]["series"], []).extend(times)
            start = end + step
        return found


def fires(times, lasts, step):
    """When an alert begins to fire, of the times at which its expression holds."""
    begun, before, fired = None, None, []
    for at in times:
        if before is None or at - before > step:
            begun, firing = at, False
        if not firing and at - begun >= lasts:
            firing = True
            fired.append(at)
        before = at
    return fired


def percentile(values, share):
    values = sorted(values)
    return values[math.ceil(len(values) * share / 100) - 1] if values else None


def judged(faults, healthy, fired):
    """The row of one detector; `fired` says of a series when it fires. A fault is found when it fires between its beginning
    and five minutes behind its end, and nothing fired before; as rollbackd's is scored."""
    detected, false, delays, wanted = 0, 0, [], 0
    for one in faults:
        times, begins = fired(one), one["fault_start_s"]
        ends = one.get("fault_end_s")
        early = any(at <= begins for at in times)
        within = [at for at in times if at > begins and (ends is None or at <= ends + 300)]
        if one["expect"] == "rollback":
            wanted += 1
            detected += bool(within) and not early
            if within and not early:
                delays.append(within[0] - begins - FOR_S)
            false += early
        else:
            false += bool(times)
    well = [one for one in healthy if one.get("well_behaved")]
    weeks = sum(len(one["n"]) * one["interval_s"] for one in well) / WEEK_S
    in_vain = sum(len(fired(one)) for one in well)
    return {
        "detected": detected, "missed": wanted - detected, "false": false,
        "median_delay_s": percentile(delays, 50), "p90_delay_s": percentile(delays, 90),
        "false_per_week": in_vain / weeks if weeks else None,
    }


def show(rows, wanted, others):
    minutes = lambda s: "-" if s is None else f"{s / 60:.1f}"
    print(f"{'detector':<38} {f'found of {wanted}':>12} {f'false of {others}':>12} {'median (p90), min past 5':>25} {'false a week':>13}")
    for name, row in rows.items():
        delay = f"{minutes(row['median_delay_s'])} ({minutes(row['p90_delay_s'])})"
        weekly = "-" if row["false_per_week"] is None else f"{row['false_per_week']:.2f}"
        print(f"{name:<38} {row['detected']:>12} {row['false']:>12} {delay:>25} {weekly:>13}")


def main():
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--program", required=True)
    ask.add_argument("--labelled", type=pathlib.Path, required=True)
    ask.add_argument("--healthy", type=pathlib.Path, required=True)
    ask = ask.parse_args()
    faults = [one for one in lines(ask.labelled) if "expect" in one]
    healthy = [one for one in lines(ask.healthy) if "well_behaved" in one]
    score = subprocess.run(
        [ask.program, "replay", "--labelled", ask.labelled, "--healthy", ask.healthy, "--score", "--json"],
        check=True, capture_output=True, text=True)
    score = json.loads(score.stdout)
    rows = {"rollbackd": score}
    with tempfile.TemporaryDirectory() as directory:
        prometheus = Prometheus(pathlib.Path(directory), faults + healthy)
        try:
            for name in detectors(60):
                found = {}
                for step in {one["interval_s"] for one in faults + healthy}:
                    mine = [one for one in faults + healthy if one["interval_s"] == step]
                    longest = max(len(one["n"]) for one in mine) * step
                    expression, lasts = detectors(step)[name]
                    expression = expression.replace("_total[", f'_total{{step="{step}"}}[')
                    for series, times in prometheus.breaches(expression, longest, step).items():
                        found[series] = fires(times, lasts, step)
                rows[name] = judged(faults, healthy, lambda one: found.get(one["id"], []))
        finally:
            prometheus.process.terminate()
            prometheus.process.wait()
    wanted = sum(one["expect"] == "rollback" for one in faults)
    show(rows, wanted, len(faults) - wanted)
    print(f"rollbackd, something deployed every hour, with the guards: {score['false_per_week_guarded']:.2f} rolled back in vain a week"
          f" (services that always fail: {score['pathological_per_week_guarded']:.2f}; they fire {score['pathological_per_week']:.0f} times a week)")


if __name__ == "__main__":
    main()
