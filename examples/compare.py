"""Compare methods on your data, from Python.

What ``hybridkp bench`` does in one command, taken apart: load two parts that share no photograph, fit each
method on the same crops of the one, ask it about the other, store what it predicts, and only then
compute figures.  With your own data, give ``load_problem`` your folder in place of "synthetic".

    python examples/compare.py -o out
"""

import argparse
from pathlib import Path

import hybridkp
from hybridkp.evaluate import load_problem

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("-o", "--out", type=Path, default=Path("out"))
out = parser.parse_args().out

# Procedural faces with exact truth.  A problem is what all methods share: both parts, the size of the crops,
# what errors are divided by.  Pictures are made, or read, when they are asked for.
problem = load_problem("synthetic", max_train=80, max_val=40)

# A floor, a descriptor with a ridge, and a cascade of regressors.  The floor knows nothing of the picture: a
# method that does not beat it has learned nothing.
methods = {name: hybridkp.make_method(name) for name in ("mean-shape", "hog+ridge", "sdm")}

# Each method is fitted in a process of its own; what it predicts is a file in ``out``.  A second call finds
# the files and fits nothing.
predictions = hybridkp.bench(methods, problem, out=out)
print(f"{len(predictions)} methods, {predictions[0].xy.shape[1]} landmarks of {len(predictions[0].xy)} faces")

# The figures: error with an interval over photographs, and letters: methods that share one could not be
# told apart by paired tests.  With 40 faces that happens often.  It is a result, and no shame.
report = hybridkp.write_report(predictions, problem.val, out)
print(report.to_markdown())
for pair in report.comparisons:
    verdict = "differ" if pair.distinguishable else "cannot be told apart"
    print(f"{pair.first} and {pair.second}: {pair.difference:+.2f} points, {verdict}")

best, floor = report.rows[0], report.rows[-1]
assert floor.method == "mean-shape", "both others have learned something"
print(f"best: {best.method}; the page is {report.paths['html']}")
