import dataclasses
import hashlib
import html.parser
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="pip install 'mgmp_jax[report]'")
pytest.importorskip("matplotlib", reason="pip install 'mgmp_jax[report]'")
pytest.importorskip("sklearn", reason="pip install 'mgmp_jax[report]'")

from mgmp_jax.evidence import Evidence
from mgmp_jax.reporting import page_sections, plain_words, write_page
from tests.made_evidence import DIGESTS, answer, make_evidence

VOID = {"meta", "link", "img", "br", "hr", "input"}
DEPENDS = "the test says, with p = 0.1, that it depends on the source’s own training run."
HOMOLOGOUS = make_evidence(
    answer("knowledge", "homologous", 0.97125), answer("lineage", "homologous", 4.318)
)
INNOCENT = make_evidence(
    answer("knowledge", "not homologous", 0.04), answer("lineage", "inconclusive", -0.31)
)
UNDECIDED = make_evidence(
    answer("knowledge", "inconclusive", 0.55, m=0), answer("lineage", "inconclusive", 0.2)
)
NOT_ASKED = make_evidence(answer("lineage", "homologous", 3.0))
NOT_READ = make_evidence(
    answer("knowledge", "inconclusive", None), answer("lineage", "inconclusive", None)
)
ALL = {
    "homologous": HOMOLOGOUS,
    "innocent": INNOCENT,
    "undecided": UNDECIDED,
    "not asked": NOT_ASKED,
    "not read": NOT_READ,
}


