# SPDX-License-Identifier: Apache-2.0
"""The soak's schedule: its seed alone decides, nothing is taken twice at once, and it is dense enough."""

import pathlib
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "chaos"))

import soak_plan  # noqa: E402

MODULES = "import sys; sys.path[:0] = ['tests/chaos', 'tests/integration']; import soak_plan, soak_faults"
MINUTES = 60


@pytest.mark.parametrize("seed", range(5))
def test_half_an_hour_has_two_hundred_faults(seed):
    faults = soak_plan.plan(seed, 30 * MINUTES)
    assert len(faults) >= 200
    assert faults == soak_plan.plan(seed, 30 * MINUTES)
    assert faults != soak_plan.plan(seed + 1, 30 * MINUTES)
    kinds = {f.kind for f in faults}
    assert len(kinds) >= len(soak_plan.KINDS) - 1
    overlapping = sum(a.at + a.lasts > b.at for a, b in zip(faults, faults[1:], strict=False))
    assert overlapping >= 30


def test_a_longer_one_makes_the_same_faults_and_more():
    short, long = (soak_plan.plan(7, m * MINUTES) for m in (5, 30))
    assert [f for f in long if f.at + f.lasts <= 5 * MINUTES] == short and len(long) > len(short)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_taken_twice_at_once(seed):
    kinds = {k.name: k for k in soak_plan.KINDS}
    until, now = {}, []
    for f in soak_plan.plan(seed, 30 * MINUTES):
        now = [end for end in now if end > f.at]
        assert len(now) < soak_plan.AT_ONCE
        now.append(f.at + f.lasts)
        for thing in soak_plan.claims(kinds[f.kind], f.target):
            assert until.get(thing, 0) <= f.at
            until[thing] = f.at + f.lasts


def test_ends_follow_their_beginnings():
    faults = soak_plan.plan(3, 30 * MINUTES)
    begun = set()
    for _, when, fault in soak_plan.steps(faults):
        if when == "begin":
            begun.add(fault.number)
        else:
            assert fault.number in begun
    assert len(begun) == len(faults)


def test_kinds_can_be_left_out():
    faults = soak_plan.plan(1, 30 * MINUTES, leave_out=("kafka.", "redis.full"))
    assert faults and not any(f.kind.startswith(("kafka.", "redis.full")) for f in faults)


def test_the_command_prints_the_same_plan_each_time():
    argv = [sys.executable, "tests/chaos/soak.py", "--seed", "7", "--minutes", "3", "--plan"]
    ask = {"cwd": REPO, "capture_output": True, "text": True, "check": True}
    said = [subprocess.run(argv, **ask).stdout for _ in range(2)]
    assert said[0] == said[1] and said[0].startswith("seed 7: ")
    assert len(said[0].splitlines()) == 1 + len(soak_plan.plan(7, 3 * MINUTES))


def test_every_kind_can_be_made():
    names = "[(k.name, bool(k.seconds[1])) for k in soak_plan.KINDS]"
    check = f"{MODULES}; print([n for n, ends in {names} for w in ['begin'] + ['end'] * ends"
    check += " if not hasattr(soak_faults, n.replace('.', '_').replace('-', '_') + '_' + w)])"
    done = subprocess.run([sys.executable, "-c", check], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
