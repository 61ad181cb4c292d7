#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""See Fanfare work: a week of earthquakes through Kafka, a worker, Redis and two edges, to a page.

Starts everything on loopback, prints (and opens) the page's address, and stops everything in order at
Ctrl-C. With --check it needs no browser: 1,000 clients, one edge killed in the middle, one line as verdict.
"""

import argparse
import contextlib
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(HERE), str(REPO / "tests" / "integration")]  # the tests' harness runs its processes
sys.dont_write_bytecode = True

import about  # noqa: E402
import assets  # noqa: E402
import check  # noqa: E402
import stack as stack_module  # noqa: E402
from about import SPEED  # noqa: E402
from control import Control  # noqa: E402
from stack import Stack  # noqa: E402

PAGE = REPO / "edge-node" / "page"


def say(text):
    print(f"demo: {text}", file=sys.stderr, flush=True)


def tell_page(site, stack, control, speed):
    kafka = "Apache Kafka" if stack.real_kafka else "librdkafka’s mock cluster (in place of Kafka)"
    about.write(
        site,
        {name: f"ws://127.0.0.1:{port}/connection/websocket" for name, port in stack.ports.items()},
        f"On this machine: replay → {kafka} → one worker → Redis → two edges → this page.",
        speed,
        control=control.url,
        token=control.token,
    )


@contextlib.contextmanager
def demo(directory, real_kafka=False, port=0, speed=SPEED, tell=say):
    """Everything running, with a page to open; the stack, its control and the page's address."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    site = directory / "page"
    homes = assets.fetch_all(tell)
    assets.make_site(PAGE, homes, site)
    events = directory / "events.tsv"
    assets.make_events(homes, events)
    stack = Stack(directory, site, tell, real_kafka, port)
    control = Control(stack, tell)
    try:
        tell_page(site, stack, control, speed)
        stack.start()
        stack.start_replay(events, speed)
        yield stack, control, f"http://127.0.0.1:{stack.ports['edge-a']}/"
    finally:
        control.stop()
        stack.stop()


def parse(argv):
    parser = argparse.ArgumentParser(prog="dev demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--kafka", action="store_true", help="a real Apache Kafka (needs Java)")
    parser.add_argument("--check", action="store_true", help="no page: prove it, in about 20 s")
    parser.add_argument("--port", type=int, default=8000, help="of the page (default: 8000)")
    parser.add_argument("--no-open", action="store_true", help="don't start a browser")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    args = parser.parse_args(argv)
    if not 0 <= args.port < 65536:
        parser.error(f"--port {args.port}: expected 0 (any) to 65535")
    return args


def choose_port(args, asked):
    if args.check or args.port == 0:
        return 0
    if stack_module.port_free(args.port):
        return args.port
    if asked:
        raise OSError(f"port {args.port} is in use; choose another with --port")
    say(f"port {args.port} is in use, taking a free one")
    return 0


def show(args, stack, url):
    say(f"open {url}   (Ctrl-C stops it all)")
    if not args.no_open:
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(url)
    while True:
        time.sleep(0.5)
        dead = stack.casualties()
        if dead:
            say("\n".join(dead))
            return 1


def on_signal(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough; the stop is bounded
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(argv):
    args = parse(argv)
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="fanfare-demo-"))
    keep = args.keep
    try:
        port = choose_port(args, any(a.startswith("--port") for a in argv))
        speed = check.SPEED if args.check else SPEED
        with demo(directory, args.kafka, port, speed) as (stack, control, url):
            code = check.run(stack, say) if args.check else show(args, stack, url)
            keep = keep or code != 0
            return code
    except KeyboardInterrupt:
        say("stopped")
        return 130 if args.check else 0
    except (OSError, RuntimeError, AssertionError, assets.AssetError) as error:
        say(f"it can't go on: {error}")
        keep = True
        return 1
    except subprocess.CalledProcessError as error:
        say(f"it can't go on: {error.cmd[0]} failed ({error.returncode})")
        return 1
    finally:
        if keep:
            say(f"logs are in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
