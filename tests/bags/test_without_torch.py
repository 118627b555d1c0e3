import subprocess
import sys
from pathlib import Path

import sksurv_mmf

# The package itself imports torch for its estimators, so that a stand-in takes its place here.
SCRIPT = """
import sys, types
package = types.ModuleType("sksurv_mmf")
package.__path__ = [sys.argv[1]]
sys.modules["sksurv_mmf"] = package

import numpy as np
from sksurv_mmf.bags import Bag, PackedBags, open_bags, pack_bags, read_bags

np.save(sys.argv[2] + "/P1.npy", np.ones((3, 2), dtype=np.float32))
bags = read_bags(sys.argv[2])
pack_bags(bags, sys.argv[2] + "/store")
print(open_bags(sys.argv[2] + "/store")["P1"].features.sum(), "torch" in sys.modules)
"""


def test_bags_are_read_and_packed_without_torch(tmp_path):
    package = str(Path(sksurv_mmf.__file__).parent)
    run = subprocess.run([sys.executable, "-c", SCRIPT, package, str(tmp_path)], capture_output=True, text=True)
    assert run.stdout == "6.0 False\n", run.stderr
