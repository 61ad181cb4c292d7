# SPDX-License-Identifier: Apache-2.0
"""`./dev chaos`, short and without the cluster of brokers; and one mutant, so that what breaks the code on
purpose is itself seen to work."""

import mutants
import pytest
import soak as soak_module
import soak_plan
from soak_region import SoakRegion

SECONDS = 25
SEED = 12


@pytest.mark.short
def test_soak_of_half_a_minute(storm, ways, tmp_path):
    region = SoakRegion(storm, ways, tmp_path)
    faults = soak_plan.plan(SEED, SECONDS, pace=1.5, leave_out=("kafka.",))
    said = []
    try:
        passed = soak_module.soak(storm, region, faults, said.append, f"soak: {len(faults)} faults in 25 s")
    finally:
        region.close()
    print("\n".join(said))
    assert passed and len(faults) >= 8


@pytest.mark.short
@pytest.mark.timeout(1000)  # the first time it builds three programs
def test_a_mutant_is_caught(kafka, monkeypatch):
    monkeypatch.setenv("FANFARE_TEST_KAFKA", kafka.bootstrap)
    (mutant,) = [m for m in mutants.all_mutants() if m.name == "plog-covers-all"]
    said = []
    assert mutants.try_all([mutant], said.append) == 1, said
