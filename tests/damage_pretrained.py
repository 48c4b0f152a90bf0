"""python tests/damage_pretrained.py: a door to tests/campaigns/damage_pretrained.py."""
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    runpy.run_module("tests.campaigns.damage_pretrained", run_name="__main__")
