"""The report as one self-contained page: the answer, then its parts in the order in which they are read."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.records import Report
from analysis.report.answer import answer
from analysis.report.chance import chance_section
from analysis.report.contents import in_order, short_name
from analysis.report.drawing import Figure
from analysis.report.effects import effects_section
from analysis.report.provenance import provenance_rows
from analysis.report.remarks import remarks
from analysis.report.section import Section
from analysis.report.verdicttable import verdict_table
from analysis.words import SIGNS

_PART_OF = {
    "forest": "deltas",
    "seeds": "runs",
    "class-recall": "classes",
    "over-prediction": "classes",
    "interactions": "effects",
    "variance": "chance",
    "more-seeds": "chance",
}
"""The part that each figure stands in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One stretch of the page, below a heading of its own."""

    key: str
    """Its anchor."""
    title: str
    template: str
    """File that draws its content."""
    content: object

    @property
    def short(self) -> str:
        """What the contents call it."""
        return short_name(self.key, self.title)


def render_html(report: Report, figures: Sequence[Figure], sections: Sequence[Section] = ()) -> str:
    """The page as text: no network, no clock, and no script but the one that sorts tables.

    Without scripts it reads the same. The same report gives the same bytes.
    """
    environment = Environment(
        loader=PackageLoader("analysis.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"breakable": _breakable, "signed": _signed, "inline": _inline}
    return environment.get_template("page.html.j2").render(
        name=report.name,
        question=report.question,
        answer=answer(report),
        parts=in_order([*_parts(report, figures, sections)]),
    )


def _parts(report: Report, figures: Sequence[Figure], sections: Sequence[Section]) -> Iterator[Part]:
    """Every part that the report can fill, in no order."""
    table = verdict_table(report)
    yield Part(key="verdicts", title=table.title, template="verdicts.html.j2", content=table)
    for section in (*_core(report, figures), *sections):
        yield Part(key=section.key, title=section.title, template="section.html.j2", content=section)
    if noted := remarks(report):
        yield Part(key="remarks", title="To be known", template="remarks.html.j2", content=noted)
    if rows := provenance_rows(report.provenance):
        yield Part(key="provenance", title="How it was made", template="provenance.html.j2", content=rows)


def _core(report: Report, figures: Sequence[Figure]) -> Iterator[Section]:
    """The figures, each group in its part, with the words and tables of effects and chance."""
    grouped: dict[str, list[Figure]] = {}
    for figure in figures:
        grouped.setdefault(_PART_OF.get(figure.name, figure.name), []).append(figure)
    yield chance_section(report, grouped.pop("chance", ()))
    if section := effects_section(report, grouped.pop("effects", ())):
        yield section
    for key, group in grouped.items():
        yield Section(key=key, title=group[0].title, figures=tuple(group))


def _inline(figure: Figure) -> Markup:
    return Markup(figure.inline())


def _breakable(text: str) -> Markup:
    """The text, in which an arm's name may break before each further lever; a signed number may not."""
    return Markup("<wbr>").join(re.split(r"(?<=\w)(?=\+)", text))


def _signed(sentence: str) -> Markup:
    """A list's item; one that begins with a verdict's sign has that verdict's colour on it."""
    for verdict, sign in SIGNS.items():
        if sentence.startswith(f"{sign} "):
            said = _breakable(sentence.removeprefix(sign).lstrip())
            return Markup('<li class="{}"><span class="verdict">{}</span> {}</li>').format(verdict, sign, said)
    return Markup("<li>{}</li>").format(_breakable(sentence))
