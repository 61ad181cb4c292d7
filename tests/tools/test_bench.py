# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own arithmetic: the interval of a median, what counts as met and as worse, the page."""

import json
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))

# ruff: noqa: E402 (these need the path above)
import affinity
import capacity
import compare
import kept
import measure
import page
import peer_packages
import peers
from figure import Figure, median_interval
from histogram import Histogram
from peer_servers import mqtt_packet


def figure(values, unit="×", **more):
    return Figure("delivery", "records-1", "edge / bare", values, unit, **more)


def test_interval_of_a_median_holds_95_percent():
    assert median_interval(range(1, 16)) == (4, 12)
    assert median_interval(range(1, 10)) == (2, 8)


def test_few_values_have_their_whole_spread():
    assert median_interval([3, 1, 2]) == (1, 3)
    assert median_interval([7]) == (7, 7)


def test_median_decides_whether_reach_is_met():
    assert figure([1.0, 1.1, 9.0], reach=1.2).met
    assert not figure([1.3, 1.3, 0.1], reach=1.2).met
    assert figure([900], unit="k/s", reach=800, at_least=True).met
    assert not figure([700], unit="k/s", reach=800, at_least=True).met
    assert figure([5]).met  # nothing to reach


def old_file(tmp_path, *figures):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"figures": [f.as_json() for f in figures]}))
    return path


def test_ratio_a_quarter_worse_fails(tmp_path, capsys):
    old = old_file(tmp_path, figure([1.0]))
    assert compare.compare(old, [figure([1.24])]) == []
    assert [f.key for f in compare.compare(old, [figure([1.26])])] == ["records-1"]
    assert "WORSE" in capsys.readouterr().out


def test_rate_a_quarter_lower_fails(tmp_path):
    old = old_file(tmp_path, figure([1000], at_least=True))
    assert compare.compare(old, [figure([810], at_least=True)]) == []
    assert compare.compare(old, [figure([790], at_least=True)])


def test_one_good_run_of_a_few_is_no_worse(tmp_path):
    """Judged is the better end of the interval: of three pairs the best one."""
    old = old_file(tmp_path, figure([1.0]))
    assert compare.compare(old, [figure([1.2, 1.4, 1.5])]) == []
    assert compare.compare(old, [figure([1.26, 1.4, 1.5])])


def test_an_old_median_is_known_no_better_than_its_interval(tmp_path):
    old = old_file(tmp_path, figure([0.5, 0.9, 1.0, 1.1, 3.0]))
    assert compare.compare(old, [figure([1.5, 2.0, 2.9])]) == []
    assert compare.compare(old, [figure([3.1, 4.0, 9.0])])
    rate = old_file(tmp_path, figure([400, 1000, 1100], at_least=True))
    assert compare.compare(rate, [figure([500, 600], at_least=True)]) == []
    assert compare.compare(rate, [figure([300, 390], at_least=True)])


def test_absolute_time_is_shown_but_never_fails(tmp_path, capsys):
    old = old_file(tmp_path, figure([1.0], unit="ms"))
    assert compare.compare(old, [figure([9.0], unit="ms")]) == []
    assert "9.00 times" in capsys.readouterr().out


def test_page_says_each_figure_its_reach_and_verdict():
    told = {
        "environment": {"cores": 2},
        "runs": {"delivery": {"revision": "abc", "build": "release", "load": "0.1", "quick": True}},
        "figures": [figure([1.25, 1.3, 1.35], reach=1.2, note="µs").as_json()],
        "series": [{"bench": "delivery", "key": "peers", "title": "Peers"}],
    }
    text = page.page(told)
    assert "| edge / bare | 1.3 × | 1.25 … 1.35 (3) | ≤ 1.2 × | **not met** |" in text
    assert "- edge / bare: µs" in text
    assert "![Peers](performance/delivery-peers.svg)" in text
    assert "./dev bench delivery" in text
    assert "Seen at abc (release; load before 0.1, --quick):" in text
    told["runs"]["delivery"]["kernel's costs"] = "0.1 µs a system call"
    assert "load before 0.1, --quick; the kernel's costs: 0.1 µs a system call):" in page.page(told)


def test_page_says_which_reaches_are_missed():
    met, missed, shown = (Figure("b", k, k, [2.0], "×", r) for k, r in (("x", 3), ("y", 1), ("z", None)))
    told = page.reaches([f.as_json() for f in (met, missed, shown)])
    assert told.startswith("Of 2 reaches, 1 are met") and told.endswith(": `b`: y.")


