"""The campaigns as programs: as modules, and by the doors tests/NAME.py."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CAMPAIGNS = "mutants", "stress", "damage", "damage_data", "damage_pretrained"


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_every_campaign_has_its_door(name):
    assert (ROOT / "tests" / "campaigns" / f"{name}.py").is_file() and (ROOT / "tests" / f"{name}.py").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("words", [["tests/damage.py"], ["-m", "tests.campaigns.damage"], ["tests/damage_data.py"],
                                   ["tests/damage_pretrained.py"]],
                         ids=" ".join)
def test_a_campaign_prints_a_table_and_exits_0_if_nothing_escapes(words):
    done = subprocess.run([sys.executable, *words, "--count", "4"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 2
