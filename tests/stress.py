"""python tests/stress.py: a door to tests/campaigns/stress.py."""
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    runpy.run_module("tests.campaigns.stress", run_name="__main__")
