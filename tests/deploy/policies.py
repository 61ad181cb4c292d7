# SPDX-License-Identifier: Apache-2.0
"""What every rendered overlay must be, beside what Kubernetes' schemas ask for.

Each policy takes the objects and yields a sentence for each thing that is wrong: whose, and what to do.
test_manifests.py runs all of them on all overlays, and each on an overlay that it breaks.
"""

import re

from manifests import (
    containers,
    default_of,
    environment,
    kind,
    metrics,
    ours,
    pod,
    quantity,
    same_namespace,
    seconds,
    selects,
    size,
    title,
    variables,
    workloads,
)

EDGE_STOPS = 2  # seconds: an edge ends at most so long after drain_time
WORKER_STOPS = 10  # seconds that a worker waits at most for Kafka's library
SPARE = 5  # seconds between the last bound and the kill
CLIENT = 2048 + 250 + 4096  # bytes for a client with a channel, the kernel's for its socket included
FULL = 0.9  # share of its limit above which an edge refuses clients
PUBLIC = {("/connection", True), ("/connect", False)}  # path, and whether what is below it, too
# Metrics of others that alerts may use.
FOREIGN = {"kube_pod_container_resource_limits"}
PROMQL = set("sum max min by rate increase absent and or offset".split())  # noqa: SIM905


def non_root(objects):
    for o in workloads(objects):
        spec = pod(o)["spec"]
        context = spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{title(o)}: runAsNonRoot and a runAsUser other than 0"
        if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{title(o)}: a seccompProfile"
        if any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{title(o)}: none of the host's namespaces"
        for c in containers(o):
            own = c.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{title(o)} {c['name']}: allowPrivilegeEscalation: false, not privileged"
            if own.get("capabilities", {}) != {"drop": ["ALL"]}:
                yield f"{title(o)} {c['name']}: no capabilities"


def read_only(objects):
    for o, c, _ in ours(objects):
        if not c.get("securityContext", {}).get("readOnlyRootFilesystem"):
            yield f"{title(o)} {c['name']}: readOnlyRootFilesystem"


def least_rights(objects):
    for o in workloads(objects):
        spec = pod(o)["spec"]
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{title(o)}: automountServiceAccountToken: false; who needs a token mounts one"
        if spec.get("enableServiceLinks") is not False:
            yield f"{title(o)}: enableServiceLinks: false, else Services' names become variables of ours"
        if any("hostPath" in v for v in spec.get("volumes", [])):
            yield f"{title(o)}: no folder of the node"
    for o, _, _ in ours(objects):
        name = pod(o)["spec"].get("serviceAccountName")
        accounts = [a for a in kind(objects, "ServiceAccount") if same_namespace(a, o)]
        if name not in [a["metadata"]["name"] for a in accounts]:
            yield f"{title(o)}: a ServiceAccount of its own"


def limits(objects):
    for o in workloads(objects):
        for c in containers(o):
            for what in ("requests", "limits"):
                if {"cpu", "memory"} - c.get("resources", {}).get(what, {}).keys():
                    yield f"{title(o)} {c['name']}: {what} of cpu and memory"


def probes(objects):
    for o in kind(objects, "Deployment", "StatefulSet"):
        for c in containers(o):
            needed = {"readinessProbe", "livenessProbe"}
            needed |= {"startupProbe"} if o["metadata"]["name"].startswith("fanfare") else set()
            for what in sorted(needed - c.keys()):
                yield f"{title(o)} {c['name']}: a {what}"
    for o, c, name in ours(objects):
        if c.get("livenessProbe", {}).get("httpGet", {}).get("path") == "/health/ready":
            yield f"{title(o)}: a restart helps nobody whose Redis is away: liveness asks /health/live"
        if name == "fanfare-edge" and c.get("readinessProbe", {}).get("httpGet", {}).get("port") != "client":
            yield f"{title(o)}: readiness is asked where clients connect"


def pinned_images(objects):
    for o in workloads(objects):
        for c in containers(o):
            tag = re.search(r"(?::([\w.-]+))?(@sha256:[0-9a-f]{64})?$", c["image"])
            if not tag[2] and tag[1] in (None, "latest"):
                yield f"{title(o)} {c['name']}: {c['image']} has no tag of its own"


def disruption_budgets(objects):
    for o in {id(o): o for o, _, _ in ours(objects)}.values():
        labels = pod(o)["metadata"]["labels"]
        budgets = [
            b
            for b in kind(objects, "PodDisruptionBudget")
            if same_namespace(b, o) and selects(b["spec"]["selector"], labels)
        ]
        if len(budgets) != 1:
            yield f"{title(o)}: {len(budgets)} PodDisruptionBudgets select its pods, not one"
        elif budgets[0]["spec"].get("maxUnavailable") != 1:
            yield f"{title(o)}: one pod at a time (maxUnavailable: 1), however many there are"


