#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's files for its containers: `files.py DIR` writes DIR/page and DIR/events.tsv.

The page there has one address for all edges, the one it came from: a load balancer stands before them.
Standard library only.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import about  # noqa: E402
import assets  # noqa: E402

PAGE = HERE.parents[1] / "edge-node" / "page"
SETUP = "In containers: replay → Apache Kafka → worker → Redis → edges → HAProxy → this page."


def main(argv):
    directory = pathlib.Path(argv[0])
    directory.mkdir(parents=True, exist_ok=True)
    try:
        homes = assets.fetch_all(print)
    except assets.AssetError as error:
        print(f"files.py: {error}", file=sys.stderr)
        return 1
    assets.make_site(PAGE, homes, directory / "page")
    about.write(directory / "page", {"an edge": "connection/websocket"}, SETUP)
    print(f"{assets.make_events(homes, directory / 'events.tsv')} earthquakes")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: files.py DIR")
    sys.exit(main(sys.argv[1:]))
