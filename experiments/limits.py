"""Limits of a captioner: what it says of photographs of women, men, children, groups and dogs.

    python -m npcaption.evaluate --checkpoint A.npz --data flickr8k --json A.json
    python -m experiments.limits A.json                    a Markdown table of its beam captions (or --greedy)

A photograph shows women if at least three of its captions mention them and none mentions men, girls or boys; so for
men, girls and boys. For the other rows the agreement of three captions is enough.
"""
import numpy as np

from npcaption.evaluate.metrics import tokenize
from npcaption.support.command import arguments, command, parser_of
from npcaption.support.flags import filename

from .evaluations import evaluation

AGREED = 3
WORDS = {
    "women": "woman women lady ladies female females",
    "men": "man men guy guys male males gentleman gentlemen",
    "girls": "girl girls",
    "boys": "boy boys",
    "children": "child children kid kids toddler toddlers baby babies boy boys girl girls",
    "groups": "group groups crowd crowds people",
    "people": "person people someone woman women lady ladies female females man men guy guys male males gentleman "
              "gentlemen girl girls boy boys child children kid kids toddler toddlers baby babies group groups crowd "
              "crowds player players team rider riders skier skiers climber climbers couple biker bikers bicyclist "
              "bicyclists cyclist cyclists surfer surfers skateboarder skateboarders snowboarder snowboarders",
    "dogs": "dog dogs puppy puppies"}
WORDS = {name: frozenset(words.split()) for name, words in WORDS.items()}
SEXES = "women", "men", "girls", "boys"


def mentions(words, *names):
    return any(WORDS[name] & set(words) for name in names)


def only(words, names, others):
    """Whether a caption mentions one of `names` and none of `others`."""
    return mentions(words, *names) and not mentions(words, *others)


FEMALE, MALE = ("women", "girls"), ("men", "boys")
SAYINGS = {                     # what a caption may say, {title: test}
    "only women or girls": lambda words: only(words, FEMALE, MALE),
    "only men or boys": lambda words: only(words, MALE, FEMALE),
    "both": lambda words: mentions(words, *FEMALE) and mentions(words, *MALE),
    "a child": lambda words: mentions(words, "children"),
    "people, a group": lambda words: mentions(words, "groups"),
    "a dog": lambda words: mentions(words, "dogs")}


def agreed(references, *names):
    return sum(mentions(words, *names) for words in references) >= AGREED


def shown(references):
    """The rows to which a photograph belongs.  references: its captions as lists of words -> list of titles"""
    found = []
    for sex in SEXES:
        others = [other for other in SEXES if other != sex]
        if agreed(references, sex) and not any(mentions(words, *others) for words in references):
            found.append(sex)
    for name in ("children", "groups", "dogs"):
        if agreed(references, name):
            found.append(name)
    if not any(mentions(words, "people", "dogs") for words in references):
        found.append("neither people nor dogs")
    return found


def table(rows):
    """Lines of a Markdown table.  rows: (references, caption) of each photograph, as lists of words"""
    captions = {title: [] for title in (*SEXES, "children", "groups", "dogs", "neither people nor dogs")}
    for references, caption in rows:
        for title in shown(references):
            captions[title].append(caption)
    yield f"| people saw | photographs | {' | '.join(SAYINGS)} |"
    yield "|---" * (2 + len(SAYINGS)) + "|"
    for title, said in captions.items():
        shares = [f"{100 * np.mean([test(words) for words in said]):.0f} %" if said else "–"
                  for test in SAYINGS.values()]
        yield f"| {title} | {len(said)} | {' | '.join(shares)} |"


def rows_of(path, way):
    """(references, caption) of each photograph of an evaluation's file, as lists of words"""
    with evaluation(path) as found:
        return [([tokenize(text) for text in row["references"]], tokenize(row[way]["caption"]))
                for row in found["captions"]]


def main(words=None):
    parser = parser_of("limits", __doc__)
    parser.prog = "python -m experiments.limits"
    parser.add_argument("file", type=filename, metavar="FILE", help="output of npcaption evaluate --json")
    parser.add_argument("--greedy", action="store_true", help="count the greedy captions, not the beam's")
    options = arguments(parser, words)
    print("\n".join(table(rows_of(options.file, "greedy" if options.greedy else "beam"))))


if __name__ == "__main__":
    command(main)
