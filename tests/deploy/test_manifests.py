# SPDX-License-Identifier: Apache-2.0
"""k8s/: every overlay builds, is valid for the last three Kubernetes versions, and keeps to the policies.

Each policy is also seen red, on an overlay that is broken for it.
"""


import kubernetes_validate
import manifests
import policies
import pytest
from manifests import OPTIONS, OVERLAYS, kind, overlay, pod

# Kinds whose schemas come with their controllers: the fields that ours may use. ... is anything.
ANY = ...
CUSTOM = {
    "ServiceMonitor": {"selector": {"matchLabels": ANY}, "endpoints": [{"port", "path", "interval"}]},
    "PrometheusRule": {
        "groups": [{"name": ANY, "rules": [{"alert", "expr", "for", "labels", "annotations"}]}]
    },
    "ScaledObject": {
        "scaleTargetRef": {"apiVersion", "kind", "name"},
        "minReplicaCount": ANY,
        "maxReplicaCount": ANY,
        "pollingInterval": ANY,
        "cooldownPeriod": ANY,
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {
                    "scaleUp": {"stabilizationWindowSeconds", "policies"},
                    "scaleDown": {"stabilizationWindowSeconds", "policies"},
                }
            }
        },
        "triggers": [{"type": ANY, "metadata": ANY}],
    },
    "Gateway": {
        "gatewayClassName": ANY,
        "listeners": [{"name", "protocol", "port", "hostname", "tls", "allowedRoutes"}],
    },
    "HTTPRoute": {
        "parentRefs": [{"name", "namespace"}],
        "hostnames": [ANY],
        "rules": [
            {
                "matches": [{"path": {"type", "value"}}],
                "timeouts": {"request", "backendRequest"},
                "backendRefs": [{"name", "port"}],
            }
        ],
    },
}

pytestmark = pytest.mark.short

def versions():
    """The last three minor versions that the validator has schemas for."""
    return list(dict.fromkeys(kubernetes_validate.utils.all_versions()))[-3:]  # each is listed twice


def shape_errors(value, shape, path):
    if shape is ANY:
        return
    if isinstance(shape, list):
        for i, item in enumerate(value):
            yield from shape_errors(item, shape[0], f"{path}[{i}]")
        return
    for key, item in value.items():
        if key not in shape:
            yield f"{path}.{key}: unknown field"
        elif isinstance(shape, dict):
            yield from shape_errors(item, shape[key], f"{path}.{key}")


def schema_errors(objects, version):
    for o in objects:
        if o["kind"] in CUSTOM:
            yield from shape_errors(o["spec"], CUSTOM[o["kind"]], manifests.title(o))
            continue
        try:
            kubernetes_validate.validate(o, version, strict=True)
        except kubernetes_validate.ValidationError as e:
            yield f"{manifests.title(o)}: {str(e)[:600]}"


def policy_errors(objects):
    return [line for policy in policies.POLICIES for line in policy(objects)]


def test_three_versions_are_known():
    assert len({version.rpartition(".")[0] for version in versions()}) == 3, versions()


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_is_valid(name, version):
    assert not list(schema_errors(overlay(name), version))


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_keeps_to_the_policies(name):
    assert not policy_errors(overlay(name))


@pytest.mark.parametrize("name", OPTIONS)
def test_component_fits_production(name, tmp_path):
    objects = manifests.with_component(name, tmp_path)
    assert objects != overlay("production")
    assert not list(schema_errors(objects, versions()[-1]))
    assert not policy_errors(objects)


@pytest.mark.parametrize("space", ["fanfare", "fanfare-eu"])
def test_an_edge_without_consul_may_only_watch_slices(tmp_path, space):
    """Its own right, in its own namespace, however it is called; and its token is in no other container."""
    objects = manifests.with_component("without-consul", tmp_path, space)
    (role,) = kind(objects, "Role", "ClusterRole")
    allowed = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    assert role["rules"] == [allowed]
    (binding,) = kind(objects, "RoleBinding", "ClusterRoleBinding")
    edge = manifests.named(objects, "Deployment", "fanfare-edge")
    account = pod(edge)["spec"]["serviceAccountName"]
    assert edge["metadata"]["namespace"] == space
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": space}]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", role["metadata"]["name"])
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == space
    with_token = [o for o in manifests.workloads(objects) if "serviceAccountToken" in str(o)]
    assert with_token == [edge]


