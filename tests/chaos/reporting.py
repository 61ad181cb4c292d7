# SPDX-License-Identifier: Apache-2.0
"""What the rows of the chaos suite found: one line each in build/log/chaos.txt, and all of it in chaos.json
(of the cluster suite: cluster.txt, cluster.json).

Written anew after each row, so that a run cut short still shows what it did; and each line is said at once
by harness/telling.py.
"""

import json

from harness.telling import say

HEAD = "fault, clients, records, missing/duplicate/disorder/told, resumed, longest pause"


def line_of(row):
    text = f"{row['result']:6}  {row['fault']}"
    if "records" in row:
        counts = "/".join(str(row[k]) for k in ("missing", "duplicate", "disorder", "told"))
        pause = "-" if row["pause_s"] is None else f"{row['pause_s']:.2f} s"
        text += f", {row['clients']}, {row['records']}, {counts}, {row['resumed']}, {pause}"
    for name, value in row.get("figures", {}).items():
        text += f"\n          {name}: {value}"
    return text + (f"  ({row['why']})" if row.get("why") else "")


def said_by(report):
    """The failure's first line; the report has the rest."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return text.strip().partition("\n")[0][:200]


class Rows:
    """A pytest plugin: joins each row's report (user property `row`) with how its test ended."""

    def __init__(self, directory, name="chaos"):
        self.dir, self.name, self.rows = directory, name, {}

    def pytest_sessionstart(self):
        say(HEAD)

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.rpartition("::")[2]
        row = self.rows.setdefault(report.nodeid, {"test": name, "fault": name, "result": "ok"})
        row |= dict(report.user_properties).get("row", {})
        if report.failed:
            row["result"] = "FAILED"
            row.setdefault("failed_in", []).append(report.when)
            row.setdefault("why", said_by(report))
        elif report.skipped and row["result"] == "ok":
            xfail = getattr(report, "wasxfail", "")
            row["result"] = "known" if xfail else "skip"
            row["why"] = xfail or report.longrepr[-1]
        if report.when == "teardown":
            row["seconds"] = round(row.get("seconds", 0) + report.duration, 1)
            self.write()
            say(line_of(row))
        else:
            row["seconds"] = round(row.get("seconds", 0) + report.duration, 1)

    def write(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        rows = list(self.rows.values())
        failed = sum(r["result"] == "FAILED" for r in rows)
        passed = sum(r["result"] == "ok" for r in rows)
        whole = {"passed": passed, "failed": failed, "rows": rows}
        (self.dir / f"{self.name}.json").write_text(json.dumps(whole, indent=1))
        text = [HEAD, *map(line_of, rows), f"{passed} passed, {failed} failed"]
        (self.dir / f"{self.name}.txt").write_text("\n".join(text) + "\n")