class Page(html.parser.HTMLParser):
    """What a reader of the page finds, and whether its tags are well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.rows: list[list[str]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {tag} {attrs}"
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open and self._open.pop() == tag, f"{tag} closes another"

    def handle_data(self, data):
        if "style" in self._open or "title" in self._open:
            return
        self.words += data
        if self.rows and ("td" in self._open or "th" in self._open):
            self.rows[-1][-1] += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def read(folder: Path, evidence: Evidence, **more: object) -> tuple[str, Page]:
    write_page(folder / "page.html", evidence, **more)
    text = (folder / "page.html").read_text("utf-8")
    return text, Page(text)


@pytest.mark.parametrize("name", ALL)
def test_the_page_is_well_formed_whatever_the_verdict(name: str, tmp_path: Path) -> None:
    text, page = read(tmp_path, ALL[name])
    assert text.startswith("<!doctype html>") and page.all("html") == [{"lang": "en"}]
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag in ("main", "header", "footer", "nav"):
        assert len(page.all(tag)) == 1, tag
    for attrs in page.all("a"):
        assert attrs["href"] is not None and attrs["href"].removeprefix("#") in ids
    for _, attrs in page.tags:
        for key in ("aria-labelledby", "aria-describedby"):
            assert set((attrs.get(key) or "").split()) <= set(ids)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(name: str, tmp_path: Path) -> None:
    text, page = read(tmp_path, ALL[name])
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    for _, attrs in page.tags:
        assert not any(key.startswith("on") or key == "src" for key in attrs)
        for key in ("href", "xlink:href"):
            assert (attrs.get(key) or "#").startswith("#")
    assert "://" not in text and "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    policy = next(a for a in page.all("meta") if a.get("http-equiv"))["content"]
    assert policy is not None and policy.startswith("default-src 'none'; style-src")


def test_every_figure_has_its_numbers_in_words(tmp_path: Path) -> None:
    _, page = read(tmp_path, HOMOLOGOUS)
    drawings = page.all("svg")
    assert len(drawings) == len(page.all("figure")) == len(page.all("figcaption")) == 6
    for attrs in drawings:
        name = (attrs["aria-labelledby"] or "").removesuffix("-title")
        assert attrs["role"] == "img" and attrs["aria-describedby"] == f"{name}-desc"
    for section in page_sections.figures(HOMOLOGOUS):
        assert re.search(r"\d", section.description) and section.description in page.words


def test_the_numbers_are_those_of_the_evidence(tmp_path: Path) -> None:
    _, page = read(tmp_path, HOMOLOGOUS)
    rows = [[cell.replace("−", "-") for cell in row] for row in page.rows]
    for found, digits in ((HOMOLOGOUS.report.knowledge, 4), (HOMOLOGOUS.report.lineage, 2)):
        own = [row[1] for row in rows if len(row) == 2 and row[0].startswith("Score:")]
        assert f"{found.score:.{digits}f}" in own
        for name, score in found.others:
            assert any(row[1:] == [name, f"{score:.{digits}f}"] for row in rows), name
        for point in HOMOLOGOUS.growth[found.question]:
            row = next(r for r in rows if len(r) == 5 and r[2] == f"{point.score:.{digits}f}")
            assert row[0].endswith(str(point.queries)) and row[4] == f"{point.p_value:.4f}"
    values = [row[1] for row in rows if len(row) == 2]
    for value in ("0.1000", "9", "0.1", "28.3\xa0%"):
        assert values.count(value) >= 2, value
    scores = HOMOLOGOUS.fragments.scores if HOMOLOGOUS.fragments else np.zeros(1)
    counts, _ = np.histogram(scores, 10, (0, 1))
    bins = [row[1] for row in rows if re.fullmatch(r"0\.\d to [01]\.\d", row[0])]
    assert bins == [str(count) for count in counts]
    for digest in DIGESTS.values():
        assert digest in page.words


def test_ranks_are_of_all_scores_with_the_model_in_question_marked(tmp_path: Path) -> None:
    _, page = read(tmp_path, INNOCENT)
    lineage = INNOCENT.report.lineage
    row = next(row for row in page.rows if row[1:2] == ["mine (the source)"])
    assert lineage.score is not None
    place = 1 + sum(score > lineage.score for _, score in lineage.others)
    assert row == [f"◆ {place}", "mine (the source)", "−0.31"]


@pytest.mark.parametrize(
    "name, sentence, badges",
    [
        (
            "homologous",
            "If the conditions below hold, the suspect answers like a model that knows what the "
            f"source knows; separately, {DEPENDS}",
            ["Yes", "Yes"],
        ),
        (
            "innocent",
            "If the conditions below hold, the suspect does not answer like a model that knows "
            "what the source knows; separately, whether it depends on the source’s own training "
            "run remains undecided.",
            ["No", "Undecided"],
        ),
        (
            "undecided",
            "Whether the suspect knows what the source knows remains undecided; separately, "
            "whether it depends on the source’s own training run remains undecided.",
            ["Undecided", "Undecided"],
        ),
        (
            "not asked",
            "If the conditions below hold, whether the suspect knows what the source knows was not "
            f"asked; separately, {DEPENDS}",
            ["Not asked", "Yes"],
        ),
        (
            "not read",
            "Whether the suspect knows what the source knows could not be asked; separately, "
            "whether it depends on the source’s own training run could not be asked.",
            ["Could not be asked", "Could not be asked"],
        ),
    ],
)
def test_both_verdicts_are_said_in_one_sentence(
    name: str, sentence: str, badges: list[str], tmp_path: Path
) -> None:
    text, page = read(tmp_path, ALL[name])
    assert sentence in page.words
    assert re.findall(r'class="badge [\w-]+"><strong>([^<]+)', text) == badges


def test_least_p_and_its_bound_are_said_only_of_who_beat_all_others(tmp_path: Path) -> None:
    second = answer("lineage", "homologous", 1.0, m=39)
    assert second.p_value is not None and second.p_value > second.least_p
    for evidence, printed in ((HOMOLOGOUS, 2), (INNOCENT, 0), (make_evidence(second), 0)):
        _, page = read(tmp_path, evidence)
        assert sum(row[0].startswith("Least p") for row in page.rows) == printed
        assert page.words.count("alone, not from this case") == printed


def test_the_conditions_are_stated_or_not(tmp_path: Path) -> None:
    for frozen, state in (("", "not stated"), ("2026-01-02T03:04:05+00:00", "stated: queries")):
        _, page = read(tmp_path, HOMOLOGOUS, frozen=frozen)
        states = {row[0]: row[1] for row in page.rows if len(row) == 2}
        assert states["Queries and methods were fixed before the suspect was seen"].startswith(
            state
        )
        assert states["Who made the comparison"] == "not stated"
        assert list(states.values()).count("must be checked elsewhere") == 2
    _, page = read(tmp_path, NOT_READ)
    assert "must be checked elsewhere" not in page.words


def test_siblings_in_the_background_change_the_first_question(tmp_path: Path) -> None:
    knowledge, *others = HOMOLOGOUS.report.answers
    beyond = dataclasses.replace(knowledge, beyond_siblings=True)
    report = dataclasses.replace(HOMOLOGOUS.report, answers=(beyond, *others))
    both = dataclasses.replace(HOMOLOGOUS, report=report)
    _, page = read(tmp_path, both)
    assert "knows what the source knows beyond what its siblings know; sep" in page.words
    assert "the answers are not independent evidence" in page.words
    assert "cannot be told from a copy" not in page.words
    _, page = read(tmp_path, HOMOLOGOUS)
    assert "cannot be told from a copy by this question" in page.words
    assert "beyond" not in page.words and "Both use the same siblings" not in page.words


def test_scores_alike_when_rounded_are_told_apart_and_ties_share_a_rank(tmp_path: Path) -> None:
    found = answer("knowledge", "inconclusive", 0.5)
    others = (("near", 0.5000012), ("equal", 0.5), ("low", 0.1))
    found = dataclasses.replace(found, others=others, p_value=0.75)
    _, page = read(tmp_path, make_evidence(found))
    ranks = {row[1]: (row[0], row[2]) for row in page.rows if len(row) == 3}
    assert ranks["near"] == ("1", "0.500001") and ranks["equal"] == ("3", "0.500000")
    assert ranks["theirs (the suspect)"] == ("◆ 3", "0.500000")


def test_one_number_of_queries_is_not_drawn(tmp_path: Path) -> None:
    growth = {name: points[-1:] for name, points in HOMOLOGOUS.growth.items()}
    _, page = read(tmp_path, dataclasses.replace(HOMOLOGOUS, growth=growth))
    assert len(page.all("svg")) == 4
    assert page.words.count("half of the queries or fewer are too few for this method") == 2


def test_digests_of_the_source_are_named_by_query_set(tmp_path: Path) -> None:
    named = {"source_digests": ("1" * 64, "2" * 64), "source_queries": ("unseen", "training")}
    named["calibrated_by"] = "the 9 controls"
    _, page = read(tmp_path, dataclasses.replace(HOMOLOGOUS, **named))
    assert ["SHA-256 of the source’s answers, unseen queries", "1" * 64] in page.rows
    assert ["Calibration models", "the 9 controls"] in page.rows
    assert "as the owner says, the source’s own training examples" in page.words


def test_a_similarity_has_neither_threshold_nor_examples(tmp_path: Path) -> None:
    found = answer("knowledge", "homologous", 0.8)
    similarity = dataclasses.replace(found, method="linear CKA")
    bare = make_evidence(similarity)
    conditions = dataclasses.replace(bare.conditions[0], settings={})
    _, page = read(tmp_path, dataclasses.replace(bare, conditions=(conditions,), fragments=None))
    assert "linear CKA; larger is more alike" in page.words and "1 − δ = " not in page.words
    assert "answers are unusually like the source’s" in page.words
    assert "No MGMP reads this suspect" in page.words


def test_a_kind_that_mgmp_did_not_learn_from_has_no_threshold(tmp_path: Path) -> None:
    made = make_evidence(answer("knowledge", "homologous", 0.3))
    unknown = (dataclasses.replace(made.conditions[0], kind="labels", knows_kind=False),)
    _, page = read(tmp_path, dataclasses.replace(made, conditions=unknown))
    assert page.words.lower().count("no threshold holds for ") == 3
    assert "1 − δ = " not in page.words and "a no is never given" in page.words


def test_other_methods_stand_beside_and_decide_nothing(tmp_path: Path) -> None:
    first = answer("knowledge", "not homologous", 0.04)
    beside = answer("knowledge", "homologous", 0.99)
    _, page = read(tmp_path, make_evidence(first, dataclasses.replace(beside, method="linear CKA")))
    assert "does not answer like a model that knows" in page.words
    assert any(row[0].startswith("linear CKA: Does the suspect know") for row in page.rows)


def test_without_result_the_page_says_why_and_draws_nothing(tmp_path: Path) -> None:
    _, page = read(tmp_path, NOT_READ)
    assert not page.all("svg") and page.words.count("Not read: too wide.") >= 2
    _, page = read(tmp_path, NOT_ASKED)
    assert (
        "Not asked: no method of the verifier answers it; MGMP needs a pool to learn from."
        in page.words
    )
    _, page = read(tmp_path, UNDECIDED)
    assert "without calibration models there is no error rate" in page.words


HOSTILE = (
    "\"'><script>alert(1)</script>{{ 7 * 7 }}$x^2$ \u202egnp.exe\u2066 \udce9 \x00 مرحبا "
    + 5000 * "W"
)


def test_hostile_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    found = answer("knowledge", "homologous", 0.95)
    others = (("</td></table><b onclick=x>", 0.2), ("$\\frac{1}{2}$", 0.3), (HOSTILE, 0.4))
    about = {"others": others, "p_value": 0.25, "reason": f"Because {HOSTILE}"}
    hostile = make_evidence(
        dataclasses.replace(found, **about),
        answer("lineage", "homologous", 3.0),
        suspect=HOSTILE,
        source=f"]]>--!>{HOSTILE}",
    )
    (tmp_path / "<b>&.npz").write_bytes(b"answers")
    hostile = dataclasses.replace(hostile, created=HOSTILE)
    text, page = read(tmp_path, hostile, frozen="</p>", suspect_file=tmp_path / "<b>&.npz")
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "b"})
    assert "<script>alert(1)</script>{{ 7 * 7 }}$x^2$" in page.words
    assert not set(text) & set("\u202e\u2066\x00") and "\\u202egnp.exe\\u2066 \\udce9" in page.words
    assert "<b>&.npz" in page.words and hashlib.sha256(b"answers").hexdigest() in page.words
    cells = [cell for row in page.rows for cell in row if "WWW" in cell and "Because" not in cell]
    assert any(" … " in cell and len(cell) < 150 for cell in cells)


def test_the_same_evidence_gives_the_same_bytes(tmp_path: Path) -> None:
    evidence = dataclasses.replace(HOMOLOGOUS, created="2026-01-02T03:04:05+00:00")
    evidence.save(tmp_path / "e.npz")
    code = (
        "import sys, matplotlib; matplotlib.rcParams['font.size'] = 30\n"
        "from mgmp_jax.evidence import Evidence; from mgmp_jax.reporting import write_page\n"
        "write_page(sys.argv[2], Evidence.load(sys.argv[1]))"
    )
    paths = [tmp_path / "e.npz", tmp_path / "a.html"]
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True)
    write_page(tmp_path / "b.html", evidence)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert "2026-01-02 03:04 UTC" in (tmp_path / "b.html").read_text("utf-8")


def test_letters_stand_out_from_their_paper() -> None:
    css = (Path(page_sections.__file__).parent / "page.css").read_text("utf-8")
    schemes = re.findall(r"(--paper:.*?)\}", css, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): #([0-9a-f]{6})", scheme))
        for letters in ("ink", "muted", "suspect", "other"):
            for paper in ("paper", "raised", "mark"):
                assert contrast(colours[letters], colours[paper]) >= 4.5, (letters, paper)


def contrast(one: str, other: str) -> float:
    """Of two colours, by WCAG 2."""
    light = []
    for colour in (one, other):
        c = np.array([int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)])
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_names_are_written_out_and_cut() -> None:
    assert plain_words.plain(" a\u200bb\n") == "a\\u200bb"
    assert plain_words.cut("n" * 120) == "n" * 120
    assert (
        len(plain_words.cut("a" * 300 + "z")) == 120 and plain_words.cut("a" * 300 + "z")[-1] == "z"
    )
    assert plain_words.number(-1234.5, 1) == "−1,234.5"
    assert plain_words.number(-0.004, 2) == "0.00"
    assert plain_words.date("yesterday") == "yesterday"
    assert plain_words.date("") == "no date was given"


def test_p_values_are_counted_in_words() -> None:
    knowledge, lineage = INNOCENT.report.answers
    count = round(10 * (knowledge.p_value or 0))
    assert f"calibration models, {count}, the suspect" in plain_words.p_in_words(knowledge)
    assert "the source and its 9 siblings, " in plain_words.p_in_words(lineage)
    assert "only the suspect itself scores" in plain_words.p_in_words(HOMOLOGOUS.report.knowledge)
    assert "only the source itself resemb" in plain_words.p_in_words(HOMOLOGOUS.report.lineage)


def test_a_missing_file_of_answers_leaves_no_page(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_page(tmp_path / "p.html", NOT_READ, suspect_file=tmp_path / "none.npz")
    assert not list(tmp_path.iterdir())