def test_a_misspelt_field_is_seen():
    objects = overlay("production")
    pod(manifests.named(objects, "Deployment", "fanfare-edge"))["spec"]["terminationGracePeriod"] = 5
    manifests.named(objects, "ServiceMonitor", "fanfare-edge")["spec"]["endpoint"] = []
    errors = list(schema_errors(objects, versions()[-1]))
    assert len(errors) == 2, errors


class Broken:
    """The production overlay, with short names for what the policies look at."""

    def __init__(self):
        self.objects = overlay("production")
        self.edge = manifests.named(self.objects, "Deployment", "fanfare-edge")
        self.worker = manifests.named(self.objects, "Deployment", "fanfare-worker")
        self.spec = pod(self.edge)["spec"]
        (self.container,) = self.spec["containers"]
        self.hpa = manifests.named(self.objects, "HorizontalPodAutoscaler", "fanfare-edge")
        self.service = manifests.named(self.objects, "Service", "fanfare-edge")
        self.ingress = manifests.named(self.objects, "Ingress", "fanfare-edge")
        (group, *_) = manifests.named(self.objects, "PrometheusRule", "fanfare")["spec"]["groups"]
        self.rule = group["rules"][0]
        self.config = kind(self.objects, "ConfigMap")[0]

    def env(self, name, value):
        (row,) = (v for v in self.container["env"] if v["name"] == name)
        row["value"] = value

    def pauses_by_itself(self, delay):
        """The other way to wait for balancers."""
        self.container.pop("lifecycle")
        self.env("FANFARE_DRAIN_DELAY", delay)

    def without(self, kind_, name):
        self.objects.remove(manifests.named(self.objects, kind_, name))


