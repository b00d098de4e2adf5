import dataclasses
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import files
from mgmp_jax.archive import Dna, check_dna, read_dna, write_dna
from mgmp_jax.methods import EXTENDED, MGMP, PAPER_WITHOUT_GENERATOR, SiblingTest
from mgmp_jax.queries import QuerySet
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses
from mgmp_jax.verifier import Verifier
from tests.families import Family

CREATED = "2026-01-31T12:00:00+00:00"
QUERIES = QuerySet.rows(np.random.default_rng(5).normal(size=(80, 7)))
WITH_SIBLINGS = ["training", "unseen"]


@pytest.fixture(scope="module")
def references() -> ReferenceSet:
    return Family(80, queries=QUERIES.digest).references(2, siblings=3, controls=3)


@pytest.fixture(scope="module")
def verifier(references: ReferenceSet) -> Verifier:
    return Verifier.fit(references, [MGMP(EXTENDED.replace(epochs=1)), SiblingTest()])


@pytest.fixture(scope="module")
def other() -> Verifier:
    """A verifier of another source."""
    references = Family(80, seed=1).references(2, siblings=3)
    return Verifier.fit(references, [MGMP(EXTENDED.replace(epochs=1))])


def whole(folder: Path) -> bytes:
    """All bytes of the public part."""
    return (folder / "dna.json").read_bytes() + (folder / "dna.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["mine.dna", "mine.zip"])
def test_what_is_written_is_read(verifier: Verifier, tmp_path: Path, name: str) -> None:
    written = write_dna(tmp_path / name, verifier, created=CREATED, queries=QUERIES)
    found = read_dna(tmp_path / name)
    assert found.about == written.about and found.digest == written.digest
    assert found.about["source"] == "source" and found.about["created"] == CREATED
    assert [one["name"] for one in found.about["query_sets"]] == WITH_SIBLINGS
    for one in found.about["query_sets"]:
        assert (one["digest"], one["modality"], one["count"]) == (QUERIES.digest, "rows", 80)
    np.testing.assert_array_equal(
        found.fragments["methods/0/source"], verifier.methods[0].source_fragments()
    )
    own, shown = verifier.methods[0].source.values, found.fragments["methods/0/source"]
    likeness = [abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(own.T, shown.T, strict=True)]
    assert abs(found.about["methods"][0]["likeness"] - np.mean(likeness)) < 1e-3
    assert "source 'source', methods ['MGMP', 'sibling test']" in repr(found)
    check_dna(found, verifier)


@pytest.fixture(scope="module")
def as_wide() -> ReferenceSet:
    """Models as wide as the source, for methods without alignment."""
    family = Family(80, queries=QUERIES.digest)
    pairs = [
        Pair(str(i), [family.tuned(family.own, 6)], [family.tuned(family.noise(), 6)])
        for i in range(2)
    ]
    siblings = [family.model(family.noise()) for _ in range(2)]
    return ReferenceSet(family.model(family.own, "source"), pairs, siblings)


def test_the_source_has_the_fragments_that_every_suspect_meets(as_wide: ReferenceSet) -> None:
    for config in (
        EXTENDED,
        EXTENDED.replace(align=False),
        PAPER_WITHOUT_GENERATOR.replace(align=True),
        PAPER_WITHOUT_GENERATOR,
    ):
        mgmp = MGMP(config.replace(epochs=1)).fit(as_wide)
        source = mgmp.source_fragments()
        for suspect in (as_wide.siblings[0], as_wide.source):
            np.testing.assert_allclose(mgmp.fragments(suspect)[0], source, atol=1e-5)


def test_the_same_verifier_gives_the_same_bytes(verifier: Verifier, tmp_path: Path) -> None:
    verifier.save(tmp_path / "v")
    code = (
        "import sys; from mgmp_jax.archive import write_dna; "
        "from mgmp_jax.verifier import Verifier; "
        f"write_dna(sys.argv[1], Verifier.load({str(tmp_path / 'v')!r}), created={CREATED!r})"
    )
    for name in ("a.zip", "b"):
        mine, again, theirs = (tmp_path / who / name for who in ("mine", "again", "theirs"))
        for path in (mine, again):
            write_dna(path, verifier, created=CREATED)
        subprocess.run([sys.executable, "-c", code, str(theirs)], check=True)
        first, *others = (
            path.read_bytes() if path.suffix else whole(path) for path in (mine, again, theirs)
        )
        assert others == [first, first]


@pytest.mark.parametrize("name", ["dna", "dna.zip"])
def test_another_dna_is_never_written_over(
    verifier: Verifier, other: Verifier, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    written = write_dna(path, verifier, created=CREATED)
    for one, time in ((other, CREATED), (verifier, CREATED.replace("2026", "2027"))):
        with pytest.raises(FileExistsError, match=rf"{name} holds another DNA already, which sta"):
            write_dna(path, one, created=time)
        assert read_dna(path).digest == written.digest
    assert write_dna(path, verifier, created=CREATED).digest == written.digest


@pytest.mark.parametrize("kept", [0, 1])
def test_a_folder_cut_off_holds_no_dna_until_it_is_whole(
    verifier: Verifier, other: Verifier, tmp_path: Path, monkeypatch, kept: int
) -> None:
    replacing, calls = files.replacing, []

    def cut_off(path: Path):
        calls.append(path)
        if len(calls) > kept:
            raise KeyboardInterrupt
        return replacing(path)

    with monkeypatch.context() as killed:
        killed.setattr(files, "replacing", cut_off)
        with pytest.raises(KeyboardInterrupt):
            write_dna(tmp_path, verifier, created=CREATED)
    assert len(list(tmp_path.iterdir())) == kept
    with pytest.raises(FileNotFoundError, match=r"no DNA at"):
        read_dna(tmp_path)
    assert write_dna(tmp_path, other, created=CREATED).digest == read_dna(tmp_path).digest


def test_a_flipped_bit_is_noticed_wherever_it_is(verifier: Verifier, tmp_path: Path) -> None:
    write_dna(tmp_path, verifier, created=CREATED)
    rng = np.random.default_rng(0)
    for name, count in (("dna.json", 400), ("dna.safetensors", 400)):
        path = tmp_path / name
        raw = path.read_bytes()
        for place in rng.choice(len(raw), count):
            damaged = bytearray(raw)
            damaged[place] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"the DNA at .* is damaged"):
                read_dna(tmp_path)
        for other in (raw[:-1], raw + b"\n", b"", raw.replace(b"MGMP", b"XXXX") + b" "):
            path.write_bytes(other)
            with pytest.raises(ValueError, match=r"the DNA at .* is damaged"):
                read_dna(tmp_path)
        path.write_bytes(raw)
    read_dna(tmp_path)


def test_a_flipped_bit_in_a_zip_changes_nothing_that_is_read(
    verifier: Verifier, tmp_path: Path
) -> None:
    path, rng = tmp_path / "a.zip", np.random.default_rng(1)
    written = write_dna(path, verifier, created=CREATED)
    raw, accepted = path.read_bytes(), 0
    for place in rng.choice(len(raw), 300):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            found = read_dna(path)
        except ValueError:
            continue
        accepted += 1  # in the zip's own bookkeeping
        assert found.about == written.about
    assert accepted < 30


def test_no_response_no_latent_and_no_query_is_shown(
    references: ReferenceSet, verifier: Verifier, tmp_path: Path
) -> None:
    write_dna(tmp_path / "dna", verifier, created=CREATED, queries=QUERIES)
    raw = whole(tmp_path / "dna")
    mgmp = verifier.methods[0]
    models = [references.source, *references.siblings, *references.controls]
    private = [r.values for r in models] + [mgmp.latents, QUERIES.inputs]
    private += [model.values for pair in references.pool for model in pair.homologous]
    private += list(mgmp.to_arrays()[1].values())
    for array in private:
        for number in np.unique(np.asarray(array, np.float32)):
            if number not in (0, 1):
                assert number.tobytes() not in raw
                assert repr(float(number)).encode() not in raw
    assert np.float32(mgmp.source_fragments()[3, 2]).tobytes() in raw  # the search finds what is


def test_fragments_that_are_responses_are_withheld(as_wide: ReferenceSet, tmp_path: Path) -> None:
    bare = MGMP(PAPER_WITHOUT_GENERATOR.replace(epochs=1), name="bare")
    with pytest.raises(ValueError, match=r"no DNA to show: without latents .* are the source's"):
        write_dna(tmp_path / "a", Verifier.fit(as_wide, [bare]), created=CREATED)
    with pytest.raises(ValueError, match=r"no DNA to show: the verifier has no MGMP"):
        write_dna(tmp_path / "a", Verifier.fit(as_wide, [SiblingTest()]), created=CREATED)
    generator = Responses(Family(80, seed=9).noise(), "embedding", QUERIES.digest)
    config = PAPER_WITHOUT_GENERATOR.replace(epochs=1)
    joined = MGMP(config.replace(assemble="concatenation"), generator, name="joined")
    added = MGMP(config, generator, name="added")
    both = Verifier.fit(as_wide, [joined, bare, added])
    assert not (tmp_path / "a").exists()
    with pytest.warns(UserWarning, match=r"added are almost the source's responses"):
        methods = write_dna(tmp_path / "a", both, created=CREATED).about["methods"]
    assert "under concatenation" in methods[0]["withheld"] and methods[0]["fragments"] is None
    assert "without latents" in methods[1]["withheld"] and methods[1]["fragments"] is None
    assert methods[2] | {"withheld": None} == methods[2] and methods[2]["fragments"]["shape"]
    assert list(read_dna(tmp_path / "a").fragments) == ["methods/2/source"]


def test_fragments_that_are_almost_responses_are_warned_of(
    as_wide: ReferenceSet, tmp_path: Path
) -> None:
    small = Responses(1e-2 * Family(80, seed=9).noise(), "embedding", QUERIES.digest)
    verifier = Verifier.fit(as_wide, [MGMP(PAPER_WITHOUT_GENERATOR.replace(epochs=1), small)])
    with pytest.warns(UserWarning, match=r"MGMP are almost the source's responses \(correlation 1"):
        write_dna(tmp_path, verifier, created=CREATED)


def test_the_private_verifier_is_checked_against_it(
    references: ReferenceSet, verifier: Verifier, tmp_path: Path
) -> None:
    verifier.save(tmp_path / "v")
    file = (tmp_path / "v" / "verifier.npz").read_bytes()
    dna = write_dna(tmp_path / "dna", verifier, created=CREATED, queries=QUERIES)
    assert dna.about["verifier"]["sha256"] == hashlib.sha256(file).hexdigest()
    check_dna(dna, Verifier.load(tmp_path / "v"))
    other = Verifier.fit(references, [MGMP(EXTENDED.replace(epochs=2)), SiblingTest()])
    with pytest.raises(ValueError, match=r"made of another verifier: its verifier is"):
        check_dna(dna, other)
    with pytest.raises(ValueError, match=r"its methods is"):
        check_dna(Dna({**dna.about, "methods": dna.about["methods"][:1]}, dna.fragments), verifier)
    changed = {name: array + 0.01 for name, array in dna.fragments.items()}
    with pytest.raises(ValueError, match=r"methods/0/source differs by up to 0.01"):
        check_dna(dataclasses.replace(dna, fragments=changed), verifier)


def test_other_queries_and_no_time_are_refused(verifier: Verifier, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'training' is not the one that was asked"):
        write_dna(tmp_path, verifier, created=CREATED, queries=QUERIES.take(59))
    with pytest.raises(ValueError, match=r"must be a time"):
        write_dna(tmp_path, verifier, created="now")
    assert not list(tmp_path.iterdir())
    named = write_dna(tmp_path, verifier, created=CREATED, queries={"unseen": QUERIES})
    assert [one["modality"] for one in named.about["query_sets"]] == [None, "rows"]


def zip_of(path: Path, members: list[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, raw in members:
            archive.writestr(name, raw)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives_are_refused(verifier: Verifier, tmp_path: Path) -> None:
    write_dna(tmp_path / "dna", verifier, created=CREATED)
    both = [(n, (tmp_path / "dna" / n).read_bytes()) for n in ("dna.json", "dna.safetensors")]
    read_dna(zip_of(tmp_path / "good.zip", both[::-1]))
    for i, (members, how) in enumerate(
        [
            ([*both, ("../../evil", b"x")], zipfile.ZIP_STORED),
            ([(f"../{name}", raw) for name, raw in both], zipfile.ZIP_STORED),
            ([(f"/{name}", raw) for name, raw in both], zipfile.ZIP_STORED),
            ([*both, both[0]], zipfile.ZIP_STORED),
            (both[:1], zipfile.ZIP_STORED),
            ([], zipfile.ZIP_STORED),
            (both, zipfile.ZIP_DEFLATED),
            ([both[0], ("dna.safetensors", b"\0" * 10**7)], zipfile.ZIP_DEFLATED),
            ([("dna.json", b" " * 2**21), both[1]], zipfile.ZIP_STORED),
            ([("dna.json", b"[" * 2**19), both[1]], zipfile.ZIP_STORED),
        ]
    ):
        with pytest.raises(ValueError, match=r"is damaged or of another version"):
            read_dna(zip_of(tmp_path / f"{i}.zip", members, how))
    for raw in (b"", b"PK\5\6" + b"\0" * 18, b"\x80\x04cos\nsystem\n", both[1][1]):
        (tmp_path / "no.zip").write_bytes(raw)
        with pytest.raises(ValueError, match=r"is damaged or of another version"):
            read_dna(tmp_path / "no.zip")
    assert not (tmp_path.parent / "evil").exists()


def test_a_file_that_seals_nonsense_is_refused(verifier: Verifier, tmp_path: Path) -> None:
    from mgmp_jax.seal import seal

    write_dna(tmp_path, verifier, created=CREATED)
    path = tmp_path / "dna.json"
    about = json.loads(path.read_bytes())
    del about["sha256"]
    path.write_bytes(seal(about))
    read_dna(tmp_path)
    for changes in (
        {"format": "other"},
        {"format": 3},
        {"methods": None},
        {"methods": [{}]},
        {"methods": [{"fragments": about["methods"][0]["fragments"]}]},
        {"verifier": {}},
        {"library": 3},
        {"methods": [about["methods"][1]]},
        {"query_sets": [{}]},
        {"tensors": []},
        {"created": None},
        {"created": "now"},
    ):
        path.write_bytes(seal({**about, **changes}))
        with pytest.raises(ValueError, match=r"is damaged or of another version"):
            read_dna(tmp_path)
    for name in about:
        path.write_bytes(seal({key: value for key, value in about.items() if key != name}))
        with pytest.raises(ValueError, match=r"is damaged or of another version"):
            read_dna(tmp_path)


def test_there_is_none_where_there_is_none(verifier: Verifier, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a.zip"):
        with pytest.raises(FileNotFoundError, match=r"no DNA at"):
            read_dna(path)
    write_dna(tmp_path, verifier, created=CREATED)
    (tmp_path / "dna.safetensors").unlink()
    with pytest.raises(ValueError, match=r"dna.safetensors is missing"):
        read_dna(tmp_path)