def test_page_begins_with_what_a_reader_wants_to_know():
    told = page.in_short([Figure("fanout", "rate", "rate", [271_828.0], "/s").as_json()])
    assert len(told) == 1 and told[0].startswith("- **272,000** deliveries")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("290 3475 11336", "0.29 µs a system call, 3.48 a page's first touch, 11.3 a wake-up"),
        ("290 3475 0", "0.29 µs a system call, 3.48 a page's first touch"),
        ("?", "?"),
    ],
)
def test_kernels_costs_are_told_as_far_as_they_are_known(monkeypatch, said, told):
    monkeypatch.setattr(measure, "_first_line", lambda *_: said)
    assert measure.kernel_costs() == told


def test_other_benches_figures_stay_in_the_file(tmp_path):
    path = tmp_path / "figures.json"
    environment = {"cores": 2, "revision": "one", "build": "release", "load": "0", "kernel's costs": "1 µs"}
    other = Figure("worker", "rate", "rate", [1], "k/s")
    kept.write(path, environment, False, (["delivery", "worker"], [figure([1.0]), other], [], []))
    kept.write(path, environment | {"revision": "two"}, True, (["delivery"], [figure([2.0])], [], []))
    told = kept.read(path)
    assert {f["bench"]: f["value"] for f in told["figures"]} == {"worker": 1, "delivery": 2.0}
    assert told["runs"]["worker"]["revision"] == "one" and told["runs"]["delivery"]["revision"] == "two"
    assert told["environment"] == {"cores": 2}


@pytest.fixture
def apt(monkeypatch, tmp_path):
    """What was run of apt and dpkg, in an empty cache; apt.refuse(argv) says that a command fails."""

    class Apt:
        def __init__(self):
            self.argvs = []
            self.refuse = lambda argv: False

        def run(self, *argv, cwd=None):
            argv = [str(a) for a in argv]
            self.argvs.append(argv)
            if self.refuse(argv):
                raise peer_packages.Unavailable(f"{argv[0]}: no")
            if "download" in argv:
                (cwd / f"{argv[-1]}_1.deb").touch()
            elif "-x" in argv:
                program = pathlib.Path(argv[-1]) / peer_packages.PEERS["nats"][0]
                program.parent.mkdir(parents=True, exist_ok=True)
                program.touch()
            return "1.0" if "-f" in argv else "  Depends: libnowhere\n  Depends: adduser\n"

    apt = Apt()
    monkeypatch.setenv("FANFARE_CACHE", str(tmp_path))
    monkeypatch.setattr(peer_packages, "_run", apt.run)
    monkeypatch.setattr(peer_packages, "_installed", lambda package: False)
    monkeypatch.setattr(peer_packages, "_failed", {})
    return apt


def test_peer_comes_with_the_libraries_it_lacks_once(apt):
    package = peer_packages.Package("nats")
    assert package.is_new and package.version == "nats-server 1.0" and package.program.exists()
    fetched = [argv[-1] for argv in apt.argvs if "download" in argv]
    assert fetched == ["nats-server", "libnowhere"]
    apt.argvs.clear()
    assert not peer_packages.Package("nats").is_new and not apt.argvs


def test_stale_lists_of_packages_are_replaced_by_own_ones(apt):
    apt.refuse = lambda argv: "download" in argv and not any("State::lists" in a for a in argv)
    assert peer_packages.Package("nats").is_new
    assert sum("update" in argv for argv in apt.argvs) == 1


def test_peer_that_apt_lacks_is_asked_for_once(apt):
    apt.refuse = lambda argv: "download" in argv
    for _ in range(2):
        with pytest.raises(peer_packages.Unavailable):
            peer_packages.Package("nats")
    assert sum("update" in argv for argv in apt.argvs) == 1


class Left:
    def __init__(self):
        self.out = []

    def leave_out(self, what, why):
        self.out.append(what)


def field(*names, shape="many"):
    left = Left()
    found = peers.Field(left, shape, None)
    found.servers = {name: (name, None) for name in names}
    found.costs = {name: {} for name in names}
    return found, left


def test_peer_that_fails_is_left_out_and_others_go_on():
    found, left = field(peers.BARE, peers.OURS, "NATS")

    def measure(server, _sink):
        if server == "NATS":
            raise RuntimeError("a delivery is missing")
        return 1.0

    for i in range(2):
        found.turn(i, measure)
    assert found.costs == {peers.BARE: {0: 1.0, 1: 1.0}, peers.OURS: {0: 1.0, 1: 1.0}}
    assert left.out == ["peers/many/NATS"]


