#!/usr/bin/env python3
"""How soon a Deployment is set back: the daemon beside a real API server and the real controllers, with a kubelet of ours.

Two releases, each in ROUNDS namespaces of its own: one of which every pod crashes at once (`outage`: nothing is ready, P0), and one that is rolled out
step by step and crashes, while the old pods serve (`rollout`, P1). Of each: from the first pod that is told to crash until the API server has the undo,
less what the policy waits for by itself; and until all pods are of the old version and ready, everything counted. A kubelet of ours starts pods at once.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile, threading, time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from run import Cluster, Failed, free_port

PODS = 3
WITHIN_S = 120
# What the policy waits for: a trigger holds, P1 is monitored before it is acted upon.
HOLDS_S, MONITOR_S = 3, 2
BURNING_S = 6
WAITS_S = {"outage": HOLDS_S, "rollout": HOLDS_S + MONITOR_S}
CONFIG = """
state_dir = "{home}/state"
mode = "auto"
bake = "2s"
watch_after = "1s"
[http]
listen = "127.0.0.1:{port}"
[guard]
burning_window = "{burning}s"
company_wait = "0s"
[baseline]
slot = "1s"
[severity.P1]
monitor_for = "{monitor}s"
[verification]
hold = "5s"
[trigger.service-outage]
holds_for = "{holds}s"
[trigger.failed-health-checks]
holds_for = "{holds}s"
[notify.log]
audiences = ["on_call"]
log = {{}}
[kubernetes.main]
kubeconfig = "{kubeconfig}"
[service.shop.rollback.application.kubernetes]
namespace = "{namespace}"
deployment = "shop"
[service.shop.signal.health]
every = "500ms"
every_watched = "500ms"
[service.shop.signal.health.kubernetes]
"""


def status(crashes):
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}} if crashes else {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    last = {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}} if crashes else {}
    ready = "False" if crashes else "True"
    return {"status": {"phase": "Running", "conditions": [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")],
                       "containerStatuses": [{"name": "app", "image": "x", "imageID": "", "ready": not crashes, "restartCount": 4 * crashes,
                                              "state": state, "lastState": last}]}}


class Place:
    """A namespace with a Deployment, and somebody who runs its pods and writes down when what was seen first."""

    def __init__(self, cluster, namespace, strategy):
        self.cluster, self.pods, self.first = cluster, f"/api/v1/namespaces/{namespace}/pods", {}
        self.deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/shop"
        cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        labels = {"app": "shop"}
        cluster.ask("POST", self.deployment.rsplit("/", 1)[0], {"metadata": {"name": "shop"}, "spec": {
            "replicas": PODS, "strategy": strategy, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": self.spec("1.4.1")}}})
        self.ends = threading.Event()
        self.threads = [threading.Thread(target=self.again, args=(what,)) for what in (self.run_pods, self.look)]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def spec(tag):
        # No grace: of what has no process nobody would see the end.
        return {"terminationGracePeriodSeconds": 0, "containers": [{"name": "app", "image": f"registry.invalid/shop:{tag}"}]}

    def again(self, what):
        while not self.ends.wait(0.01):
            what()

    def seen(self, what):
        self.first.setdefault(what, time.monotonic())

    def run_pods(self):
        pods = json.loads(self.cluster.ask("GET", self.pods))["items"]
        for pod in pods:
            crashes = pod["spec"]["containers"][0]["image"].endswith("crash")
            if not pod["status"].get("containerStatuses"):
                try:
                    self.cluster.ask("PATCH", f"{self.pods}/{pod['metadata']['name']}/status", status(crashes))
                except Failed:
                    # It is gone.
                    continue
                if crashes:
                    self.seen("crashes")
        good = [pod for pod in pods if pod["status"].get("containerStatuses") and pod["spec"]["containers"][0]["image"].endswith("1.4.1")]
        if "undo" in self.first and len(good) == len(pods) == PODS:
            self.seen("restored")

    def look(self):
        image = json.loads(self.cluster.ask("GET", self.deployment))["spec"]["template"]["spec"]["containers"][0]["image"]
        if "deployed" in self.first and image.endswith("1.4.1"):
            self.seen("undo")

    def deploy_the_broken_one(self):
        self.cluster.ask("PATCH", self.deployment, {"spec": {"template": {"spec": self.spec("crash")}}})
        self.seen("deployed")

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join()


def until(log, text, daemon):
    ends = time.monotonic() + WITHIN_S
    while text not in log.read_text():
        if daemon.poll() is not None or time.monotonic() > ends:
            raise Failed(f"no `{text}`: {log.read_text()[-3000:]}")
        time.sleep(0.01)


def one_round(program, cluster, kind, number):
    namespace = f"{kind}-{number}"
    strategy = {"type": "Recreate"} if kind == "outage" else {"type": "RollingUpdate"}
    place = Place(cluster, namespace, strategy)
    try:
        with tempfile.TemporaryDirectory() as home:
            config, log = pathlib.Path(home, "rollbackd.toml"), pathlib.Path(home, "log")
            config.write_text(CONFIG.format(home=home, port=free_port(), monitor=MONITOR_S, holds=HOLDS_S, burning=BURNING_S,
                                            kubeconfig=cluster.said["kubeconfig"], namespace=namespace))
            with log.open("w") as out:
                daemon = subprocess.Popen([program, "run", "--config", config], stdout=out, stderr=out, env={**os.environ, "LC_ALL": "C"})
            try:
                until(log, "is known good, and kept", daemon)
                # So long it must have been well before, for the change to be to blame.
                time.sleep(BURNING_S)
                place.deploy_the_broken_one()
                until(log, "rolled back and verified", daemon)
            finally:
                daemon.terminate()
                daemon.wait()
    finally:
        place.stop()
    first = place.first
    if "undo" not in first or "restored" not in first:
        raise Failed(f"it was verified, and not seen to be restored: {sorted(first)}")
    return {"undo_s": first["undo"] - first["crashes"] - WAITS_S[kind], "restored_s": first["restored"] - first["crashes"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/rollbackd")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as home:
        cluster = Cluster(home)
        for kind in WAITS_S:
            rounds = [one_round(args.program, cluster, kind, number) for number in range(args.rounds)]
            result[kind] = {key: [round(one[key], 2) for one in rounds] for key in rounds[0]}
            for key, found in result[kind].items():
                print(f"{kind}: {key} median {statistics.median(found):.2f}, at most {max(found):.2f}", flush=True)
        cluster.child.stdin.close()
        cluster.child.wait()
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except Failed as fault:
        sys.exit(f"undo.py: {fault}")
