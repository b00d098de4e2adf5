"""Signatures of folders and files, which anybody checks with OpenSSF's ``model_signing``."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mgmp_jax import files

__all__ = ["check_signature", "sign", "signature_of"]


def sign(
    path: str | Path,
    private_key: str | Path,
    *,
    signature: str | Path | None = None,
    certificate: str | Path | None = None,
    chain: Sequence[str | Path] = (),
    password: str | None = None,
) -> Path:
    """Signs a file, or all files of a folder. Nobody is asked anything: no network is used.

    ``model_signing verify key PATH --signature SIGNATURE --public_key KEY`` checks it.

    Args:
        path: of the file or the folder.
        private_key: PEM file of an elliptic-curve key (P-256, 384 or 521).
        signature: where to write it; by default beside what is signed, as ``PATH.sig``.
        certificate: PEM file of a certificate of the key, which goes into the signature.
        chain: PEM files of the certificates between this one and a root.
        password: of the private key, where it has one and no certificate is given.

    Returns:
        The path of the signature.

    Raises:
        FileNotFoundError: there is no such file, folder, key or certificate.
        ValueError: the key or a certificate cannot be read or do not belong together, a password
            and a certificate are given, or the folder is empty or has symbolic links.
        ImportError: ``model_signing`` is not installed.
        OSError: the signature cannot be written, or another file is there.
    """
    if certificate is not None and password is not None:
        raise ValueError("a key with a certificate must have no password; decrypt the key first")
    path, beside = _resolve(path, signature)
    signing, hashing = _import("signing"), _import("hashing")
    for file in (private_key, *([certificate] if certificate else []), *chain):
        _check_there(file)
    config = signing.Config()
    try:
        if certificate is None:
            secret: Any = None if password is None else password.encode()
            config.use_elliptic_key_signer(private_key=private_key, password=secret)
        else:
            config.use_certificate_signer(
                private_key=private_key,
                signing_certificate=certificate,
                certificate_chain=chain or [certificate],  # it refuses an empty one
            )
    except Exception as error:  # every library below has its own
        raise ValueError(
            f"cannot sign with {private_key}{f' and {certificate}' if certificate else ''}: "
            f"expected PEM of an elliptic-curve P-256 key and its own certificate ({error})"
        ) from error
    config.set_hashing_config(_hashing(hashing, path, beside))
    if not any(file.is_file() and file != beside for file in (path, *path.rglob("*"))):
        raise ValueError(f"{path} has no files to sign")
    if beside.exists() and not _is_signature(beside):
        raise FileExistsError(f"{beside} is there and is no signature; choose another place")
    with files.replacing(beside) as unfinished:
        try:
            config.sign(path, unfinished)
        except ValueError as error:
            raise ValueError(f"{path} cannot be signed: {error}") from error
    return beside


def check_signature(
    path: str | Path,
    *,
    public_key: str | Path | None = None,
    chain: Sequence[str | Path] = (),
    signature: str | Path | None = None,
) -> None:
    """Checks that a file, or every file of a folder, is what was signed, and nothing was added.

    A certificate is checked as of the first day that it was valid: it may have expired since. Git's
    own files count like any others, as long as the signature does not say otherwise.

    Args:
        path: of the file or the folder.
        public_key: PEM file of the signer's public key; or
        chain: PEM files of the certificates that are trusted, the root among them.
        signature: by default ``PATH.sig``.

    Raises:
        FileNotFoundError: there is no such file, folder, key, certificate or signature.
        ValueError: a file was changed, added or removed; the signature is by another key, or
            damaged; or the key cannot be read. The message says which.
        ImportError: ``model_signing`` is not installed.
    """
    if (public_key is None) == (not chain):
        raise ValueError("give either the signer's public key or a chain of trusted certificates")
    path, beside = _resolve(path, signature)
    verifying, hashing = _import("verifying"), _import("hashing")
    for file in [public_key] if public_key else chain:
        _check_there(file)
    if not beside.is_file():
        raise FileNotFoundError(
            f"no signature at {beside}: {path} is not signed, or its signature is elsewhere"
        )
    config = verifying.Config()
    try:
        if public_key is not None:
            config.use_elliptic_key_verifier(public_key=public_key)
        else:
            config.use_certificate_verifier(certificate_chain=chain)
    except Exception as error:  # every library below has its own
        raise ValueError(
            f"{public_key or ', '.join(map(str, chain))} cannot be read: expected PEM of an "
            f"elliptic-curve public key, or of certificates ({error})"
        ) from error
    config.set_hashing_config(_hashing(hashing, path, beside))
    try:
        config.verify(path, beside)
    except Exception as error:  # every library below has its own
        if str(error).startswith("Signature mismatch: "):
            raise ValueError(f"{path} is not what was signed: {_differences(error)}") from error
        raise ValueError(
            f"the signature {beside} is not by the given key, or is damaged: "
            f"{str(error) or type(error).__name__}"
        ) from error


def signature_of(path: str | Path) -> Path:
    """Gives the path at which a signature lies by default, ``PATH.sig``."""
    whole = Path(path).resolve()
    return whole.with_name(f"{whole.name}.sig")


def _resolve(path: str | Path, signature: str | Path | None) -> tuple[Path, Path]:
    """The whole path of what is signed, and that of its signature."""
    whole = Path(path).resolve()
    _check_there(whole)
    beside = signature_of(whole) if signature is None else Path(signature)
    return whole, beside.resolve()


def _is_signature(path: Path) -> bool:
    """Says whether a file is a signature, which another may take the place of."""
    try:
        return "mediaType" in files.read_json(path)
    except (ValueError, TypeError, OSError):
        return False


def _check_there(path: str | Path) -> None:
    if not Path(path).exists():
        raise FileNotFoundError(f"no file or folder {path}")


def _hashing(hashing: Any, path: Path, signature: Path) -> Any:
    """All files count, Git's too, but for a signature that lies among them."""
    inside = [signature.relative_to(path)] if path in signature.parents else []
    return hashing.Config().set_ignored_paths(paths=inside, ignore_git_paths=False)


def _differences(error: Exception) -> str:
    """What was changed, added or removed, without the digests."""
    text = str(error).removeprefix("Signature mismatch: ")
    return "; ".join(line.partition(": Expected ")[0] for line in ast.literal_eval(text))


def _import(module: str) -> Any:
    try:
        return importlib.import_module(f"model_signing.{module}")
    except ImportError as error:
        raise ImportError(
            f"signing needs {error.name or 'model_signing'}: pip install 'mgmp_jax[signing]'"
        ) from error
