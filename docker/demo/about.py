# SPDX-License-Identifier: Apache-2.0
"""What the demo's page is told: demo.json beside it, whoever runs the demo. Standard library only."""

import json

from assets import CHANNELS

TOPIC = "quakes"
NAMESPACE = "quakes"
SPEED = 3600  # one second is one hour


def lede(speed):
    hours = speed / 3600
    then = "one hour" if hours == 1 else f"{hours:g} hours"
    return (
        "One week of 2018 as the US Geological Survey recorded it, replayed with time compressed: one "
        f"second here is {then} then. Each ring is one Kafka record, drawn when it reaches this page."
    )


def write(site, edges, setup, speed=SPEED, **control):
    """edges: name to URL, which may be relative to the page's own. control: who kills an edge when asked."""
    told = {
        "edges": [{"name": name, "url": url} for name, url in edges.items()],
        "channels": [f"{NAMESPACE}:{name}" for name in CHANNELS],
        "lede": lede(speed),
        "setup": setup,
        **control,
    }
    (site / "demo.json").write_text(json.dumps(told))
