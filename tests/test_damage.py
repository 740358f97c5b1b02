"""Damaged caches: each is told by name and computed again, to the same bits; none is believed."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridkp import memory
from hybridkp.checks import make_problem
from hybridkp.files import load_matched, load_predictions, save_matched, save_model, save_predictions
from hybridkp.files.arrays import dump_arrays, load_arrays
from hybridkp.files.matched import MatchedSet, no_result
from hybridkp.files.records import save_tensors
from hybridkp.landmarks import HolisticRegressor, MeanShape
from hybridkp.structures import InputError, Predictions

PROBLEM = make_problem(16)
HELD_OUT = make_problem(4, random_state=1).images
ESTIMATOR = HolisticRegressor(grid=4)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, 2 * len(data) // 3):
        data[place] ^= 0xFF
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("[1, 2]", encoding="utf-8")


def another(path: Path) -> None:
    """A whole file of a kind that others here have."""
    if path.suffix == ".safetensors":
        save_tensors(path, "fold", 1, {"xy": np.zeros((1, 1, 2)), "score": np.zeros((1, 1))}, {})
    else:
        save_model(MeanShape().fit(PROBLEM.images, PROBLEM.xy), path)


def unlearned(path: Path) -> None:
    """A whole file of the right kind of estimator, which was never fitted."""
    if path.suffix == ".hkp":
        save_model(ESTIMATOR, path)
    else:
        path.write_text("{}", encoding="utf-8")


DAMAGES = [truncated, flipped, empty, folder, text, another, unlearned]


def fit() -> Any:
    found = memory.fitted(ESTIMATOR, PROBLEM.images, PROBLEM.xy, groups=PROBLEM.groups, flip=PROBLEM.flip)
    return found.predict_with_score(HELD_OUT)


def folds() -> Any:
    return memory.out_of_fold(ESTIMATOR, PROBLEM.images, PROBLEM.xy, groups=PROBLEM.groups)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("kept")
    with memory.remember(out):
        return out, {"fit": fit(), "folds": folds()}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
@pytest.mark.parametrize(
    ("what", "suffix"),
    [(w, s) for w, own in (("fit", ".hkp"), ("folds", ".safetensors")) for s in (own, ".json")],
)
def test_a_damaged_memory_is_told_and_computed_again(
    kept: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    what: str,
    suffix: str,
    damage: Callable[[Path], None],
) -> None:
    shutil.copytree(kept[0], tmp_path / "m")
    compute, wanted = {"fit": fit, "folds": folds}[what], kept[1][what]
    values = sorted((tmp_path / "m").glob({"fit": "*.hkp", "folds": "*.safetensors"}[what]))
    path = values[0].with_suffix(suffix)
    damage(path)
    with memory.remember(tmp_path / "m"), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = compute()
        first = [str(w.message) for w in told]
        again = compute()
    assert f"{path.with_suffix('')}." in first[0] and "computed again" in first[0], first
    for value, right in zip((*found, *again), (*wanted, *wanted), strict=True):
        np.testing.assert_array_equal(value, right)
    # nobody's folder is removed: there the value is computed each time
    assert path.is_dir() == (damage is folder) and (len(told) > len(first)) == (damage is folder)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_a_lock_holds_nothing_and_cannot_be_damaged(
    kept: tuple[Path, dict[str, Any]], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(kept[0], tmp_path / "m")
    for lock in (tmp_path / "m").glob("*.lock"):
        lock.write_bytes(b"something of another time")
        damage(lock)
    with memory.remember(tmp_path / "m"), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(fit()[0], kept[1]["fit"][0])
    assert [w for w in told if "cannot be locked" in str(w.message)] == told
    assert bool(told) == (damage is folder)


@pytest.mark.parametrize("what", ["fit", "folds"])
def test_no_flipped_bit_changes_a_remembered_result(
    kept: tuple[Path, dict[str, Any]], tmp_path: Path, what: str
) -> None:
    shutil.copytree(kept[0], tmp_path / "m")
    compute, wanted = {"fit": fit, "folds": folds}[what], kept[1][what]
    path = sorted((tmp_path / "m").glob({"fit": "*.hkp", "folds": "*.safetensors"}[what]))[0]
    whole, rng, told = path.read_bytes(), np.random.default_rng(0), 0
    with memory.remember(tmp_path / "m"), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for place in rng.integers(0, len(whole), 25):
            data = bytearray(whole)
            data[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(data)
            for found, right in zip(compute(), wanted, strict=True):
                np.testing.assert_array_equal(found, right)
        told = len([w for w in heard if str(path) in str(w.message)])
    assert told >= 20, "nearly all bits of a file count"


def _predictions(path: Path) -> None:
    rng = np.random.default_rng(0)
    found = Predictions(
        "m", rng.normal(size=(5, 3, 2)), np.ones((5, 3)), tuple("abcde"), np.zeros(5), np.ones(5)
    )
    save_predictions(found, path)


def _matches(path: Path) -> None:
    save_matched(MatchedSet("m", (no_result(),) * 3, tuple("abc"), np.ones((3, 2)), np.ones((3, 2))), path)


@pytest.mark.parametrize(
    ("save", "load"),
    [(_predictions, load_predictions), (_matches, load_matched)],
    ids=["predictions", "matches"],
)
def test_no_flipped_bit_of_a_stored_result_is_believed(
    tmp_path: Path, save: Callable[[Path], None], load: Callable[[Path], Any]
) -> None:
    path = tmp_path / "result"
    save(path)
    right, whole, rng, told = load(path), path.read_bytes(), np.random.default_rng(0), 0

    def in_bytes(found: Any) -> bytes:
        (save_predictions if isinstance(found, Predictions) else save_matched)(found, tmp_path / "again")
        return (tmp_path / "again").read_bytes()

    for place in rng.integers(0, len(whole), 200):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            found = load(path)
        except InputError as error:
            told += f"{path}: " in str(error)
        else:  # a bit of the digest's own name, or of what fills the header up
            assert in_bytes(found) == in_bytes(right)
    assert told > 180
    for damage in DAMAGES:
        path.write_bytes(whole)
        damage(path)
        with pytest.raises(InputError, match="result: "):
            load(path)
        if path.is_dir():
            path.rmdir()


def test_stored_results_of_before_the_digest_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old"
    _predictions(path)
    arrays, meta = load_arrays(path.read_bytes())
    del meta["sha256"]
    path.write_bytes(dump_arrays(arrays, meta))
    assert load_predictions(path).names == tuple("abcde")


# --------------------------------------------------------------------------------------------
# a training's progress
# --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_torch_thread")
@pytest.mark.parametrize("damage", [*DAMAGES[:-1], None], ids=lambda d: d.__name__ if d else "nothing")
def test_a_damaged_checkpoint_of_the_memory_is_told_and_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None] | None
) -> None:
    from hybridkp.deep import HeatmapNet, training

    small = {"input_px": 32, "max_epochs": 2, "epoch_pictures": 16, "batch_size": 8, "device": "cpu"}
    net = HeatmapNet().set_params(**{k if k == "input_px" else f"schedule__{k}": v for k, v in small.items()})
    wanted = net.fit(PROBLEM.images, PROBLEM.xy).predict(HELD_OUT)
    save, saved = training.save_checkpoint, []

    def stopped(*args: Any) -> None:
        save(*args)
        saved.append(args[0])
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_checkpoint", stopped)
    with memory.remember(tmp_path), pytest.raises(KeyboardInterrupt):
        memory.fitted(net, PROBLEM.images, PROBLEM.xy)
    if damage:
        damage(saved[0])
    with memory.remember(tmp_path), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = memory.fitted(net, PROBLEM.images, PROBLEM.xy)
    np.testing.assert_array_equal(found.predict(HELD_OUT), wanted)
    told = [w for w in told if issubclass(w.category, RuntimeWarning)]
    assert all(str(saved[0]) in str(w.message) for w in told) and bool(told) == bool(damage)
    if damage is not folder:  # which no checkpoint can take the place of
        assert len(saved) == (3 if damage else 2), "two epochs anew, or the one that was missing"


def test_what_is_remembered_until_done_goes_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / ".m.hkp.fits"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    for fails in (True, False):
        with suppress(ValueError), memory.remember_until_done(folder):
            fit()
            if fails:
                raise ValueError
        left = sorted(path.suffix for path in folder.iterdir())
        assert left == ([".hkp", ".json", ".txt"] if fails else [".txt"]), "finished work outlives a failure"
    for stop in (KeyboardInterrupt, ValueError):
        with suppress(stop), memory.remember_until_done(tmp_path / "fresh"):
            raise stop
        assert not (tmp_path / "fresh").exists()
