# SPDX-License-Identifier: Apache-2.0
"""The file of `--json`: {"environment": {…}, "runs": {bench: {…}}, "figures": […], "series": […]}.

A run of some benches leaves those of others in the file, so a page can be brought up to date bench by
bench. What differs from run to run (revision, load, the kernel's speed) is kept for each bench.
"""

import json
import pathlib

OF_A_RUN = "revision", "build", "load", "kernel's costs"


def read(path):
    path = pathlib.Path(path)
    if not path.exists():
        return {"environment": {}, "runs": {}, "figures": [], "series": []}
    return json.loads(path.read_text())


def write(path, environment, quick, measured):
    """measured: (names of all that were run, figures, series, what could not be measured)"""
    names, figures, series, failed = measured
    told = read(path)
    run = {k: environment[k] for k in OF_A_RUN} | {"quick": quick}
    told["environment"] = {k: v for k, v in environment.items() if k not in OF_A_RUN}
    told["failed"] = failed
    for name in names:
        told["runs"][name] = run
    for kind, found in (("figures", figures), ("series", series)):
        told[kind] = [x for x in told[kind] if x["bench"] not in names] + [x.as_json() for x in found]
    pathlib.Path(path).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
