#!/usr/bin/env python3
"""What a large cluster costs: the daemon beside a real API server with many Deployments and pods.

Of a cluster with DEPLOYMENTS and PODS of each (made at once, by hand: its controllers stand still) one service is written and all namespaces are
watched; then every Deployment is found by its annotation, too. Of each: how long until it is watched, the daemon's memory, and the requests that the
API server counts in a minute at rest, less those that it counts without the daemon.
"""
import argparse, concurrent.futures, http.client, json, os, pathlib, re, ssl, subprocess, sys, tempfile, threading, time, urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from fleet.process import Failed, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMESPACE = "fleet"
WATCHED_WITHIN_S = 180
KINDS = ("deployments", "replicasets", "pods")


class Cluster:
    """What `tests/rig/kubernetes serve` starts; gone with this process."""

    def __init__(self, home):
        command = [ROOT / "tests/rig/kubernetes", "serve", home]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = {}
        for line in self.child.stdout:
            name, _, value = line.strip().partition("=")
            self.said[name] = value
            if name == "ready":
                break
        self.place = urllib.parse.urlsplit(self.said["url"])
        self.tls = ssl.create_default_context(cafile=self.said["ca"])
        self.own = threading.local()

    def tell(self, what):
        self.child.stdin.write(what + "\n")
        self.child.stdin.flush()
        while self.child.stdout.readline().strip() != f"done: {what}":
            pass

    def ask(self, method, path, body=None):
        if not hasattr(self.own, "link"):
            self.own.link = http.client.HTTPSConnection(self.place.hostname, self.place.port, context=self.tls)
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"authorization": "Bearer " + self.said["token"], "content-type": kind}
        try:
            self.own.link.request(method, path, body and json.dumps(body), headers)
            answer = self.own.link.getresponse()
            text = answer.read().decode()
        except (ConnectionError, http.client.HTTPException):
            # A server closes a link that it has kept for long enough; the next request opens another.
            self.own.link.close()
            self.own.link.request(method, path, body and json.dumps(body), headers)
            answer = self.own.link.getresponse()
            text = answer.read().decode()
        if answer.status == 409 and method == "POST":
            return self.ask("GET", f"{path}/{body['metadata']['name']}")
        if answer.status >= 300:
            raise Failed(f"{method} {path}: {answer.status} {text[:300]}")
        return text

    def requests(self):
        """Of the watched kinds, since it was started."""
        all_of_them = 0
        for line in self.ask("GET", "/metrics").splitlines():
            if line.startswith("apiserver_request_total{") and re.search(r'resource="(%s)"' % "|".join(KINDS), line):
                all_of_them += float(line.rsplit(" ", 1)[1])
        return all_of_them


def made(cluster, number, pods):
    """One Deployment with its ReplicaSet and its pods, as controllers would have made them."""
    name, labels = f"service-{number}", {"app": f"service-{number}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{
        "name": "app", "image": f"registry.invalid/team/service-{number}:1.4.{number % 50}",
        "env": [{"name": f"SETTING_{nth}", "value": f"value-{nth}"} for nth in range(10)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
    }]}}
    at = f"/apis/apps/v1/namespaces/{NAMESPACE}"
    deployment = json.loads(cluster.ask("POST", f"{at}/deployments", {
        "metadata": {"name": name, "labels": labels, "annotations": {"rollbackd.dev/watch": "true"}},
        "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": template},
    }))
    hashed = {**labels, "pod-template-hash": f"{number:010x}"}
    with_hash = {**template, "metadata": {"labels": hashed}}
    replica_set = json.loads(cluster.ask("POST", f"{at}/replicasets", {
        "metadata": {"name": f"{name}-{number:010x}", "labels": hashed, "annotations": {"deployment.kubernetes.io/revision": "1"},
                     "ownerReferences": [owner("Deployment", deployment)]},
        "spec": {"replicas": pods, "selector": {"matchLabels": hashed}, "template": with_hash},
    }))
    for nth in range(pods):
        pod = {"metadata": {"name": f"{name}-{number:010x}-{nth}", "labels": hashed, "ownerReferences": [owner("ReplicaSet", replica_set)]},
               "spec": template["spec"]}
        cluster.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod)


def owner(kind, of):
    return {"apiVersion": "apps/v1", "kind": kind, "name": of["metadata"]["name"], "uid": of["metadata"]["uid"], "controller": True}


ONE = """
[service.first.rollback.application.kubernetes]
namespace = "fleet"
deployment = "service-0"
[service.first.signal.health.kubernetes]
"""
ALL = """
[discover.annotated]
template = "deployment"
[discover.annotated.kubernetes]
[template.deployment.rollback.application.kubernetes]
namespace = "{namespace}"
deployment = "{deployment}"
[template.deployment.signal.health.kubernetes]
"""


def measured(program, cluster, services, at_rest_s, deployments):
    """Runs the daemon over the cluster."""
    with tempfile.TemporaryDirectory() as home:
        config = pathlib.Path(home, "rollbackd.toml")
        config.write_text(f'state_dir = "{home}/state"\nmode = "observe"\n[http]\nlisten = "127.0.0.1:{free_port()}"\n'
                          f'[kubernetes.main]\nkubeconfig = "{cluster.said["kubeconfig"]}"\nall_namespaces = true\n{services}')
        log = pathlib.Path(home, "log")
        began = time.monotonic()
        with log.open("w") as out:
            daemon = subprocess.Popen([program, "run", "--config", config], stdout=out, stderr=out, env={**os.environ, "LC_ALL": "C"})
        try:
            wanted = f"deployments={deployments}"
            while wanted not in log.read_text():
                if daemon.poll() is not None or time.monotonic() - began > WATCHED_WITHIN_S:
                    raise Failed(f"it is not watched: {log.read_text()[-2000:]}")
                time.sleep(0.2)
            took_s = time.monotonic() - began
            time.sleep(at_rest_s / 2)
            before, since = cluster.requests(), time.monotonic()
            time.sleep(at_rest_s)
            per_minute = (cluster.requests() - before) / (time.monotonic() - since) * 60
            status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
            most = {key: int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024 for key in ("VmRSS", "VmHWM")}
            return {"watched_after_s": round(took_s, 1), "requests_per_minute": round(per_minute, 1),
                    "rss_mb": round(most["VmRSS"]), "most_rss_mb": round(most["VmHWM"])}
        finally:
            daemon.terminate()
            daemon.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/rollbackd")
    parser.add_argument("--deployments", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=5)
    parser.add_argument("--at-rest", type=int, default=60, metavar="SECONDS")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        cluster = Cluster(home)
        cluster.tell("kill controllers")
        cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for done in pool.map(lambda number: made(cluster, number, args.pods), range(args.deployments)):
                pass
        before, since = cluster.requests(), time.monotonic()
        time.sleep(args.at_rest)
        alone = (cluster.requests() - before) / (time.monotonic() - since) * 60
        result = {"deployments": args.deployments, "pods": args.deployments * args.pods, "requests_per_minute_without": round(alone, 1)}
        for name, services in (("one service", ONE), ("every Deployment a service", ALL)):
            result[name] = measured(args.program, cluster, services, args.at_rest, args.deployments)
            print(name, json.dumps(result[name]), flush=True)
        cluster.child.stdin.close()
        cluster.child.wait()
    print(json.dumps(result))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except Failed as fault:
        sys.exit(f"run.py: {fault}")
