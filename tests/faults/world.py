# SPDX-License-Identifier: Apache-2.0
"""The mesh that the fault tests break: two meshed servers with the same applications behind one Service each, a meshed client, a
pod without a proxy."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../netns"), os.path.join(HERE, "../support")]
from cases import PYTHON, Load, until  # noqa: E402
from mesh import wait_port  # noqa: E402

APPS = os.path.join(HERE, "../support/apps.py")
# kind, port of the application; the Service has the port below
PORTS = {"http": 8080, "h2": 8082, "bytes": 6379, "banner": 13306, "echo": 7000}


class World:
    def __init__(self, mesh, proxies=True, **env):
        self.mesh, self.env = mesh, env
        self.a, self.b = (mesh.pod(name) for name in ("web-a", "web-b"))
        self.client, self.plain = mesh.pod("client"), mesh.pod("plain")
        self.meshed = [self.a, self.b, self.client]
        self.apps = {}
        for pod in (self.a, self.b):
            pod.ports = list(PORTS.values())
        self.pair = {kind: mesh.service(f"{kind}-pair", [self.a, self.b], port + 10000, port) for kind, port in PORTS.items()}
        self.single = {kind: mesh.service(f"{kind}-single", [self.a], port + 20000, port) for kind, port in PORTS.items()}
        for pod in self.meshed:
            pod.meshed = True
        mesh.write_manifests()
        mesh.start_control()
        for pod in (self.a, self.b):
            self.start_apps(pod)
        if proxies:
            for pod in self.meshed:
                mesh.start_proxy(pod, wait=False, **env)
            for pod in self.meshed:
                self.ready(pod)

    def start_apps(self, pod, kinds=tuple(PORTS)):
        for kind in kinds:
            self.apps[pod.name, kind] = pod.popen(PYTHON, APPS, kind, str(PORTS[kind]), pod.name, log=f"{kind}.log")
        for kind in kinds:
            wait_port(pod, PORTS[kind])

    def start_apps_bare(self, pod):
        """For a pod without a proxy."""
        self.start_apps(pod, ("http", "h2"))

    def ready(self, pod):
        return until(lambda: pod.curl("http://127.0.0.1:4191/ready").strip() == "ready", f"the proxy of {pod.name} is ready", 15)

    def load(self, service, kind="h1", pod=None, **options):
        options.setdefault("rate", 150)
        return Load(pod or self.client, kind, service["ip"], service["port"], **options)

    def get(self, service, path="/", *args, pod=None, family="ip"):
        host = service[family] if family == "ip" else f"[{service['ip6']}]"
        return (pod or self.client).curl("-w", "\n%{http_code}", *args, f"http://{host}:{service['port']}{path}")

    def ok(self, service, path="/", *args, **where):
        return self.get(service, path, *args, **where).endswith("\n200")

    def logs(self):
        for pod in self.meshed:
            print(f"# --- {pod.name}")
            for line in pod.log()[-1500:].splitlines():
                print("# " + line)
