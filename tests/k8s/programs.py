# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' own programs and CoreDNS, built from their Go modules into the cache, once for each go.mod.

The first time takes some ten minutes of two cores and 3 GB of Go's build cache. A build that was cut goes on
where it was, for Go keeps each package that it has compiled. Also a command: python3 programs.py
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

if __package__ is None:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness.consul import find_go
from harness.util import cache_dir, locked

MODULE = pathlib.Path(__file__).resolve().parent / "kubernetes"
VERSION = "1.34.4"
NAMES = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"]
STAMP = "k8s.io/component-base/version"  # without a version, the server says v0.0.0 and clients won't have it


def go_build(go, package, out):
    major, minor, _ = VERSION.split(".")
    said = f"-X {STAMP}.gitVersion=v{VERSION} -X {STAMP}.gitMajor={major} -X {STAMP}.gitMinor={minor}"
    argv = [str(go), "build", "-trimpath", "-buildvcs=false", "-o", str(out)]
    argv += ["-ldflags", f"-s -w {said}", f"./{package}"]
    subprocess.run(argv, check=True, cwd=MODULE, env={**os.environ, "CGO_ENABLED": "0"}, stdout=sys.stderr)


def fetch():
    """The directory that holds the programs."""
    text = b"".join(p.read_bytes() for p in sorted(MODULE.rglob("*")) if p.is_file())
    home = cache_dir() / f"kubernetes-{VERSION}-{hashlib.sha256(text).hexdigest()[:12]}"
    with locked(cache_dir() / "kubernetes.lock"):
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            with tempfile.TemporaryDirectory() as work:
                go = find_go(pathlib.Path(work))
                go_build(go, "kube", home / "kube")
                go_build(go, "dns", home / "coredns")
            for name in NAMES:
                (home / name).symlink_to("kube")
            (home / "complete").touch()
    return home


if __name__ == "__main__":
    print(fetch())
