"""How much faster the models fit and predict than the package lifetimes 0.11.3 on the same customers, in the same run.

That package is abandoned and asks for an old pandas, so it lives in an environment of its own: KPI_LIFETIMES_PYTHON names its interpreter. Without it
nothing is measured, and the run says so. KPI_PYMC_PYTHON may name one with pymc-marketing; its search for the likeliest parameters is then timed too.
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
    "pymc-marketing": """
import warnings
warnings.simplefilter("ignore")
import pandas as pd
from pymc_marketing.clv import BetaGeoModel
def customers(x, recency, age):
    return pd.DataFrame({"customer_id": range(len(x)), "frequency": x, "recency": recency, "T": age})
def fit(x, recency, age):
    model = BetaGeoModel(data=customers(x, recency, age))
    model.fit(method="map", progressbar=False)
    return model
def predict(model, x, recency, age):
    return model.expected_purchases(data=customers(x, recency, age), future_t=90)
def told(model):
    return [float(model.fit_result[name].mean()) for name in ("r", "alpha", "a", "b")]
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
    from tests.simulated.purchases import simulate_purchases

    age = np.random.default_rng(1).integers(30, 720, number).astype("float64")
    table = simulate_purchases(np.array([0.6, 30.0, 0.8, 2.4]), "bg", age, 0.0, 2)
    recency = np.where(table["repeats"] > 0, np.maximum(table["recency"].round(), 1), 0)
    return np.array([table["repeats"], np.minimum(recency, age), age])


def measured(side: str, python: str, place: Path, rounds: int) -> tuple[float, float, float]:
    """CPU seconds of one thread to fit and to predict, memory grown; the least of some rounds, since other work on the machine only ever adds."""
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [python, "-c", SIDES[side] + RUN, str(place), str(rounds)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True, env=alone)
    fit, predict, grown, total, *parameters = map(float, answer.stdout.split()[-8:])
    shown = " ".join(f"{value:.4f}" for value in parameters)
    print(f"{side:15}{fit:9.3f}{predict:11.3f}{grown:10.0f}{total:12.0f}   {shown}", flush=True)
    return fit, predict, grown


def main() -> int:
    """Measure the kit and its peers; 1 if the kit is not as much faster than lifetimes as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    peers = {"lifetimes": os.environ.get("KPI_LIFETIMES_PYTHON", ""), "pymc-marketing": os.environ.get("KPI_PYMC_PYTHON", "")}
    if not Path(peers["lifetimes"]).is_file():
        print("KPI_LIFETIMES_PYTHON names no interpreter with lifetimes 0.11.3: not compared")
        return 0
    late = False
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "customers.npy"
        for number in options.customers:
            np.save(place, customers(number))
            print(f"{number:<15,}{'fit s':>9}{'predict s':>11}{'grown MB':>10}{'expected':>12}   r alpha a b")
            own = measured("kit", sys.executable, place, options.rounds)
            for peer, python in peers.items():
                if Path(python).is_file():
                    other = measured(peer, python, place, options.rounds)
                    print(f"{'  times the kit':15}{other[0] / own[0]:9.1f}{other[1] / own[1]:11.1f}")
                    late |= peer == "lifetimes" and (other[0] < 15 * own[0] or other[1] < 2 * own[1])
            late |= number == 1_000_000 and own[2] > 150
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
