"""python tests/damage_data.py: a door to tests/campaigns/damage_data.py."""
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    runpy.run_module("tests.campaigns.damage_data", run_name="__main__")
