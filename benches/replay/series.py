#!/usr/bin/env python3
"""A month of many services, as `rollbackd replay --labelled` reads it: requests and errors, response times and a health probe, a minute each.

The same seed writes the same bytes. Requests follow the day, errors are few, response times vary; most services have some faults that last
(`errors`, `slow`, `outage`), all of those some that do not (`blip`, of less than half of the requests: more for two minutes is no blip), one in five has none at all, and now and then nothing was recorded. What was
put in stands in `faults`, which rollbackd does not read: a checker does.
"""
import argparse, json, math, multiprocessing, random, sys

STEP_S = 60
DAY = 86_400 // STEP_S
# Drawn from again and again: a draw of its own for each of 43 million minutes would take longer than everything that is measured.
POOL = 8_192
# One in so many has no fault.
HEALTHY_EVERY = 5
# No fault begins before what is normal is known, and none runs into the next one.
APART = 300
DAYTIME = [0.65 + 0.35 * math.sin(2 * math.pi * (minute / DAY - 0.3)) for minute in range(DAY)]


def poisson(draw, mean):
    """Knuth's: good for the small means that healthy services have."""
    bound, count, product = math.exp(-mean), 0, draw.random()
    while product > bound:
        count, product = count + 1, product * draw.random()
    return count


def faults(draw, steps):
    """Kind, first minute, the minute behind the last one, and how bad; far apart, so that each can be told from the others."""
    wanted = ["errors"] * draw.randint(1, 3) + ["slow"] * draw.randint(0, 2) + ["outage"] * draw.randint(0, 1)
    wanted += ["blip"] * draw.randint(2, 6)
    draw.shuffle(wanted)
    room = steps // (len(wanted) + 1)
    found = []
    for place, kind in enumerate(wanted, 1):
        lasts = {"errors": (20, 90), "slow": (25, 60), "outage": (8, 20), "blip": (1, 2)}[kind]
        bad = {"errors": (0.12, 0.6), "slow": (4.0, 8.0), "outage": (1.0, 1.0), "blip": (0.12, 0.4)}[kind]
        begins = place * room + draw.randrange(max(1, room - APART))
        ends = min(begins + draw.randint(*lasts), steps - 1)
        if begins >= APART and begins < ends:
            found.append((kind, begins, ends, draw.uniform(*bad)))
    return found


def service(seed, number, steps):
    draw = random.Random(f"{seed}:{number}")
    busy = math.exp(draw.uniform(math.log(60), math.log(3_000)))
    failing = math.exp(draw.uniform(math.log(1e-5), math.log(1e-3)))
    usual_ms = draw.uniform(80, 400)
    noise = [draw.gauss(0, 1) for _ in range(POOL)]
    few = [poisson(draw, min(busy * failing, 3.0)) for _ in range(POOL)]
    spread = 1 / math.sqrt(busy) + 0.02
    day = [busy * part for part in DAYTIME]
    many = [1 + spread * one for one in noise]
    n = [max(20, round(day[minute % DAY] * one)) for minute, one in enumerate(draw.choices(many, k=steps))]
    e = draw.choices(few, k=steps)
    times = [round(usual_ms * (1 + 0.05 * max(-3.0, min(3.0, one))), 1) for one in noise]
    p95 = draw.choices(times, k=steps)
    up = ["1"] * steps
    put_in = [] if number % HEALTHY_EVERY == 0 else faults(draw, steps)
    for kind, begins, ends, bad in put_in:
        for minute in range(begins, ends):
            if kind == "slow":
                p95[minute] = round(p95[minute] * bad, 1)
            else:
                e[minute] = round(n[minute] * min(1.0, bad * draw.uniform(0.95, 1.05)))
                up[minute] = "0" if kind == "outage" else "1"
    n, e, p95 = list(map(str, n)), list(map(str, e)), list(map(str, p95))
    inside = [range(begins - APART // 4, ends + APART // 4) for _, begins, ends, _ in put_in]
    for _ in range(draw.randint(0, 3)):
        hole = draw.randrange(steps)
        for minute in range(hole, min(hole + draw.randint(1, 4), steps)):
            if not any(minute in one for one in inside):
                n[minute] = e[minute] = p95[minute] = up[minute] = "null"
    return line(number, put_in, n, e, p95, up)


def line(number, put_in, n, e, p95, up):
    errors = next((one for one in put_in if one[0] == "errors"), None)
    head = {"id": f"svc-{number:05}", "interval_s": STEP_S}
    if errors:
        _, begins, ends, bad = errors
        head |= {"fault_start_s": begins * STEP_S, "fault_end_s": ends * STEP_S, "truth_error_ratio": round(bad, 3), "expect": "rollback"}
    elif not put_in:
        head["well_behaved"] = True
    head["faults"] = [{"kind": kind, "from_s": begins * STEP_S, "until_s": ends * STEP_S} for kind, begins, ends, _ in put_in]
    columns = ",".join(f'"{name}":[{",".join(values)}]' for name, values in (("n", n), ("e", e), ("p95_ms", p95), ("up", up)))
    return json.dumps(head)[:-1] + "," + columns + "}\n"


def one(what):
    return service(*what)


def write(path, services, days, seed):
    """Writes the file, on all cores, in order."""
    todo = ((seed, number, days * DAY) for number in range(services))
    with open(path, "w") as file, multiprocessing.Pool() as pool:
        file.writelines(pool.imap(one, todo, chunksize=4))


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("path")
    ask.add_argument("--services", type=int, default=1_000)
    ask.add_argument("--days", type=int, default=30)
    ask.add_argument("--seed", type=int, default=1)
    ask = ask.parse_args()
    if ask.services < 1 or ask.days < 1:
        sys.exit("at least one service, and one day")
    write(ask.path, ask.services, ask.days, ask.seed)


if __name__ == "__main__":
    main()
