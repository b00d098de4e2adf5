import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mgmp_jax import reporting
from mgmp_jax.reporting.results import clopper_pearson


def test_summary_counts_fragments_as_the_paper_and_models_beside() -> None:
    right, half, wrong = np.ones(4), np.array([1.0, 1.0, 0.0, 0.0]), np.zeros(4)
    homologous = np.array([[right, half]])
    non_homologous = np.array([[wrong, right]])
    got = reporting.summarise(homologous, non_homologous, 0.9)
    assert got["accuracy"] == pytest.approx(((4 + 4) / 8 + (2 + 0) / 8) / 2)
    assert got["std"] == pytest.approx(np.std([1.0, 0.25], ddof=1))
    assert got["auc"] == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    for name, count in (("missed", 1), ("false_alarms", 1), ("missed_at_half", 0)):
        assert got[name] == [count]
    assert got["false_alarms_at_half"] == [1]
    assert got["missed_interval"] == got["false_alarms_interval"] == clopper_pearson(1, 2)
    assert reporting.accuracy(got) == "0.6250 ± 0.5303"
    one = reporting.summarise(homologous[:, :1], non_homologous[:, :1], 0.9)
    assert one["std"] is None
    assert reporting.accuracy(one) == "1.0000"


def test_separation_counts_models_above_a_threshold_that_few_negatives_reach() -> None:
    negative = np.arange(100) / 100
    positive = np.array([0.945, 0.965, 0.985, 0.995, 2.0])
    got = reporting.separation(positive, negative)
    assert got["auc"] == pytest.approx((95 + 97 + 99 + 100 + 100) / 500)
    assert got["tpr_5"] == 5 / 5  # 95 of the negatives lie below the fifth largest, 0.94
    assert got["tpr_1"] == 3 / 5
    assert got["tpr_1_interval"] == clopper_pearson(3, 5)
    few = reporting.separation(positive, negative[:10])
    assert (few["positives"], few["negatives"]) == (5, 10)
    assert reporting.separation(np.zeros(3), np.zeros(4))["tpr_5"] == 0  # ties are not above


def test_clopper_pearson_of_no_false_alarm_among_twenty() -> None:
    low, high = clopper_pearson(0, 20)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_environment_names_what_made_a_result() -> None:
    expected = {"command", "versions", "device", "git_revision", "cores"}
    assert expected <= set(json.loads(json.dumps(reporting.environment())))


def _pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), int).reshape(-1, 3)


def _has(path, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(_pixels(path) - colour).max(axis=1).min() < 70)  # points are translucent


def test_pictures_have_their_colours(tmp_path) -> None:
    rng = np.random.default_rng(0)
    roles = ("source", "homologous", "non-homologous")
    fragments = {f"task {i}": {r: rng.normal(size=(30, 5)) for r in roles} for i in range(2)}
    reporting.plot_fragments(tmp_path / "fragments.png", fragments)
    scores = {"task": {r: rng.uniform(size=50) for r in roles[1:]}}
    reporting.plot_scores(tmp_path / "scores.png", scores, 0.9)
    red, yellow, blue = (214, 39, 40), (230, 184, 0), (31, 119, 180)
    for name, colours in {
        "fragments.png": (red, yellow, blue),
        "scores.png": (yellow, blue),
    }.items():
        assert all(_has(tmp_path / name, colour) for colour in colours)


@pytest.mark.parametrize(
    ("fragments", "drawn"),
    [
        (np.ones((20, 4)), False),
        (np.ones((20, 1)), False),
        (1 + 1e-15 * np.arange(80.0).reshape(20, 4), False),
        (np.full((20, 4), np.nan), False),
        (np.arange(20.0)[:, None], True),
        (np.arange(8.0).reshape(2, 4), True),
        (1e300 * np.arange(80.0).reshape(20, 4), True),
    ],
    ids=["constant", "constant, width 1", "nearly", "NaN", "width 1", "few", "huge"],
)
def test_fragments_are_drawn_or_a_sentence_says_why_not(tmp_path, fragments, drawn) -> None:
    roles = ("source", "homologous", "non-homologous")
    sets = {role: fragments * (1 + i * drawn) for i, role in enumerate(roles)}
    reporting.plot_fragments(tmp_path / "fragments.png", {"task": sets})
    assert _has(tmp_path / "fragments.png", (214, 39, 40)) == drawn


