"""Pages of HTML: nothing from data becomes markup, nothing is asked from elsewhere, and what is written is whole."""

import re
from html.parser import HTMLParser
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sksurv_mmf.pages import Figure, Section, Table, Text, render, write_page
from sksurv_mmf.pages._cells import write_estimate, write_interval

EVIL = "<script>alert('&\"')</script>"


class Reader(HTMLParser):
    """Tags with their attributes, and the text outside of the style."""

    VOID = {"meta", "img"}

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            self.texts.append(data.strip())


def picture(**options):
    figure, ax = plt.subplots(figsize=(2, 1), **options)
    ax.plot([0, 1], [1, 0])
    return figure


def frame(*cells, index=("row",), columns=None):
    return pd.DataFrame([cells] * len(index), list(index), columns or [f"c{i}" for i in range(len(cells))])


@pytest.fixture
def page():
    """A page on which everything that data may hold is hostile."""
    table = pd.DataFrame({EVIL: [EVIL]}, pd.Index([EVIL], name=EVIL))
    parts = [Text(EVIL), Text(EVIL, "note"), Table(table, EVIL), Figure(picture(), EVIL, EVIL), Section(EVIL, [])]
    return render(EVIL, [Section(EVIL, parts), Section("Second", [])])


def test_what_data_hold_is_text_and_never_markup(page):
    reader = Reader(page)
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script"})
    assert "<script" not in page
    assert sum(EVIL in text for text in reader.texts) == 14  # title, contents, headings, texts, captions, cells
    (image,) = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert image["alt"] == EVIL


def test_every_tag_is_closed_and_every_link_has_a_target(page):
    reader = Reader(page)
    assert reader.open == []
    targets = {attrs.get("id") for _, attrs in reader.tags}
    links = {attrs["href"].removeprefix("#") for tag, attrs in reader.tags if tag == "a"}
    assert links == {"section-1", "section-1.1", "section-2"}
    assert links <= targets


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_page_needs_nothing_but_itself(kind):
    page = render("Study", [Figure(picture(), "Caption.", "Alt", kind)])
    assert not re.search(r"https?:|//|url\(|@import|<link", re.sub(r"base64,[\w+/=]+", "", page))
    assert "default-src 'none'" in page


def test_a_picture_comes_out_the_same_and_pyplot_forgets_it():
    pages = [render("Study", [Figure(picture(), "Caption.", "Alt", "svg")]) for _ in range(2)]
    assert pages[0] == pages[1]
    assert plt.get_fignums() == []


def test_tables_and_figures_are_counted_through_all_sections():
    parts = [Table(frame(1), "One."), Figure(picture(), "A.", "a"), Section("Within", [Table(frame(1), "Two.")])]
    texts = Reader(render("Study", [Section("First", parts), Section("Then", [Table(frame(1), "Three.")])])).texts
    numbered = [text for text in texts if re.match(r"(Table|Figure|\d)", text)]
    contents = ["1 First", "1.1 Within", "2 Then"]
    numbers = ["1 First", "Table 1.", "Figure 1.", "1.1 Within", "Table 2.", "2 Then", "Table 3."]
    assert numbered[:3] == contents
    assert [text for text in numbered[3:] if text != "1"] == numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (-1.5, "\N{MINUS SIGN}1.500"),
        (-0.0001, "0.000"),
        (np.float32(2), "2.000"),
        (7, "7"),
        (np.int64(-7), "\N{MINUS SIGN}7"),
        (True, "True"),
        (np.nan, "\N{EN DASH}"),
        (None, "\N{EN DASH}"),
        (pd.NA, "\N{EN DASH}"),
        (np.inf, "inf"),
        ("0.5", "0.5"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_cells(value, text):
    cells = pd.DataFrame({"value": pd.Series([value], ["row"], dtype=object)})
    assert text in Reader(render("Study", [Table(cells, "Caption.")])).texts


def test_digits_are_of_all_columns_or_of_one():
    values = frame(0.123456, 0.123456, columns=["a", "b"])
    assert Reader(render("Study", [Table(values, "Caption.", digits=1)])).texts.count("0.1") == 2
    texts = Reader(render("Study", [Table(values, "Caption.", digits={"b": 5})])).texts
    assert texts[-2:] == ["0.123", "0.12346"]


def test_levels_of_index_and_columns_are_shown():
    index = pd.MultiIndex.from_tuples([("age", "mean"), ("age", "sd")], names=["variable", "statistic"])
    table = pd.DataFrame(1, index, pd.MultiIndex.from_tuples([("events", "n"), ("events", "")]))
    texts = Reader(render("Study", [Table(table, "Caption.")])).texts
    assert texts[texts.index("variable") :][:6] == ["variable", "statistic", "events, n", "events", "age", "mean"]


def test_words_stand_left_and_numbers_right():
    page = render("Study", [Table(frame(0.5, "word", "0.5 (0.4 to 0.6)"), "Caption.")])
    assert '<td>0.500</td><td class="text">word</td><td>0.5 (0.4 to 0.6)</td>' in page


def test_empty_lines_separate_paragraphs():
    assert "<p>One\nline.</p>\n<p>Two.</p>" in render("Study", [Text("One\nline.\n \n\nTwo.\n")])


def test_what_the_authors_have_to_write_is_marked():
    theirs = Text("Say who paid.", "authors")
    assert '<div class="authors">' in render("Study", [theirs])
    page = render("Study", [Table(frame(theirs, Text("Nobody."), columns=["a", "b"]), "Caption.")])
    assert '<td class="text authors">Say who paid.</td><td class="text">Nobody.</td>' in page


def test_code_keeps_its_lines_and_is_no_markup():
    assert "a = &lt;b&gt;\n\n    c</pre>" in render("Study", [Text("a = <b>\n\n    c", "code")])


def test_pictures_have_the_size_of_the_figure():
    assert 'width="192"' in render("Study", [Figure(picture(), "Caption.", "Alt")])  # 2 inches of 96 pixels


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: render("Study", ["text"]), TypeError, "Section, Text, Table and Figure, got str"),
        (lambda: Table(pd.Series([1.0]), "Caption."), TypeError, r"got Series\. Use to_frame"),
        (lambda: Figure(picture().axes[0], "Caption.", "Alt"), TypeError, r"got Axes\. Axes have theirs as ax\.figure"),
        (lambda: Figure(picture(), "Caption.", "Alt", "pdf"), ValueError, "'png' or 'svg', got 'pdf'"),
        (lambda: Text("text", "loud"), ValueError, "'text', 'note', 'code', 'authors', got 'loud'"),
    ],
)
def test_what_is_no_part_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


