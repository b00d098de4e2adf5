import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
import tables  # noqa: E402

RESULTS = sorted((ROOT / "experiments" / "results").glob("**/*.json"))
OLD_WORDS = r"consensus|label information|mutual neighbours|fit to (?:target|source)|snapshots"
OLD_WORDS += r"|stranger|logprobs|\bprobs\b|\btraced\b|\bzoo\b"


def test_the_readme_shows_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text()
    assert tables.with_table(readme) == readme
    assert readme.split(tables.BEGIN)[1].split(tables.END)[0].count("\n") > 3


@pytest.mark.parametrize("page", tables.pages())
def test_the_docs_show_the_committed_results(page: str) -> None:
    text = tables.page(page)
    assert (tables.PAGES / page).read_text() == text
    assert not re.search(r"^\{.+\}$", text, re.MULTILINE)


def test_no_command_names_a_folder_of_the_machine_it_ran_on() -> None:
    for path in RESULTS:
        run = json.loads(path.read_text()).get("run", {})
        assert not re.search(r"[\s=]/\w", run.get("command", "")), path


def test_every_page_has_a_template_and_the_index_links_it() -> None:
    pages = tables.pages()
    assert sorted(path.name for path in tables.PAGES.glob("*.md")) == pages
    linked = re.findall(r"\]\((\w+\.md)\)", (tables.PAGES / "index.md").read_text())
    assert sorted([*linked, "index.md"]) == pages


def test_every_part_has_its_place() -> None:
    text = "".join((tables.TEMPLATES / page).read_text() for page in tables.pages())
    places = re.findall(r"^\{(.+)\}$", text, re.MULTILINE)
    runs = [one.removeprefix("runs of ") for one in places if one.startswith("runs of ")]
    assert sorted(set(places) - {f"runs of {one}" for one in runs}) == sorted(tables.PARTS)
    assert len(places) == len(tables.PARTS) + len(runs)
    experiments = {json.loads(path.read_text())["experiment"] for path in RESULTS}
    assert sorted(" ".join(runs).split()) == sorted(experiments)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_every_committed_result_names_experiment_and_schema_in_the_words_of_today(path) -> None:
    text = path.read_text()
    results = json.loads(text)
    command = re.search(r"experiments/(\w+)\.py", results["run"]["command"])
    assert command and results["experiment"] == command[1]
    assert results["schema"] == 2
    assert text == json.dumps(results, indent=1) + "\n"
    del results["run"]
    assert not re.search(OLD_WORDS, json.dumps(results, ensure_ascii=False))


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "docs").glob("**/*.md"))], ids=lambda path: path.name
)
def test_docs_are_in_the_words_of_today_and_their_links_lead_somewhere(path) -> None:
    text = path.read_text()
    assert not re.search(OLD_WORDS, text)
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("http") or (path.parent / target).exists(), target


def test_rows_without_a_result_are_named(monkeypatch) -> None:
    names = ["cifar-resnet18-row1-small", "minilm-row1-stand-ins-small-pretrained"]
    monkeypatch.setattr(tables, "rows", lambda: dict.fromkeys(names))
    found = list(tables.not_run())
    assert len(found) == 6 + 3
    assert "Table 1, row 1 (resnet18)" not in found
    assert "Table 2, row 4 (bert-base)" in found


def test_a_column_without_a_row_has_a_dash_and_bars_are_escaped() -> None:
    got = tables.pivot("method", {"ResNet18": {"|o|": "1", "b": "2"}, "AlexNet": {"b": "3"}})
    assert got.splitlines()[2:] == ["| \\|o\\| | 1 | – |", "| b | 2 | 3 |"]


def test_the_candidate_that_a_row_chose_is_in_bold() -> None:
    found = {
        "extended": {"loss": 0.5, "accuracy": 0.9},
        "plain": {"loss": 0.0412, "accuracy": 0.98},
    }
    cells = tables.choice({"choice": {"chosen": "plain", "candidates": found}})
    assert cells == ["0.500, 0.9000", "**0.041, 0.9800**"]


def test_first_places_of_what_did_not_come_from_the_source_have_intervals(monkeypatch) -> None:
    groups = {
        "homologous, head kept": {"first": 5, "models": 5},
        "cousin descendant, head kept": {"first": 1, "models": 5},
        "cousin descendant, new head": {"first": 0, "models": 5},
        "independent, a sibling itself": {"first": 1, "models": 19},
    }
    found = {"sibling_test": {"unseen images": {"suspects": groups}}}
    cells = {
        "cousin descendant": {"unseen images": "1/10 (0.00 to 0.45)"},
        "independent, a sibling itself": {"unseen images": "1/19 (0.00 to 0.26)"},
    }
    assert tables.false_firsts(found) == cells
    monkeypatch.setattr(tables, "by_family", lambda _: {"A": found, "B": found})
    assert tables.PARTS["false firsts"]().splitlines() == [
        "| queries | cousin descendant | independent, a sibling itself |",
        "| --- | --- | --- |",
        "| A: unseen images | 1/10 (0.00 to 0.45) | 1/19 (0.00 to 0.26) |",
        "| B: unseen images | 1/10 (0.00 to 0.45) | 1/19 (0.00 to 0.26) |",
    ]