def test_peers_of_which_nothing_is_asked_come_seldom_and_are_compared_turn_by_turn():
    found, _ = field(peers.BARE, peers.OURS, "nchan", "NATS")
    for i in range(4):
        found.turn(i, lambda server, _sink: {peers.OURS: 2.0, "NATS": 8.0}.get(server, 6.0))
    assert list(found.costs["NATS"]) == [0, 3] and list(found.costs["nchan"]) == [0, 1, 2, 3]
    found.costs[peers.OURS][1] = 1000.0  # a turn without NATS
    ratios = {f.key: f.values for f in peers.figures_of("one", found.costs)}
    assert ratios["one-nats"] == [4.0, 4.0]


def test_in_a_shape_of_which_nothing_is_asked_all_take_part_in_each_turn():
    found, _ = field(peers.BARE, peers.OURS, "NATS", shape="one")
    for i in range(3):
        found.turn(i, lambda *_: 1.0)
    assert list(found.costs["NATS"]) == [0, 1, 2]


def test_edge_that_fails_fails_the_bench():
    found, _ = field(peers.BARE, peers.OURS)

    def measure(server, _sink):
        raise RuntimeError(server)

    with pytest.raises(RuntimeError):
        found.turn(0, measure)


def test_only_nchan_with_many_channels_has_a_reach():
    costs = {peers.BARE: {0: 3.0}, peers.OURS: {0: 4.0}, "nchan": {0: 6.0}, "NATS": {0: 10.0}}
    many = {f.key: f for f in peers.figures_of("many", costs)}
    assert many["many-nchan"].value == 1.5 and many["many-nchan"].met
    assert many["many-nats"].reach is None
    assert all(f.reach is None for f in peers.figures_of("one", costs))


def test_mqtt_lengths_take_seven_bits_a_byte():
    assert mqtt_packet(0x30, b"x" * 127)[:2] == bytes([0x30, 127])
    assert mqtt_packet(0x30, b"x" * 321)[:3] == bytes([0x30, 0xC1, 2])


def test_pooled_quantiles_are_those_of_all_samples():
    slow, quick = Histogram([(9_000_000, 1), (1_000_000, 9)]), Histogram([(1_000_000, 90)])
    whole = Histogram.pooled([slow, quick])
    assert whole.count == 100
    assert whole.ms(50) == 1
    assert whole.ms(99) == 1  # the mean of theirs would be 5
    assert whole.ms(99.9) == 9
    assert slow.count == 10  # pooling leaves them alone


def test_the_balancer_of_places_keeps_its_bound():
    places = [f"t-{i % 64}" for i in range(2048)]
    chosen = affinity.balance(places, 16)
    assert max(chosen.count(i) for i in range(16)) <= affinity.BOUND * 2048 / 16
    pairs = set(zip(places, chosen, strict=True))
    assert 64 <= len(pairs) < 2 * 64  # partitions read, summed over the edges
    assert affinity.balance(places, 1) == [0] * 2048


def test_a_place_that_everybody_wants_is_on_all_edges():
    chosen = affinity.balance(["t-1"] * 400, 4)
    assert max(chosen.count(i) for i in range(4)) <= affinity.BOUND * 100 and len(set(chosen)) > 2


def test_the_capacity_page_is_what_its_figures_say():
    text = capacity.PAGE.read_text()
    assert capacity.page(text) == text, "./dev bench page writes it anew"


def need(**plan):
    return capacity.solve(capacity.Plan(**plan), {name: row[0] for name, row in capacity.CONSTANTS.items()})


def test_capacity_grows_with_what_it_should():
    least = need(users=1e5, each=1, rate=1e3)
    assert least["edges"] == least["cells"] == 1 and least["readers"] == 1
    assert need(users=1e6, each=1, rate=1e3)["edges"] == 4  # no more than 250,000 users on one
    assert need(users=1e6, each=20, rate=1e3)["limit"] == "deliveries"
    assert need(users=1e6, each=1, rate=1e3, gib=2)["limit"] == "memory"
    assert need(users=1e6, each=0.1, rate=1e6, own=True, partitions=1024)["cells"] > 4
    loose, placed = (need(users=1e7, each=1, rate=1e4, placed=p) for p in (False, True))
    assert placed["readers"] < 2 < 10 < loose["readers"] and placed["redis"] < loose["redis"]
    assert need(users=1e6, each=20, tls=True)["edges"] > need(users=1e6, each=20)["edges"]


def test_the_capacity_script_runs_by_its_path_and_says_what_it_cannot_read():
    assert os.access(capacity.__file__, os.X_OK)  # so the page calls it
    plan = capacity.plan_of(["users=2e6", "placed=yes", "partitions=256"])
    assert (plan.users, plan.placed, plan.partitions) == (2e6, True, 256)
    for wrong in ("user=1", "users", "users=many"):
        with pytest.raises(SystemExit, match=wrong):
            capacity.plan_of([wrong])
    assert set(need()) == set(capacity.ANSWERS)
