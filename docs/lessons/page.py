"""A lesson's page: what it claims, and whether that is true.

The examples of a page are doctests. They leave variables, and everything else that a page says is said of those:

    `dx[0]` = 1/9, 4/9, -8/9, 1/3      anywhere; `;` begins the next row. Fractions are exact, decimals to their digits
    | `dx` | 1/9, 4/9 | 3/2, -3/2 |    a row of a table under "On paper": one cell for each row of the value
    | `dx` = 1 | `dx = dout` | why |   a row under "If you get something else": what the second cell's code leaves
    > `formula`                        is in a docstring of the textbook or of the gradient check
    ```python                          a fence that begins with the comment `# npcaption/...py`: verbatim in that file

A page that says "eps is left out" has its fractions to 2e-5: the textbook's layernorm adds 1e-5 to the variance.
"""
import doctest
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

LESSONS = Path(__file__).resolve().parent
ROOT = LESSONS.parents[1]
HEADINGS = ["What it does", "On paper", None, "In code", "If you get something else", "How we know",
            "What the kernel does differently"]              # None: the one step, named after what it is
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
NUMBER = r"[-−]?\d+(?:\.\d+)?(?:/\d+)?"
NUMBERS = rf"{NUMBER}(?:[,;]\s{NUMBER})*"
CLAIM = re.compile(rf"`([^`]+)`\s=\s({NUMBERS})")


class Claim(NamedTuple):
    """A value and the numbers that the page gives for it; code, if any, runs before, on a copy of the variables."""
    expression: str
    numbers: str                # or the name of an exception
    code: str = ""

    def error(self, variables, eps_is_left_out=False):
        """The claim's error, or None. Code must change the page's own value."""
        after = dict(variables)
        if self.code and self.expression != "0":
            try:
                right = np.asarray(eval(self.expression, dict(variables)), float)
            except NameError as error:
                return f"{self}: the page's examples do not compute the right one: {error}"
            if agrees(right, self.numbers, eps_is_left_out):
                return f"{self}: this is the right value, which nobody looks up"
        try:
            exec(self.code, after)
            value = np.asarray(eval(self.expression, after), float)
        except Exception as error:
            return None if type(error).__name__ == self.numbers else f"{self}: {type(error).__name__}: {error}"
        if not agrees(value, self.numbers, eps_is_left_out):
            return f"{self}: it is {value.tolist()}"


class Page:
    def __init__(self, path):
        self.path = Path(path)
        self.name = self.path.stem
        self.text = self.path.read_text()
        self.prose = FENCE.sub("", self.text)

    def title(self):
        return re.match(r"# (?:\w+\. )?(.+)", self.text)[1]

    def minutes(self):
        """(to read, to write or None, the exercise's name or None), as said above the first heading"""
        above = " ".join(self.prose.partition("\n## ")[0].split())
        read, write = re.search(r"Reading (\d+) minutes(?:, exercises? (\d+))?", above).groups()
        name = re.search(r"npcaption\.exercises (?:start (\w+)|(train))", above)
        return int(read), write and int(write), name and (name[1] or name[2])

    def headings(self):
        return re.findall(r"^## (.+)$", self.prose, re.M)

    def section(self, heading):
        """The prose under a heading"""
        return self.prose.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]

    def run(self):
        """-> (number of examples, number that failed, the variables that they leave). Failures are printed."""
        text = "\n".join(body for _, body in FENCE.findall(self.text) if ">>>" in body)
        test = doctest.DocTestParser().get_doctest(text, {}, self.name, str(self.path), 0)
        runner = doctest.DocTestRunner(verbose=False)
        runner.run(test, clear_globs=False)
        return len(test.examples), runner.failures, test.globs

    def covers(self):
        """The pairs that the page is about: X of X_forward and X_backward"""
        named = re.search(r"Covers\s+((?:`\w+`(?:,\s+|\s+and\s+)?)+)", self.prose)
        return re.findall(r"`(\w+)`", named[1]) if named else []

    def quotations(self):
        """[(file, code)]"""
        found = [body.split("\n", 1) for _, body in FENCE.findall(self.text) if body.startswith("# npcaption/")]
        return [(ROOT / head.removeprefix("# "), code) for head, code in found]

    def formulas(self):
        return re.findall(r"^> `(.+)`$", self.prose, re.M)

    def claims(self):
        """All of the page's claims but those of mistakes()"""
        wrong, paper = self.section(HEADINGS[4]), self.section(HEADINGS[1])
        found = [Claim(*claim) for claim in CLAIM.findall(self.prose.replace(wrong, ""))]
        for name, *cells in rows(paper):
            if expression := re.match(r"`([^`]+)`", name):
                for number, cell in enumerate(cells):
                    index = f"[{number}]" if len(cells) > 1 else ""
                    found.append(Claim(f"({expression[1]}){index}", cell.replace("**", "")))
        return found

    def mistakes(self):
        """The claims of "If you get something else", one a row"""
        found = []
        for got, code, _ in rows(self.section(HEADINGS[4]))[1:]:
            claim = CLAIM.fullmatch(got)
            expression, numbers = claim.groups() if claim else ("0", got.strip("`"))
            found.append(Claim(expression, numbers, "\n".join(re.findall(r"`([^`]+)`", code))))
        return found

    def errors(self, variables):
        eps = "eps is left out" in self.prose
        return [error for claim in [*self.claims(), *self.mistakes()] if (error := claim.error(variables, eps))]

    def links(self):
        """[(target, anchor)] of every link and picture"""
        return [target.partition("#")[::2] for target in re.findall(r"\]\(([^)\s]+)\)", self.prose)
                if not target.startswith("http")]

    def anchors(self):
        """As GitHub makes them of headings"""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
                for heading in re.findall(r"^#+ (.+)$", self.prose, re.M)}

    def picture(self):
        return LESSONS / "pictures" / f"{self.name}.svg"


def rows(text):
    """The cells of every row of the tables of a text, without the rules under their heads"""
    lines = [line.strip().strip("|") for line in text.splitlines() if line.strip().startswith("|")]
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    return [cells for cells in found if not all(set(cell) <= set("-: ") and cell for cell in cells)]


def agrees(value, numbers, eps_is_left_out):
    """Whether a value is the numbers that a page gives: whole ones and fractions exactly, decimals to their digits.

    A single number stands for any number of entries.
    """
    if not re.fullmatch(NUMBERS, numbers):
        return False
    texts = [re.split(r",\s", row) for row in re.split(r";\s", numbers.replace("−", "-"))]
    if len(set(map(len, texts))) > 1:
        return False
    given = np.array([[float(Fraction(text)) for text in row] for row in texts])
    allowed = np.array([[0.5000001 * 10.0 ** -len(text.partition(".")[2]) if "." in text else 0 for text in row]
                        for row in texts])
    allowed = np.maximum(allowed, 2e-5 if eps_is_left_out else 1e-12)
    if given.size > 1:
        if given.size != value.size or len(given) > 1 and given.shape != value.shape:
            return False
        given, allowed = given.reshape(value.shape), allowed.reshape(value.shape)
    return bool((np.abs(value - given) <= allowed).all())


def pages():
    return [Page(path) for path in sorted(LESSONS.glob("*-*.md"))]


def variables_of(page):
    """Variables of the page's examples as attributes: page.x, page.dx"""
    return SimpleNamespace(**{name: value for name, value in page.run()[2].items() if not name.startswith("__")})
