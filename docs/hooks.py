"""Puts committed results and schemas, which lie outside this folder, on the site."""

from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
FOLDERS = ("experiments/results", "mgmp_jax/statements")


def on_files(files: Files, config) -> Files:
    """Adds results, their pictures, and schemas."""
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")):
        if path.suffix in (".json", ".png"):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    """Makes links that lead from docs/ to the repository's root lead to the site's root."""
    depth = page.file.src_uri.count("/")
    for folder in FOLDERS:
        markdown = markdown.replace(f"{'../' * (depth + 1)}{folder}", f"{'../' * depth}{folder}")
    return markdown
