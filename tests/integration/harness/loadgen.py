# SPDX-License-Identifier: Apache-2.0
"""fanfare-loadgen as a child: settings by keyword, its end, and its report."""

import json
import os
import subprocess

from .node import SANITIZER_ENV
from .util import build_dir, scaled

PROGRAM = build_dir() / "loadgen" / "fanfare-loadgen"


class Result:
    def __init__(self, code, out, err, report):
        self.code, self.out, self.err, self.report = code, out, err, report
        self.verdict = report.get("verdict", {})


class Runner:
    def __init__(self, kafka, topic, directory):
        self.kafka, self.topic, self.dir = kafka, topic, directory

    def argv(self, urls, args=(), **settings):
        self.json = self.dir / "report.json"
        known = {
            "edges": ",".join(urls),
            "kafka.bootstrap.servers": self.kafka.bootstrap,
            "topic": self.topic,
            "clients": 20,
            "channels": 4,
            "subscriptions": 2,
            "rate": 200,
            "duration": "1500ms",
            "warm_up": "300ms",
            "straggler_timeout": "2s",
            "json": self.json,
        } | settings
        sets = [x for k, v in known.items() for x in ("--set", f"{k}={v}")]
        return [str(PROGRAM), *args, *sets]

    def start(self, *edges, args=(), **settings):
        env = os.environ | SANITIZER_ENV
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.argv(edges, args, **settings), stdout=pipe, stderr=pipe, text=True, env=env
        )

    def finish(self, popen):
        out, err = popen.communicate(timeout=scaled(90))
        assert "Sanitizer" not in err and "runtime error" not in err, err
        report = json.loads(self.json.read_text()) if self.json.exists() else {}
        return Result(popen.returncode, out, err, report)

    def run(self, *edges, args=(), **settings):
        return self.finish(self.start(*edges, args=args, **settings))
