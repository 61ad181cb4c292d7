# SPDX-License-Identifier: Apache-2.0
"""The real API server alone, with its etcd, on loopback: nobody makes pods, slices are what a test writes.

start() again after kill() is on the same ports, with all that was there.
"""

import json
import pathlib
import ssl
import subprocess
import urllib.error
import urllib.request

import yaml

from harness.util import REPO, Process, free_port, need_program, scaled, wait_until

NAMESPACE, SERVICE, ACCOUNT = "fanfare", "fanfare-edge-pods", "fanfare-edge"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
RIGHTS = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
ROLE = REPO / "k8s/components/without-consul/role.yaml"
CONDITIONS = {
    "ready": {"ready": True, "serving": True, "terminating": False},
    "starting": {"ready": False, "serving": False, "terminating": False},
    "ending": {"ready": False, "serving": True, "terminating": True},
}


class ApiServer:
    def __init__(self, directory, programs):
        self.dir, self.programs = pathlib.Path(directory), programs
        self.port, self.etcd, self.server = free_port(), None, None
        self.url = f"https://127.0.0.1:{self.port}"

    # ---- start and end ----

    def start(self):
        if not self.etcd:
            self._prepare()
        self.server.spawn()
        self.server.wait_for(self._is_ready, "it is ready", 60)
        return self

    def _prepare(self):
        d, url, peer = self.dir, f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        d.mkdir(parents=True)
        (d / "tokens.csv").write_text("root,admin,1,system:masters\n")
        argv = ["openssl", "genrsa", "-out", d / "sa.key", "2048"]
        subprocess.run(argv, check=True, capture_output=True)
        argv = [
            need_program("etcd"), "--data-dir", d / "etcd", "--unsafe-no-fsync",
            "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        ]  # fmt: skip
        self.etcd = Process("etcd", argv, d / "etcd.log")
        self.etcd.spawn()
        argv = [
            self.programs / "kube-apiserver", f"--etcd-servers={url}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", "--advertise-address=10.254.0.1", f"--cert-dir={d}/certs",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={d}/sa.key", f"--service-account-signing-key-file={d}/sa.key",
            "--service-cluster-ip-range=10.96.0.0/16", f"--token-auth-file={d}/tokens.csv",
            "--authorization-mode=RBAC",
        ]  # fmt: skip
        self.server = Process("kube-apiserver", argv, d / "kube-apiserver.log")

    def _is_ready(self):
        try:
            return self.call("GET", "/readyz") == "ok"
        except (OSError, AssertionError):
            return False

    def kill(self):
        self.server.kill()

    def finish(self):
        for process in self.server, self.etcd:
            if process:
                process.kill()

    # ---- asking ----

    def call(self, method, path, body=None):
        """The answer's JSON, or its text; as somebody who may do anything."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Authorization", "Bearer root")
        request.add_header("Content-Type", "application/json")
        context = ssl._create_unverified_context()  # noqa: S323 (what an edge trusts is tested by the edge)
        try:
            with urllib.request.urlopen(request, timeout=scaled(10), context=context) as r:
                text = r.read().decode()
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{method} {path}: {e.code} {e.read()[:300]}") from e
        return json.loads(text) if text.startswith("{") else text

    # ---- what an edge needs ----

    def account(self, directory):
        """The files that a pod has of its ServiceAccount, with a real token in them."""
        directory.mkdir()
        (directory / "namespace").write_text(NAMESPACE)
        (directory / "ca.crt").write_text((self.dir / "certs/apiserver.crt").read_text())
        self.write_token(directory)
        return directory

    def write_token(self, directory):
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        (directory / "token").write_text(self.call("POST", path, request)["status"]["token"])

    def make_namespace(self):
        def make(path, kind, name):
            self.call("POST", path, {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})

        make("/api/v1/namespaces", "Namespace", NAMESPACE)
        make(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", "ServiceAccount", ACCOUNT)

    def allow(self, *verbs):
        """By the component's own Role and binding, with the account's namespace as kustomize fills it in.
        verbs: only these, instead of the Role's."""
        for o in yaml.safe_load_all(ROLE.read_text()):
            for rule in o.get("rules", []):
                rule["verbs"] = list(verbs) or rule["verbs"]
            for subject in o.get("subjects", []):
                subject["namespace"] = NAMESPACE
            self.call("POST", f"{RIGHTS}/{o['kind'].lower()}s", o)

    def forbid(self):
        for what in "rolebindings", "roles":
            self.call("DELETE", f"{RIGHTS}/{what}/{ACCOUNT}")

    # ---- slices ----

    def put(self, name, **pods):
        """A slice of these pods: put("s", **{"edge-b": ("10.0.0.2", "ready")})"""
        endpoints = []
        for pod, (address, state) in pods.items():
            target = {"kind": "Pod", "namespace": NAMESPACE, "name": pod, "uid": f"uid-{pod}"}
            row = {"addresses": [address], "conditions": CONDITIONS[state], "targetRef": target}
            endpoints.append(row)
        labels = {"kubernetes.io/service-name": SERVICE}
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": labels},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "client", "port": 8000}, {"name": "admin", "port": 9100}],
        }
        there = {o["metadata"]["name"] for o in self.call("GET", SLICES)["items"]}
        if name in there:
            self.call("PUT", f"{SLICES}/{name}", body)
        else:
            self.call("POST", SLICES, body)

    def delete(self, name):
        self.call("DELETE", f"{SLICES}/{name}")

    def delete_all(self):
        for o in self.call("GET", SLICES)["items"]:
            self.delete(o["metadata"]["name"])
        wait_until(lambda: not self.call("GET", SLICES)["items"], "no slices are left")