# policy: what is done to the overlay, which it must then find. A list does each by itself.
BREAKS = {
    "non_root": [
        lambda b: b.spec["securityContext"].pop("runAsNonRoot"),
        lambda b: b.spec["securityContext"].update(runAsUser=0),
        lambda b: b.spec["securityContext"].pop("seccompProfile"),
        lambda b: b.spec.update(hostNetwork=True),
        lambda b: b.container["securityContext"].pop("allowPrivilegeEscalation"),
        lambda b: b.container["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    ],
    "read_only": [lambda b: b.container["securityContext"].pop("readOnlyRootFilesystem")],
    "least_rights": [
        lambda b: b.spec.pop("automountServiceAccountToken"),
        lambda b: b.spec.pop("enableServiceLinks"),
        lambda b: b.spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        lambda b: b.without("ServiceAccount", "fanfare-edge"),
    ],
    "limits": [
        lambda b: b.container["resources"]["limits"].pop("memory"),
        lambda b: b.container["resources"].pop("requests"),
    ],
    "probes": [
        lambda b: b.container.pop("readinessProbe"),
        lambda b: b.container.pop("startupProbe"),
        lambda b: b.container["livenessProbe"]["httpGet"].update(path="/health/ready"),
        lambda b: b.container["readinessProbe"]["httpGet"].update(port="admin"),
    ],
    "pinned_images": [
        lambda b: b.container.update(image="registry:5000/fanfare-edge"),
        lambda b: b.container.update(image="fanfare-edge:latest"),
    ],
    "disruption_budgets": [
        lambda b: b.without("PodDisruptionBudget", "fanfare-edge"),
        lambda b: manifests.named(b.objects, "PodDisruptionBudget", "fanfare-worker")["spec"].update(
            maxUnavailable=0
        ),
    ],
    "spread": [
        lambda b: b.spec["topologySpreadConstraints"].pop(),
        lambda b: b.spec["topologySpreadConstraints"][0].update(labelSelector={"matchLabels": {"app": "x"}}),
    ],
    "drain_bounds": [
        lambda b: b.spec.update(terminationGracePeriodSeconds=41),
        lambda b: b.env("FANFARE_DRAIN_TIME", "2m"),
        lambda b: b.container.pop("lifecycle"),
        lambda b: b.env("FANFARE_DRAIN_DELAY", "5s"),
        lambda b: b.pauses_by_itself("20s"),
        lambda b: pod(b.worker)["spec"].update(terminationGracePeriodSeconds=12),
    ],
    "rolling": [
        lambda b: b.edge["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        lambda b: b.worker["spec"].pop("minReadySeconds"),
    ],
    "known_variables": [
        lambda b: b.container["env"].append({"name": "FANFARE_DRAINTIME", "value": "1"}),
        lambda b: b.container["env"].append({"name": "FANFARE_RECORD_MAX", "value": "1"}),
        lambda b: b.config["data"].update(FANFARE_SHARDS_FILE="1"),
    ],
    "memory": [
        lambda b: b.container["env"].append({"name": "FANFARE_MEMORY_MAX", "value": "1GiB"}),
        lambda b: b.container["env"].append({"name": "FANFARE_PLOG_BYTES", "value": "2GiB"}),
        lambda b: b.container["resources"]["limits"].update(memory="800Mi"),
        lambda b: b.hpa["spec"]["metrics"][0]["pods"]["target"].update(averageValue="150000"),
    ],
    "autoscaled": [
        lambda b: b.edge["spec"].update(replicas=2),
        lambda b: b.worker["spec"].update(replicas=1),
        lambda b: b.hpa["spec"]["metrics"][0]["pods"]["metric"].update(name="fanfare_edge_clients"),
        lambda b: b.hpa["spec"]["metrics"][0]["pods"]["metric"].update(name="fanfare_edge_accepted_total"),
    ],
    "selectors": [
        lambda b: b.service["spec"]["selector"].update(app="x"),
        lambda b: b.service["spec"]["ports"][0].update(targetPort="http"),
    ],
    "network": [
        lambda b: b.without("NetworkPolicy", "default-deny"),
        lambda b: b.without("NetworkPolicy", "fanfare-worker"),
    ],
    "namespaces_restricted": [
        lambda b: manifests.named(b.objects, "Namespace", "fanfare")["metadata"].pop("labels"),
        lambda b: b.service["metadata"].update(namespace="default"),
    ],
    "affinity_off": [lambda b: b.service["spec"].update(sessionAffinity="ClientIP")],
    "timeouts": [
        lambda b: b.ingress["metadata"].pop("annotations"),
        lambda b: b.ingress["metadata"]["annotations"].update({"nginx.org/proxy-read-timeout": "30s"}),
    ],
    "public": [
        lambda b: b.ingress["spec"]["rules"][0]["http"]["paths"].pop(),
        lambda b: b.ingress["spec"]["rules"][0]["http"]["paths"][0].update(path="/"),
        lambda b: b.ingress["spec"]["rules"][0]["http"]["paths"][1].update(pathType="Prefix"),
        lambda b: b.ingress["spec"]["rules"][0].update(host="eu.fanfare.example.com"),
        lambda b: b.config["data"].pop("FANFARE_ADVERTISE"),
    ],
    "alert_metrics": [
        lambda b: b.rule.update(expr="absent(fanfare_edge_conections)"),
        lambda b: b.rule.update(expr='rate(fanfare_edge_recoveries_total{result="lost"}[5m]) > 0'),
        lambda b: b.rule["labels"].pop("severity"),
        lambda b: b.rule["annotations"].pop("description"),
    ],
}


def test_every_policy_is_broken_once():
    assert list(BREAKS) == [p.__name__ for p in policies.POLICIES]


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda p: p.__name__)
def test_policy_is_seen_red(policy):
    for i, do in enumerate(BREAKS[policy.__name__]):
        broken = Broken()
        assert not list(policy(broken.objects))
        do(broken)
        assert list(policy(broken.objects)), f"break {i} of {policy.__name__} is not noticed"


def test_an_edge_may_pause_by_itself():
    """Without preStop, as its Deployment says: whoever needs that must not be refused."""
    broken = Broken()
    broken.pauses_by_itself("5s")
    assert not list(policies.drain_bounds(broken.objects))


def test_a_wrong_route_is_seen(tmp_path):
    objects = manifests.with_component("gateway", tmp_path)
    (rule,) = manifests.named(objects, "HTTPRoute", "fanfare-edge")["spec"]["rules"]
    rule.pop("timeouts")
    rule["matches"].pop()
    assert list(policies.timeouts(objects)) and list(policies.public(objects))


# ---- the configuration, by the programs themselves ----
