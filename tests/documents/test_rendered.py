# SPDX-License-Identifier: GPL-2.0-only
"""The documents as HTML: make docs."""

import subprocess

from lab.paths import BUILD, ROOT

PAGES = BUILD / "docs"


def test_all_is_rendered():
    """Without a warning: a page for each document and manual page, and the pictures."""
    done = subprocess.run([ROOT / "scripts/build-docs"], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    index = (PAGES / "Documentation/index.html").read_text()
    for document in (ROOT / "Documentation").rglob("*.rst"):
        name = document.relative_to(ROOT / "Documentation").with_suffix(".html")
        assert (PAGES / "Documentation" / name).is_file()
        assert f'href="{name}"' in index or name.stem == "index", name
    for manual in (ROOT / "Documentation/man").iterdir():
        assert (PAGES / "man" / f"{manual.name}.html").is_file()
        assert f'href="../man/{manual.name}.html"' in index
    pictures = list((ROOT / "Documentation/diagrams").glob("*.dot"))
    assert len(list((PAGES / "_images").glob("graphviz-*.svg"))) == len(pictures)
