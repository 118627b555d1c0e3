"""Sections become one page of HTML, which needs nothing but itself."""

import base64
import io
import re
import sys
from importlib import resources
from itertools import count
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from ..files._writing import check_target, make_folder, writing, writing_into
from ..utils._validation import shorten
from ._cells import DASH, heads_and_rows
from ._parts import Figure, Section, Table, Text

MIME = {"png": "image/png", "svg": "image/svg+xml"}
FIGURE = re.compile(r"figure_\d+\.(png|svg)")
DPI = 180
PIXELS_PER_INCH = 96  # of CSS, so that letters of a figure have the size that they were given


def render(title, sections):
    """Make a page of HTML with numbered sections, tables and figures and a table of contents.

    Whatever comes from data is escaped. The page has its style and its pictures in it, asks for nothing from elsewhere,
    and allows no script.

    Parameters
    ----------
    title : str
        Title of the page.
    sections : sequence of Section, Text, Table and Figure
        What is on it, in order.

    Returns
    -------
    str
        The page.

    Raises
    ------
    TypeError
        If something in `sections` is none of these.

    Examples
    --------
    >>> from sksurv_mmf.pages import Section, Text, render
    >>> page = render("A study", [Section("Patients", [Text("300 patients were treated at three hospitals.")])])
    >>> "<title>A study</title>" in page
    True
    """
    return _fill(title, list(_views(sections)))


def write_page(path, title, sections, *, figures=None, overwrite=False):
    """Write a page of HTML, and if wanted its figures as files of their own.

    Parameters
    ----------
    path : str or path-like
        File to write.
    title : str
        Title of the page.
    sections : sequence of Section, Text, Table and Figure
        What is on it, in order.
    figures : str or path-like, default=None
        Folder for the figures as files, ``figure_1.png`` and so on, which is made if it is not there. The page does
        not need them.
    overwrite : bool, default=False
        Whether to replace files of these names.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    FileExistsError
        If a file is there that must not be replaced, or the folder has figures of an earlier page.
    FileNotFoundError
        If the folder of `path` does not exist.
    TypeError
        If something in `sections` is no part of a page.

    Examples
    --------
    >>> import tempfile
    >>> from sksurv_mmf.pages import Section, Text, write_page
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_page(f"{folder}/study.html", "A study", [Section("Patients", [Text("300 patients.")])]).name
    'study.html'
    """
    path = Path(path)
    check_target(path, overwrite)
    check_figures(figures, overwrite)
    views = list(_views(sections))
    text = _fill(title, views)
    if figures is not None:
        _write_figures(Path(figures), views, overwrite)
    with writing(path, overwrite=overwrite) as unfinished:
        # Names of files may hold bytes that are no text, which UTF-8 has no place for.
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def _fill(title, views):
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
    return template.render(title=title, views=views)


def _views(parts, number="", counters=None):
    """Yield what the template shows of each part: a dict with its "kind", its number, and texts."""
    counters = counters or {"table": count(1), "figure": count(1)}
    sections = count(1)
    for part in parts:
        if isinstance(part, Section):
            own = f"{number}{next(sections)}"
            within = list(_views(part.parts, f"{own}.", counters))
            yield {"kind": "section", "number": own, "title": part.title, "views": within}
        elif isinstance(part, Text):
            paragraphs = [one.strip() for one in re.split(r"\n\s*\n", part.text) if one.strip()]
            yield {"kind": part.kind, "text": part.text, "paragraphs": paragraphs}
        elif isinstance(part, Table):
            heads, columns, rows = heads_and_rows(part)
            has_dash = any(text == DASH for _, cells in rows for text, _ in cells)
            shown = {"heads": heads, "columns": columns, "rows": rows, "caption": part.caption}
            shown["note"] = f"{DASH} {part.dash}" if has_dash else ""
            yield {"kind": "table", "number": next(counters["table"])} | shown
        elif isinstance(part, Figure):
            content = _draw(part)
            source = f"data:{MIME[part.format]};base64,{base64.b64encode(content).decode('ascii')}"
            width = round(PIXELS_PER_INCH * part.figure.get_figwidth())
            shown = {"caption": part.caption, "alt": part.alt, "source": source, "width": width}
            yield {
                "kind": "figure",
                "number": next(counters["figure"]),
                "content": content,
                "format": part.format,
            } | shown
        else:
            raise TypeError(f"A page is made of Section, Text, Table and Figure, got {type(part).__name__}.")


def _draw(part):
    """The picture as bytes, which are the same each time."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "sksurv_mmf"}):
        metadata = {"Date": None} if part.format == "svg" else None
        part.figure.savefig(buffer, format=part.format, dpi=DPI, metadata=metadata)
    # A figure that pyplot has made is kept by it until it is closed.
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(part.figure)
    return buffer.getvalue()


def check_figures(folder, overwrite):
    """Refuse a folder with figures of an earlier page, before the work of making the new ones."""
    if folder is None or overwrite:
        return
    earlier = sorted(one.name for one in Path(folder).glob("figure_*") if FIGURE.fullmatch(one.name))
    if earlier:
        raise FileExistsError(
            f"The folder {str(folder)!r} has {shorten(earlier)} already. Choose another folder for figures, or pass "
            "overwrite=True to replace files of the same names."
        )


def _write_figures(folder, views, overwrite):
    files = {f"figure_{view['number']}.{view['format']}": view["content"] for view in _figures(views)}
    make_folder(folder)
    with writing_into(folder, replaced=[folder / name for name in files] if overwrite else ()) as made:
        for name, content in files.items():
            (made / name).write_bytes(content)


def _figures(views):
    for view in views:
        if view["kind"] == "section":
            yield from _figures(view["views"])
        elif view["kind"] == "figure":
            yield view