class TestWriting:
    SECTIONS = [Section("Patients", [Text("300.")])]

    def test_the_page_is_what_render_returns(self, tmp_path):
        path = write_page(tmp_path / "study.html", "Study", self.SECTIONS)
        assert path.read_text("utf-8") == render("Study", self.SECTIONS)
        assert [one.name for one in tmp_path.iterdir()] == ["study.html"]

    def test_a_page_is_replaced_only_if_told_so(self, tmp_path):
        path = write_page(tmp_path / "study.html", "First", self.SECTIONS)
        with pytest.raises(FileExistsError, match="choose another path"):
            write_page(path, "Second", self.SECTIONS)
        assert "First" in path.read_text("utf-8")
        write_page(path, "Second", self.SECTIONS, overwrite=True)
        assert "Second" in path.read_text("utf-8")

    def test_a_folder_that_is_not_there_is_said(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="Make it first"):
            write_page(tmp_path / "nowhere" / "study.html", "Study", self.SECTIONS)

    def test_figures_are_files_too(self, tmp_path):
        parts = [Figure(picture(), "A.", "a"), Section("Within", [Figure(picture(), "B.", "b", "svg")])]
        write_page(tmp_path / "study.html", "Study", parts, figures=tmp_path / "figures")
        files = sorted((tmp_path / "figures").iterdir())
        assert [file.name for file in files] == ["figure_1.png", "figure_2.svg"]
        assert [file.read_bytes()[:4] for file in files] == [b"\x89PNG", b"<?xm"]

    def test_figures_of_others_stay(self, tmp_path):
        (tmp_path / "figure_1.png").write_text("mine")
        parts = [Figure(picture(), "A.", "a")]
        with pytest.raises(FileExistsError, match=r"has 'figure_1\.png' already\. .* pass overwrite=True"):
            write_page(tmp_path / "study.html", "Study", parts, figures=tmp_path)
        assert [one.name for one in tmp_path.iterdir()] == ["figure_1.png"]
        assert (tmp_path / "figure_1.png").read_text() == "mine"
        write_page(tmp_path / "study.html", "Study", parts, figures=tmp_path, overwrite=True)
        assert (tmp_path / "figure_1.png").read_bytes()[:4] == b"\x89PNG"

    def test_names_that_are_no_text_are_written(self, tmp_path):
        name = b"P\xff1".decode("utf-8", "surrogateescape")
        path = write_page(tmp_path / "study.html", "Study", [Text(name)])
        assert r"P\udcff1" in path.read_text("utf-8")


def test_the_template_is_a_file_of_the_package():
    assert resources.files("sksurv_mmf.pages").joinpath("page.html").is_file()


def test_an_estimate_is_written_with_its_interval_or_as_a_dash():
    assert write_estimate(-0.5, -1.25, 0.25, 2) == "\N{MINUS SIGN}0.50 (\N{MINUS SIGN}1.25 to 0.25)"
    assert write_estimate(np.nan, 0.0, 1.0) == write_interval(np.nan, 1.0) == "\N{EN DASH}"
