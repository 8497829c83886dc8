"""How much faster the models fit and predict than the package lifetimes 0.11.3 on the same customers, in the same run.

That package is abandoned and asks for an old pandas, so it lives in an environment of its own: KPI_LIFETIMES_PYTHON names its interpreter. Without it
nothing is measured, and the run says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIDES = {
    "kit": """
from kpi.lifetime_value import expected_purchases, fit_purchases
import pandas as pd
def fit(x, recency, age):
    return fit_purchases(pd.DataFrame({"repeats": x, "recency": recency, "age": age, "count": 1}), "bg")
def predict(model, x, recency, age):
    return expected_purchases(pd.DataFrame({"repeats": x, "recency": recency, "age": age}), model.parameters, "bg", 90.0)
def told(model):
    return model.parameters
""",
    "lifetimes": """
import warnings
warnings.simplefilter("ignore")
from lifetimes import BetaGeoFitter
def fit(x, recency, age):
    return BetaGeoFitter().fit(x, recency, age)
def predict(model, x, recency, age):
    return model.conditional_expected_number_of_purchases_up_to_time(90.0, x, recency, age)
def told(model):
    return model.params_[["r", "alpha", "a", "b"]].to_numpy()
""",
}
RUN = """
import sys, time
import numpy as np
def memory(what):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(what))
x, recency, age = np.load(sys.argv[1])
start, fitted, predicted = memory("VmRSS"), [], []
for _ in range(int(sys.argv[2])):
    began = time.process_time()
    model = fit(x, recency, age)
    fitted.append(time.process_time() - began)
    began = time.process_time()
    total = float(np.sum(predict(model, x, recency, age)))
    predicted.append(time.process_time() - began)
print(min(fitted), min(predicted), memory("VmHWM") - start, total, *told(model))
"""


def customers(number: int) -> np.ndarray:
    """Customers of a BG/NBD observed in whole days."""
    from kpi.lifetime_value import simulate_purchases

    age = np.random.default_rng(1).integers(30, 720, number).astype("float64")
    table = simulate_purchases(np.array([0.6, 30.0, 0.8, 2.4]), "bg", age, 0.0, 2)
    recency = np.where(table["repeats"] > 0, np.maximum(table["recency"].round(), 1), 0)
    return np.array([table["repeats"], np.minimum(recency, age), age])


def main() -> int:
    """Measure both sides; the least CPU seconds of some rounds, since other work on the machine only ever adds to them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    other = os.environ.get("KPI_LIFETIMES_PYTHON", "")
    if not Path(other).is_file():
        print("KPI_LIFETIMES_PYTHON names no interpreter with lifetimes 0.11.3: not compared")
        return 0
    print(f"{'':24}{'fit s':>9}{'predict s':>11}{'grown MB':>10}{'expected':>12}   r alpha a b")
    late, alone = False, os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # CPU seconds of one thread, on both sides
    with tempfile.TemporaryDirectory() as folder:
        for number in options.customers:
            place = Path(folder) / "customers.npy"
            np.save(place, customers(number))
            seen = {}
            for side, python in (("kit", sys.executable), ("lifetimes", other)):
                command = [python, "-c", SIDES[side] + RUN, str(place), str(options.rounds)]
                answer = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
                fit, predict, grown, total, *parameters = seen[side] = list(map(float, answer.stdout.split()))
                shown = " ".join(f"{value:.4f}" for value in parameters)
                print(f"{side:12}{number:>12,}{fit:9.3f}{predict:11.3f}{grown:10.0f}{total:12.0f}   {shown}", flush=True)
            ratios = [seen["lifetimes"][part] / seen["kit"][part] for part in (0, 1)]
            print(f"{'ratio':24}{ratios[0]:9.1f}{ratios[1]:11.1f}")
            late |= ratios[0] < 15 or ratios[1] < 2 or (number == 1_000_000 and seen["kit"][2] > 150)
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