def spread(objects):
    for o in {id(o): o for o, _, _ in ours(objects)}.values():
        rows = pod(o)["spec"].get("topologySpreadConstraints", [])
        keys = {r["topologyKey"] for r in rows}
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{title(o)}: spread over zones and nodes"
        if any(not selects(r["labelSelector"], pod(o)["metadata"]["labels"]) for r in rows):
            yield f"{title(o)}: a topologySpreadConstraint that selects other pods"


def drain_bounds(objects):
    """preStop or drain_delay, drain_time and the kill follow from one another."""
    for o, c, name in ours(objects):
        grace = pod(o)["spec"].get("terminationGracePeriodSeconds", 30)
        if name == "fanfare-worker":
            least = WORKER_STOPS + SPARE
        else:
            env = environment(objects, o, c)
            before = c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            delay, drain = (
                seconds(env.get(f"FANFARE_{knob.upper()}") or default_of(name, knob))
                for knob in ("drain_delay", "drain_time")
            )
            if before and delay:
                yield f"{title(o)}: FANFARE_DRAIN_DELAY begins where preStop ends: one of them is enough"
            if before + delay < 3:
                yield f"{title(o)}: balancers need some seconds (preStop) to learn that a pod goes"
            least = before + delay + drain + EDGE_STOPS + SPARE
        if grace < least:
            yield f"{title(o)}: terminationGracePeriodSeconds {grace} is under {least:g}: clients are cut"


def rolling(objects):
    for o in {id(o): o for o, _, _ in ours(objects)}.values():
        how = o["spec"].get("strategy", {}).get("rollingUpdate", {})
        if how.get("maxUnavailable") != 0 or not how.get("maxSurge"):
            yield f"{title(o)}: a new pod first (maxUnavailable: 0), then one goes"
        if not o["spec"].get("minReadySeconds"):
            yield f"{title(o)}: minReadySeconds: one that fails at once must not go on to the next"


def known_variables(objects):
    for o, c, name in ours(objects):
        everybodys = set().union(*(variables(n) for n in ("fanfare-edge", "fanfare-worker")))
        own = {v["name"] for v in c.get("env", [])}
        helpers = {v for v in own if not v.startswith("FANFARE_")}  # that others' values are made of
        for var in sorted(own - helpers - variables(name)):
            yield f"{title(o)}: {name} has no knob for {var}"
        for var in sorted(environment(objects, o, c).keys() - own - everybodys):
            yield f"{title(o)}: no program has a knob for {var}"


def memory(objects):
    """The autoscaler's target leaves room for another edge's clients; the bound is the container's own."""
    for o, c, name in ours(objects):
        if name != "fanfare-edge":
            continue
        env, limit = environment(objects, o, c), quantity(c["resources"]["limits"]["memory"])
        plog = size(env.get("FANFARE_PLOG_BYTES") or default_of(name, "plog_bytes"))
        clients = 2 * connections_target(objects, o)
        if "FANFARE_MEMORY_MAX" in env:
            yield f"{title(o)}: without FANFARE_MEMORY_MAX an edge sees its limit itself, and sockets"
        if plog + clients * CLIENT > limit * FULL:
            yield f"{title(o)}: no memory for {clients:g} clients, twice what the autoscaler aims at"


def connections_target(objects, workload):
    for o in kind(objects, "HorizontalPodAutoscaler"):
        for m in o["spec"]["metrics"]:
            if m["type"] == "Pods" and same_namespace(o, workload):
                return quantity(m["pods"]["target"]["averageValue"])
    return 0


def autoscaled(objects):
    scalers = kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    for o in kind(objects, "Deployment"):
        mine = [
            s
            for s in scalers
            if s["spec"]["scaleTargetRef"]["name"] == o["metadata"]["name"] and same_namespace(s, o)
        ]
        if mine and "replicas" in o["spec"]:
            yield f"{title(o)}: replicas are the autoscaler's; a number here is set again with each apply"
        if not mine and o["spec"].get("replicas", 1) < 2 and o["metadata"]["name"].startswith("fanfare"):
            yield f"{title(o)}: two at least"
    for s in kind(objects, "HorizontalPodAutoscaler"):
        for m in s["spec"]["metrics"]:
            name = m["pods"]["metric"]["name"] if m["type"] == "Pods" else None
            if name and metrics().get(name, (0, ""))[1] != "gauge":
                yield f"{title(s)}: {name} is no gauge that an edge has"


def selectors(objects):
    """Whatever selects pods selects some, and the ports it names are there."""
    pods = [(o, pod(o)["metadata"].get("labels", {})) for o in workloads(objects)]
    for o in kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        wanted = o["spec"].get("selector") or o["spec"].get("podSelector") or {}
        found = [p for p, labels in pods if same_namespace(o, p) and selects(wanted, labels)]
        if not found:
            yield f"{title(o)}: selects no pod"
        named = {p["name"] for f in found for c in containers(f) for p in c.get("ports", [])}
        rows = o["spec"].get("ports", []) if o["kind"] == "Service" else []
        ports = [p.get("targetPort") for p in rows]
        ports += [p["port"] for r in o["spec"].get("ingress", []) for p in r.get("ports", [])]
        for port in ports:
            if port not in named:
                yield f"{title(o)}: no container has the port {port}"


