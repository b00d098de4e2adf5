import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.methods import EXTENDED, MGMP
from mgmp_jax.signing import check_signature, sign
from mgmp_jax.verifier import Verifier
from tests.families import Family

pytest.importorskip("model_signing", reason="pip install 'mgmp_jax[signing]'")
x509 = pytest.importorskip("cryptography.x509", reason="pip install 'mgmp_jax[signing]'")

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: E402


def write_keys(
    folder: Path, name: str, password: bytes | None = None
) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    how = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / f"{name}.pem").write_bytes(key.private_bytes(pem, form, how))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return key


def write_certificate(folder: Path, name: str, key, issuer: str, issuer_key) -> None:
    now, root = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), name == issuer
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in (name, issuer)]
    made = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=root, crl_sign=root, **usage),
            critical=True,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    mine = write_keys(folder, "mine")
    write_keys(folder, "other")
    write_keys(folder, "locked", b"secret")
    for root in ("root", "stranger"):
        key = write_keys(folder, root)
        write_certificate(folder, root, key, root, key)
        if root == "root":
            write_certificate(folder, "leaf", mine, root, key)
    return folder


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    folder = tmp_path / "dna"
    (folder / "below").mkdir(parents=True)
    (folder / "a.json").write_text("{}")
    (folder / "below" / "b.bin").write_bytes(bytes(range(256)))
    return folder