def test_curves_show_few_methods_in_colour_and_the_others_in_grey(tmp_path) -> None:
    rng = np.random.default_rng(0)

    def curve(level: float) -> dict[str, dict[str, float]]:
        return {"scratch": {str(n): level + 0.05 * rng.random() for n in (8, 64, 2500)}}

    curves = {"MGMP paper": curve(0.6), **{f"method {i}": curve(0.1 * i) for i in range(5)}}
    reporting.plot_curves(tmp_path / "curves.png", curves, "AUC")
    colours = np.unique(_pixels(tmp_path / "curves.png"), axis=0)
    vivid = colours[np.ptp(colours, axis=1) > 80]
    assert len(vivid)
    assert (vivid.argmax(axis=1) == 2).all()  # all shades of blue, the paper's method's
    assert (colours == 211).all(axis=1).any()


def test_numbers_need_neither_matplotlib_nor_scikit_learn(tmp_path) -> None:
    code = f"""
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.figure"] = sys.modules["sklearn"] = None
import numpy as np
from mgmp_jax import reporting
assert reporting.separation(np.ones(2), np.zeros(3))["auc"] == 1
try:
    reporting.plot_scores({str(tmp_path / "scores.png")!r}, {{}}, 0.9)
except ImportError as error:
    assert "pip install 'mgmp_jax[plots]'" in str(error)
else:
    raise AssertionError("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_auc_counts_ties_by_half() -> None:
    assert reporting.auc(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == 0.875
    assert reporting.auc(np.zeros(3), np.zeros(2)) == 0.5


def test_first_places_are_counted_over_groups_of_a_kind() -> None:
    groups = {
        "homologous, head kept": {"first": 4, "models": 5},
        "homologous, new head": {"first": 5, "models": 5},
        "scratch": {"first": 1, "models": 10},
    }
    found = {"sibling_test": {"halves of two": groups}}
    assert reporting.first_places(found, "halves of two", "homologous") == "9 of 10"
    assert reporting.first_places(found, "halves of two", "cousin descendant") == "0 of 0"


def test_a_grid_is_blue_for_one_red_for_nought_and_grey_for_none(tmp_path) -> None:
    rows = {"first": {"a": 1.0, "b": 0.0}, "second": {"a": 1.0}}
    reporting.plot_grid(tmp_path / "grid.png", rows, "AUC")

    def squares(name: str, colour: tuple[int, int, int]) -> int:
        pixels = np.asarray(Image.open(tmp_path / name).convert("RGB"), int)
        left = pixels[:, : pixels.shape[1] * 4 // 5]  # the colour bar stands on the right
        return int((np.abs(left - colour).max(axis=2) < 4).sum())

    blue, red, grey = (squares("grid.png", c) for c in ((49, 54, 149), (165, 0, 38), (211,) * 3))
    assert 1.6 < blue / red < 2.4
    assert 0.7 < grey / red < 1.4


def test_ratios_of_one_name_have_one_colour_and_a_length_of_their_own(tmp_path) -> None:
    bars = {"small": {"theirs": (4.0, (3.9, 4.1))}, "large": {"theirs": (2.0, (1.9, 2.1))}}
    reporting.plot_ratios(tmp_path / "ratios.png", bars, "times ours")
    pixels = np.asarray(Image.open(tmp_path / "ratios.png").convert("RGB"), int)
    is_blue = np.abs(pixels - (31, 119, 180)).max(axis=2) < 4
    lengths = is_blue.sum(axis=1)
    longest = lengths.max()
    assert (lengths > 0.9 * longest).sum() > 5
    assert ((lengths > 0.4 * longest) & (lengths < 0.6 * longest)).sum() > 5
