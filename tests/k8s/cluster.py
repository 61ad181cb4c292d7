# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes cluster of one node: the real API server, controllers, scheduler, kubelet, kube-proxy,
CoreDNS, etcd and containerd, in network, mount and process namespaces of their own.

Nothing of it is seen from outside: addresses and ports are fixed, packet filter and mounts are its own, and
ending the first process ends all of them. Needs root. NetworkPolicies are accepted and not enforced (a plain
CNI plugin), and there is no metrics-server, so autoscalers see nothing.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import configs

from harness.util import Process, need_program, scaled, wait_until

NODE = "node-1"
HOLD = """\
set -e
for dir in /run /var/log /var/lib/cni /var/lib/kubelet; do
    mkdir -p $dir
    mount -t tmpfs tmpfs $dir
done
mkdir /run/lock
ip link set lo up
ip link add node0 type bridge
ip address add {node}/24 dev node0
ip link set node0 up
ip route add default dev node0 # leads nowhere, but Services need some way before they are led elsewhere
echo 1 >/proc/sys/net/ipv4/ip_forward
echo held >{ready}
sleep infinity &
while :; do wait; done
"""


class Cluster:
    def __init__(self, directory, programs):
        self.dir = pathlib.Path(directory)
        self.programs = programs
        self.holder = None
        self.inner = None
        self.all = []

    # ---- processes within the namespaces ----

    def inside(self, *argv):
        return ["nsenter", "-t", str(self.inner), "-m", "-n", "-p", "--", *map(str, argv)]

    def spawn(self, name, *argv, env=None):
        process = Process(name, self.inside(*argv), self.dir / f"{name}.log", env)
        process.spawn()
        self.all.append(process)
        return process

    def kubectl_argv(self, *args):
        return self.inside(need_program("kubectl"), "--kubeconfig", self.dir / "kubeconfig", *args)

    def kubectl(self, *args, stdin=None, check=True, timeout=120):
        """(exit code, stdout, stderr) of one call; check: it must end with 0."""
        done = subprocess.run(
            self.kubectl_argv(*args),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=scaled(timeout),
            env={**os.environ, "HOME": str(self.dir)},
        )
        if check:
            assert done.returncode == 0, f"kubectl {' '.join(map(str, args))}:\n{done.stdout}{done.stderr}"
        return done.returncode, done.stdout, done.stderr

    def get(self, *args):
        return json.loads(self.kubectl("get", *args, "-o", "json")[1])

    def answers(self, path):
        """A server that is just starting may take a connection and never answer on it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.kubectl("get", "--raw", path, check=False, timeout=3)[0] == 0
        return False

    # ---- start and end ----

    def start(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        configs.write(self.dir, NODE)
        self._hold()
        self._control_plane()
        self._node()
        return self

    def _hold(self):
        ready = self.dir / "held"
        script = HOLD.format(node=configs.ADDRESS, ready=ready)
        argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self.holder = Process("holder", [*argv, "bash", "-c", script], self.dir / "holder.log")
        self.holder.spawn()
        self.holder.wait_for(ready.exists, "its namespaces", 10)
        children = pathlib.Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text()
        self.inner = int(children.split()[0])

    def _control_plane(self):
        d, url = self.dir, "http://127.0.0.1:2379"
        peer = "http://127.0.0.1:2380"
        self.spawn(
            "etcd", "etcd", "--data-dir", d / "etcd", "--listen-client-urls", url, "--advertise-client-urls",
            url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}",
        )  # fmt: skip
        self.spawn(
            "kube-apiserver", self.programs / "kube-apiserver", f"--etcd-servers={url}",
            f"--secure-port={configs.PORT}", f"--advertise-address={configs.ADDRESS}",
            f"--cert-dir={d}/certs", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={d}/sa.key", f"--service-account-signing-key-file={d}/sa.key",
            "--service-cluster-ip-range=10.96.0.0/16", f"--token-auth-file={d}/tokens.csv",
            "--authorization-mode=Node,RBAC", "--allow-privileged",
            "--kubelet-preferred-address-types=InternalIP",
        )  # fmt: skip
        wait_until(lambda: self.answers("/readyz"), lambda: self._failing("kube-apiserver"), 60, 0.2)
        kubeconfig = f"--kubeconfig={d}/kubeconfig"
        self.spawn(
            "kube-controller-manager", self.programs / "kube-controller-manager", kubeconfig,
            f"--service-account-private-key-file={d}/sa.key", f"--root-ca-file={d}/certs/apiserver.crt",
            "--use-service-account-credentials", "--leader-elect=false",
        )  # fmt: skip
        scheduler = self.programs / "kube-scheduler"
        self.spawn("kube-scheduler", scheduler, kubeconfig, "--leader-elect=false")

    def _node(self):
        d = self.dir
        self.spawn("containerd", "containerd", "--config", d / "containerd.toml", env={"PATH": configs.PATH})
        self.spawn("coredns", self.programs / "coredns", "-conf", d / "Corefile")
        ready = lambda: self.ctr("version", check=False).returncode == 0  # noqa: E731
        wait_until(ready, lambda: self._failing("containerd"), 30, 0.2)

    def start_kubelet(self):
        """After the images are there: it asks for the pause image with the first pod."""
        d = self.dir
        kubelet = self.programs / "kubelet"
        self.spawn(
            "kubelet", kubelet, f"--config={d}/kubelet.json", f"--kubeconfig={d}/kubeconfig",
            f"--root-dir={d}/kubelet", f"--hostname-override={NODE}", f"--node-ip={configs.ADDRESS}",
            f"--cert-dir={d}/kubelet-certs",
        )  # fmt: skip
        wait_until(self._node_is_ready, lambda: self._failing("kubelet"), 60, 0.2)
        self.spawn("kube-proxy", self.programs / "kube-proxy", f"--config={d}/kube-proxy.json")

    def _node_is_ready(self):
        for node in self.get("nodes")["items"]:
            for c in node["status"].get("conditions", []):
                if c["type"] == "Ready" and c["status"] == "True":
                    return True
        return False

    def _failing(self, name):
        text = (self.dir / f"{name}.log").read_text(errors="replace")
        return f"{name} does not get ready:\n" + "\n".join(text.splitlines()[-25:])

    def ctr(self, *args, check=True):
        argv = self.inside("ctr", "-a", self.dir / "containerd.sock", "-n", "k8s.io", *args)
        return subprocess.run(argv, capture_output=True, text=True, check=check, timeout=scaled(120))

    def load_image(self, archive):
        self.ctr("images", "import", archive)

    def start_consul(self, program):
        """The node's agent, as a DaemonSet with a host port would be: at 8500 of the node's address."""
        where = (f"-bind={configs.ADDRESS}", f"-client={configs.ADDRESS}")
        process = self.spawn("consul", program, "agent", "-dev", *where)
        log = self.dir / "consul.log"
        process.wait_for(lambda: "cluster leadership acquired" in log.read_text(), "a leader", 20)

    def forward(self, *rows):
        here = pathlib.Path(__file__).resolve().parent
        process = self.spawn("forward", sys.executable, here / "forward.py", *rows)
        log = self.dir / "forward.log"
        process.wait_for(lambda: "ready" in log.read_text(), "its ports", 10)
        return process

    def finish(self):
        """Ends every process of it, by the first of their namespace, and takes its control groups away."""
        if self.holder:
            self.holder.kill()
        for process in self.all:
            process.kill()
        top = pathlib.Path("/sys/fs/cgroup")
        for group in (*top.glob(configs.CGROUP), *top.glob(f"*/{configs.CGROUP}")):
            gone = lambda group=group: _remove_group(group)  # noqa: E731
            wait_until(gone, f"the end of what is in {group}", 20, 0.1)
        shutil.rmtree(self.dir / "containerd", ignore_errors=True)
        shutil.rmtree(self.dir / "kubelet", ignore_errors=True)


def _remove_group(group):
    """False while a process that was killed is still in there."""
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            return False
    return True
