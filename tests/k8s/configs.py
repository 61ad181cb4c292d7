# SPDX-License-Identifier: Apache-2.0
"""The configuration files of the cluster's programs (cluster.py)."""

import json
import subprocess

from images import PAUSE

ADDRESS = "10.254.0.1"  # the node's: on a bridge without ports, in a namespace that leads nowhere
PORT = 6443
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # a newer containerd elsewhere has a shim that this one can't talk to
CGROUP = "kubepods"

COREFILE = """\
cluster.local:53 {{
    errors
    kubernetes cluster.local {{
        kubeconfig {dir}/kubeconfig
    }}
}}
"""

CONTAINERD = """\
version = 2
root = "{dir}/containerd/root"
state = "{dir}/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
                    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
                    "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{dir}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{dir}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""

# A wire for each pod, not a bridge: so all packets pass the node's packet filter, where Services are made.
CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}


def kubelet(directory):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{directory}/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{directory}/containerd.sock",
        "makeIPTablesUtilChains": False,
        "volumePluginDir": f"{directory}/plugins",
        "podLogsDir": f"{directory}/pods",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "1%", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def kube_proxy(directory, node):
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node,
        "clusterCIDR": "10.244.0.0/16",
        "clientConnection": {"kubeconfig": f"{directory}/kubeconfig"},
        "conntrack": {"maxPerCore": 0},
    }


def kubeconfig(token):
    server = {"server": f"https://127.0.0.1:{PORT}", "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "admin"}}],
        "current-context": "c",
    }


def write(directory, node):
    files = {
        "kubelet.json": kubelet(directory),
        "kube-proxy.json": kube_proxy(directory, node),
        "kubeconfig": kubeconfig("token"),
        "cni/pods.conflist": CNI,
    }
    (directory / "cni").mkdir()
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content, indent=1))
    (directory / "containerd.toml").write_text(CONTAINERD.format(dir=directory, pause=PAUSE))
    (directory / "Corefile").write_text(COREFILE.format(dir=directory))
    (directory / "resolv.conf").touch()
    (directory / "tokens.csv").write_text("token,admin,1,system:masters\n")
    subprocess.run(
        ["openssl", "genrsa", "-out", directory / "sa.key", "2048"], check=True, capture_output=True
    )