def by_command(*line: object) -> subprocess.CompletedProcess[str]:
    """The official command line of the other project."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "model_signing", *map(str, line)],
        capture_output=True,
        text=True,
    )


def test_the_official_command_verifies_and_refuses_a_changed_byte(keys: Path, signed: Path) -> None:
    signature = sign(signed, keys / "mine.pem")
    assert signature == signed.with_name("dna.sig") and signature.is_file()
    assert sorted(p.name for p in signed.parent.iterdir()) == ["dna", "dna.sig"]
    line = ("verify", "key", signed, "--signature", signature, "--public_key", keys / "mine.pub")
    done = by_command(*line)
    assert done.returncode == 0 and "Verification succeeded" in done.stdout, done.stderr
    check_signature(signed, public_key=keys / "mine.pub")
    (signed / "below" / "b.bin").write_bytes(bytes([1, *range(1, 256)]))
    done = by_command(*line)
    assert done.returncode == 1 and "Signature mismatch" in done.stderr
    assert "below/b.bin" in done.stderr


def test_what_the_official_command_signed_is_checked(keys: Path, signed: Path) -> None:
    signature = signed / "model.sig"
    done = by_command("sign", "key", signed, "--signature", signature, "--private_key",
                      keys / "mine.pem")  # fmt: skip
    assert done.returncode == 0, done.stderr
    check_signature(signed, public_key=keys / "mine.pub", signature=signature)


@pytest.mark.parametrize("inside", [False, True])
def test_whatever_changed_is_named(keys: Path, signed: Path, inside: bool) -> None:
    where = signed / "mine.sig" if inside else None
    sign(signed, keys / "mine.pem", signature=where)
    sign(signed, keys / "mine.pem", signature=where)  # again, in its place

    def check() -> None:
        check_signature(signed, public_key=keys / "mine.pub", signature=where)

    check()
    (signed / "a.json").write_text("{ ")
    with pytest.raises(ValueError, match=r"is not what was signed: Hash mismatch for 'a.json'$"):
        check()
    (signed / "a.json").write_text("{}")
    for extra in (".gitignore", "below/c", ".hidden"):
        (signed / extra).write_text("x")
        with pytest.raises(ValueError, match=r"not what was signed: .*Extra files .*" + extra):
            check()
        (signed / extra).unlink()
    check()
    (signed / "below" / "b.bin").unlink()
    with pytest.raises(ValueError, match=r"not what was signed: .*Missing files .*b.bin"):
        check()


def test_one_file_is_signed_too(keys: Path, signed: Path) -> None:
    path = signed / "a.json"
    signature = sign(path, keys / "mine.pem")
    assert signature == signed / "a.json.sig"
    check_signature(path, public_key=keys / "mine.pub")
    done = by_command("verify", "key", path, "--signature", signature, "--public_key",
                      keys / "mine.pub")  # fmt: skip
    assert done.returncode == 0, done.stderr
    path.write_text("{ }")
    with pytest.raises(ValueError, match=r"a.json is not what was signed"):
        check_signature(path, public_key=keys / "mine.pub")


def test_a_certificate_signs(keys: Path, signed: Path) -> None:
    signature = sign(signed, keys / "mine.pem", certificate=keys / "leaf.crt")
    check_signature(signed, chain=[keys / "root.crt"])
    done = by_command("verify", "certificate", signed, "--signature", signature,
                      "--certificate_chain", keys / "root.crt")  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pytest.raises(ValueError, match=r"is not by the given key, or is damaged"):
        check_signature(signed, chain=[keys / "stranger.crt"])
    with pytest.raises(ValueError, match=r"cannot sign with .*other.pem and .*leaf.crt"):
        sign(signed, keys / "other.pem", certificate=keys / "leaf.crt")
    with pytest.raises(ValueError, match=r"mine.pub cannot be read: expected PEM"):
        check_signature(signed, chain=[keys / "mine.pub"])


def test_another_key_is_refused(keys: Path, signed: Path) -> None:
    sign(signed, keys / "mine.pem")
    with pytest.raises(ValueError, match=r"dna.sig is not by the given key, or is damaged: .*key"):
        check_signature(signed, public_key=keys / "other.pub")
    with pytest.raises(ValueError, match=r"either the signer's public key or a chain"):
        check_signature(signed)
    with pytest.raises(ValueError, match=r"must have no password"):
        sign(signed, keys / "mine.pem", certificate=keys / "leaf.crt", password="x")


def test_keys_that_cannot_be_read_are_named(keys: Path, signed: Path, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    (tmp_path / "rsa.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (tmp_path / "junk.pem").write_bytes(b"\x80\x04junk")
    for wrong in (tmp_path / "rsa.pem", tmp_path / "junk.pem", keys / "mine.pub"):
        with pytest.raises(ValueError, match=r"cannot sign with .*expected PEM of an elliptic"):
            sign(signed, wrong)
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*none.pem"):
        sign(signed, tmp_path / "none.pem")
    with pytest.raises(ValueError, match=r"cannot sign with .*locked.pem"):
        sign(signed, keys / "locked.pem")
    assert not signed.with_name("dna.sig").exists()
    sign(signed, keys / "locked.pem", password="secret")
    check_signature(signed, public_key=keys / "locked.pub")
    for wrong in (tmp_path / "junk.pem", keys / "mine.pem"):
        with pytest.raises(ValueError, match=r"cannot be read: expected PEM of an elliptic"):
            check_signature(signed, public_key=wrong)


def test_what_cannot_be_signed_is_refused(keys: Path, signed: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder"):
        sign(tmp_path / "none", keys / "mine.pem")
    with pytest.raises(FileNotFoundError, match=r"no signature at .*dna.sig"):
        check_signature(signed, public_key=keys / "mine.pub")
    before = (keys / "mine.pem").read_bytes()
    with pytest.raises(FileExistsError, match=r"mine.pem is there and is no signature"):
        sign(signed, keys / "mine.pem", signature=keys / "mine.pem")
    assert (keys / "mine.pem").read_bytes() == before
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"has no files to sign"):
        sign(tmp_path / "empty", keys / "mine.pem")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_not_followed(keys: Path, signed: Path) -> None:
    (signed / "link").symlink_to(keys / "mine.pub")
    with pytest.raises(ValueError, match=r"cannot be signed: .*symlink"):
        sign(signed, keys / "mine.pem")


def test_a_damaged_signature_never_passes(keys: Path, signed: Path) -> None:
    path, rng = sign(signed, keys / "mine.pem"), np.random.default_rng(0)
    raw = path.read_bytes()
    bundle = json.loads(raw)["dsseEnvelope"]
    payload = raw.index(bundle["payload"].encode())
    places = [*rng.integers(payload, payload + len(bundle["payload"]), 40)]
    signature = raw.index(bundle["signatures"][0]["sig"].encode())
    places += [*rng.integers(signature, signature + 90, 40)]
    for place in places:
        damaged = bytearray(raw)
        damaged[place] = ord("A") if damaged[place] != ord("A") else ord("B")
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"is not by the given key, or is damaged"):
            check_signature(signed, public_key=keys / "mine.pub")
    for other in (b"", b"{}", b"[]", raw[:100], b"\xff"):
        path.write_bytes(other)
        with pytest.raises(ValueError, match=r"is not by the given key, or is damaged"):
            check_signature(signed, public_key=keys / "mine.pub")


def test_a_signed_verifier_loads_as_before(keys: Path, tmp_path: Path) -> None:
    made = Verifier.fit(Family(80).references(2), [MGMP(EXTENDED.replace(epochs=1))])
    made.save(tmp_path / "v")
    sign(tmp_path / "v", keys / "mine.pem", signature=tmp_path / "v" / "verifier.sig")
    assert Verifier.load(tmp_path / "v").digest == made.digest
    check_signature(
        tmp_path / "v", public_key=keys / "mine.pub", signature=tmp_path / "v" / "verifier.sig"
    )


def test_without_the_package_it_says_what_to_install(
    signed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(ImportError, match=r"pip install 'mgmp_jax\[signing\]'"):
        sign(signed, keys / "mine.pem")