def network(objects):
    policies = kind(objects, "NetworkPolicy")
    for o in workloads(objects):
        labels, mine = pod(o)["metadata"]["labels"], []
        for p in policies:
            if same_namespace(p, o) and selects(p["spec"]["podSelector"], labels):
                mine.append(p["spec"])
        if not any(p["podSelector"] == {} and p["policyTypes"] == ["Ingress", "Egress"] for p in mine):
            yield f"{title(o)}: nothing denies by default"
        if not any(p["podSelector"] for p in mine):
            yield f"{title(o)}: no NetworkPolicy of its own"


def namespaces_restricted(objects):
    for o in kind(objects, "Namespace"):
        if o["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{title(o)}: pod-security.kubernetes.io/enforce: restricted"
    there = {o["metadata"]["name"] for o in kind(objects, "Namespace")}
    for o in objects:
        if o["kind"] != "Namespace" and o["metadata"].get("namespace") not in there:
            yield f"{title(o)}: in no namespace of this overlay"


def affinity_off(objects):
    for o in kind(objects, "Service"):
        if o["spec"].get("sessionAffinity", "None") != "None":
            yield f"{title(o)}: sessionAffinity: any edge serves any client"


def timeouts(objects):
    """Balancers wait longer than clients are silent."""
    for o in kind(objects, "Ingress"):
        notes = o["metadata"].get("annotations", {})
        waits = {k: v for k, v in notes.items() if "timeout" in k}
        if not waits:
            yield f"{title(o)}: no time-out is set: a WebSocket ends after a minute"
        for key, value in waits.items():
            if seconds(value) <= 2 * seconds(default_of("fanfare-edge", "ping_interval")):
                yield f"{title(o)}: {key} is too short for the edge's pings"
    for o in kind(objects, "HTTPRoute"):
        for rule in o["spec"]["rules"]:
            if rule.get("timeouts", {}).get("request") != "0s":
                yield f"{title(o)}: timeouts.request: 0s, a WebSocket is one request"


def public(objects):
    """What clients ask is led in, nothing else of that port is, and /connect names where they came in."""
    told = {}
    for o, c, name in ours(objects):
        if name == "fanfare-edge":
            told[o["metadata"].get("namespace")] = environment(objects, o, c).get("FANFARE_ADVERTISE")
    for o in kind(objects, "Ingress", "HTTPRoute"):
        for host, paths in _hosts(o):
            if paths != PUBLIC:
                yield f"{title(o)}: {host} leads in {sorted(paths)}, not {sorted(PUBLIC)}"
            if told.get(o["metadata"].get("namespace")) != f"wss://{host}":
                yield f"{title(o)}: FANFARE_ADVERTISE is not wss://{host}, /connect names what nobody reaches"


def _hosts(o):
    """(host, {(path, whether as a prefix)}) of an Ingress or an HTTPRoute."""
    if o["kind"] == "Ingress":
        for rule in o["spec"]["rules"]:
            yield rule.get("host"), {(p["path"], p["pathType"] == "Prefix") for p in rule["http"]["paths"]}
        return
    paths = [m["path"] for rule in o["spec"]["rules"] for m in rule["matches"]]
    for host in o["spec"]["hostnames"]:
        yield host, {(p["value"], p["type"] == "PathPrefix") for p in paths}


def alert_metrics(objects):
    known = metrics()
    for o in kind(objects, "PrometheusRule"):
        for rule in (r for g in o["spec"]["groups"] for r in g["rules"]):
            text = re.sub(r"\[[^]]*\]|\boffset \w+|\bby \([^)]*\)", "", rule["expr"])
            for name, labels in re.findall(r"([a-z_]\w*)(\{[^}]*\})?", re.sub(r'"[^"]*"', _keep, text)):
                if name in PROMQL | FOREIGN:
                    continue
                if name not in known:
                    yield f"alert {rule['alert']}: no program has the metric {name}"
                elif labels and known[name][1] != "process" and _plain(labels) not in known[name][0]:
                    yield f"alert {rule['alert']}: {name} has no {_plain(labels)}"
            if rule["labels"].get("severity") not in ("critical", "warning", "info"):
                yield f"alert {rule['alert']}: a severity"
            if not rule["annotations"].get("summary") or not rule["annotations"].get("description"):
                yield f"alert {rule['alert']}: a summary and a description"


def _keep(match):
    """Strings in label matchers must not look like names."""
    return '"' + match[0][1:-1].upper() + '"'


def _plain(labels):
    return re.sub(r'"([^"]*)"', lambda m: f'"{m[1].lower()}"', labels)


POLICIES = [
    non_root,
    read_only,
    least_rights,
    limits,
    probes,
    pinned_images,
    disruption_budgets,
    spread,
    drain_bounds,
    rolling,
    known_variables,
    memory,
    autoscaled,
    selectors,
    network,
    namespaces_restricted,
    affinity_off,
    timeouts,
    public,
    alert_metrics,
]
