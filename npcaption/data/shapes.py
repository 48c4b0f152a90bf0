"""Generated scenes of one or two coloured shapes: images, true captions, and an exact judge of any caption.

Lengths are in units of the image's side, so a scene can be drawn at any size: x grows from 0 to 1 to the right, y
downwards. Seed, split and index determine a scene, not the number of scenes.
"""
import random
import re
from typing import NamedTuple

import numpy as np

from ..errors import DataError

COLOURS = {"red": (216, 38, 38), "green": (30, 150, 52), "blue": (36, 84, 224), "yellow": (250, 208, 20),
           "purple": (140, 44, 176), "black": (26, 26, 26)}
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = {"small": 0.13, "large": 0.22}                       # half the side of the thing's bounding box
RELATIONS = ("left of", "right of", "above", "below")
BACKGROUNDS = ((232, 232, 228), (203, 212, 221), (222, 209, 193), (198, 212, 196), (217, 203, 212))
SPLITS = ("train", "val", "test")

# Only in test scenes: a right caption needs colour and shape learned separately. Each of these colours and shapes
# occurs in training in other combinations.
UNSEEN = (("red", "triangle"), ("green", "cross"), ("blue", "circle"), ("yellow", "square"))
FAMILIAR = tuple((colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in UNSEEN)

# All templates: captions fill them in, the judge matches them.
ONE_THING = (
    "a {size0} {colour0} {shape0}",
    "a {colour0} {shape0}",
    "there is a {size0} {colour0} {shape0}",
    "the {colour0} {shape0} is {size0}",
    "the {shape0} is {colour0} and {size0}",
)
TWO_THINGS = (                                               # alternately the left or upper thing is first and last
    "a {size0} {colour0} {shape0} {relation} a {size1} {colour1} {shape1}",
    "a {size0} {colour0} {shape0} {relation} a {size1} {colour1} {shape1}",
    "a {colour0} {shape0} {relation} a {colour1} {shape1}",
    "the {colour0} {shape0} is {relation} the {colour1} {shape1}",
    "a {colour0} {shape0} and a {colour1} {shape1}",
)

SIZE_JITTER = 0.01                                           # maximum change, in image sides
COLOUR_JITTER = 12                                           # maximum change, in levels of 255
MARGIN = 0.02                                                # minimum between a thing and the image's edge
GAP = 0.04                                                   # minimum between the boxes of two things
STRAY = 0.4                                                  # maximum offset across a relation, relative to along it
NOISE = 11                                                   # standard deviation of a background, in levels of 255
GRAINS = 32                                                  # noise grains along a side, at every image size


class Thing(NamedTuple):
    colour: str
    shape: str
    size: str
    x: float                                                 # centre
    y: float
    radius: float                                            # half the side of its box: the size, jittered
    paint: tuple[int, int, int]                              # the colour, jittered


class Scene(NamedTuple):
    things: tuple[Thing, ...]                                # one or two; the left or upper one first
    background: tuple[int, int, int]
    grain: int | None                                        # seed of the noise; None: a plain background
    unseen: bool                                             # whether it has a combination absent from training


def make_scene(seed, split, index):
    """Scene number `index` of a split. Every second test scene has an unseen combination.  DataError"""
    if split not in SPLITS:
        raise DataError(f"Generated scenes have no split {split!r}. Choose one of {', '.join(SPLITS)}.")
    rng = random.Random(f"{seed} {split} {index}")
    unseen = split == "test" and index % 2 == 1
    kinds = rng.sample(FAMILIAR, rng.choice((1, 2, 2)))      # distinct: colour and shape identify a thing
    if unseen:
        kinds[rng.randrange(len(kinds))] = rng.choice(UNSEEN)
    sizes = [rng.choice(tuple(SIZES)) for _ in kinds]
    radii = [SIZES[size] + rng.uniform(-SIZE_JITTER, SIZE_JITTER) for size in sizes]
    places = _place_one(rng, *radii) if len(kinds) == 1 else _place_two(rng, *radii)
    paints = [_jittered(rng, COLOURS[colour]) for colour, _ in kinds]
    things = tuple(Thing(*kind, size, *place, radius, paint)
                   for kind, size, place, radius, paint in zip(kinds, sizes, places, radii, paints))
    background = _jittered(rng, rng.choice(BACKGROUNDS))
    grain = rng.choice((None, rng.getrandbits(32)))
    return Scene(things, background, grain, unseen)


def make_scenes(seed, split, count, size):
    """The first `count` scenes of a split, drawn -> list of Scene, (count, size, size, 3) uint8"""
    scenes = [make_scene(seed, split, index) for index in range(count)]
    images = np.empty((count, size, size, 3), np.uint8)
    for image, scene in zip(images, scenes):
        image[:] = draw(scene, size)
    return scenes, images


def draw(scene, size):
    """Image of a scene, with edges smoothed over one pixel -> (size, size, 3) uint8"""
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size  # (size,)
    image = np.empty((size, size, 3), np.float32)
    image[:] = scene.background
    if scene.grain is not None:
        noise = np.random.default_rng(scene.grain).normal(0, NOISE, (GRAINS, GRAINS, 1))
        nearest = (centres * GRAINS).astype(int)             # (size,)
        image += noise[nearest[:, None], nearest]
    for thing in scene.things:
        across = (centres - thing.x) / thing.radius          # (size,)
        down = (centres[:, None] - thing.y) / thing.radius   # (size, 1)
        outside = _distance(thing.shape, across, down) * (thing.radius * size)  # (size, size), pixels
        cover = np.clip(0.5 - outside, 0, 1)[..., None]      # (size, size, 1)
        image += cover * (np.array(thing.paint, np.float32) - image)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def describe(scene):
    """Five distinct true captions of a scene, in lower-case letters and spaces."""
    if len(scene.things) == 1:
        return tuple(template.format(**_facts(scene.things)) for template in ONE_THING)
    orders = scene.things, scene.things[::-1]                # the things alternate in first place
    return tuple(template.format(**_facts(orders[i % 2])) for i, template in enumerate(TWO_THINGS))


def judge(caption, scene):
    """None if a caption is right, else a short reason.  caption: any text

    A right caption names every thing, makes only true statements, and follows a template of `describe`; sizes are
    optional.
    """
    match = next(filter(None, (sentence.fullmatch(caption) for sentence in _SENTENCES)), None)
    if match is None:
        return f"not a sentence of this language: {caption!r}"
    stated = match.groupdict()
    named = []
    for i in range(2 if "colour1" in stated else 1):
        name = f"{stated[f'colour{i}']} {stated[f'shape{i}']}"
        thing = next((thing for thing in scene.things if name == f"{thing.colour} {thing.shape}"), None)
        if thing is None:
            return f"there is no {name}"
        if stated[f"size{i}"] not in (None, thing.size):
            return f"says the {name} is {stated[f'size{i}']}, is {thing.size}"
        if thing in named:
            return f"mentions the {name} twice"
        named.append(thing)
    if len(named) < len(scene.things):
        return "mentions one object of two"
    if "relation" in stated and stated["relation"] != relation(*named):
        return f"says {stated['relation']}, is {relation(*named)}"
    return None


def relation(first, second):
    """Position of the first thing relative to the second, along their larger offset"""
    dx, dy = first.x - second.x, first.y - second.y
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"


def _place_one(rng, radius):
    near, far = MARGIN + radius, 1 - MARGIN - radius
    return [(rng.uniform(near, far), rng.uniform(near, far))]


def _place_two(rng, first, second):
    """Two centres, clearly apart along one axis and close along the other.  first, second: radii"""
    near = MARGIN + first, MARGIN + second
    far = 1 - MARGIN - first, 1 - MARGIN - second
    apart = rng.uniform(first + GAP + second, far[1] - near[0])
    along = rng.uniform(near[0], far[1] - apart)
    aside = rng.uniform(near[0], far[0])
    stray = rng.uniform(max(near[1], aside - STRAY * apart), min(far[1], aside + STRAY * apart))
    places = [(along, aside), (along + apart, stray)]
    return places if rng.random() < 0.5 else [(x, y) for y, x in places]


def _jittered(rng, colour):
    return tuple(min(max(level + rng.randint(-COLOUR_JITTER, COLOUR_JITTER), 0), 255) for level in colour)


def _distance(shape, x, y):
    """Signed distance of points from a shape in the box -1 to 1; negative inside.  x (W,), y (H, 1) -> (H, W)"""
    if shape == "circle":
        return np.hypot(x, y) - 1
    x, y = np.abs(x), y if shape == "triangle" else np.abs(y)
    if shape == "square":
        return np.maximum(x, y) - 0.9
    if shape == "triangle":                                  # apex (0, -0.9), corners (+-1, 0.9)
        return np.maximum((1.8 * x - y - 0.9) / np.hypot(1.8, 1), y - 0.9)
    return np.maximum(np.minimum(x, y) - 0.32, np.maximum(x, y) - 1)


def _facts(things):
    """Values of a template's fields, `size0` and so on, with the things numbered in the given order"""
    facts = {f"{field}{i}": getattr(thing, field)
             for i, thing in enumerate(things) for field in ("colour", "shape", "size")}
    return facts | {"relation": relation(*things)} if len(things) == 2 else facts


def _sentence(template):
    """Regular expression of a template, with one named group per field. A size before its noun is optional."""
    words = {"colour": COLOURS, "shape": SHAPES, "size": SIZES, "relation": RELATIONS}
    for i in "01":
        if f"{{size{i}}}" not in template:
            template = template.replace(f"{{colour{i}}}", f"{{size{i}}} {{colour{i}}}")

    def group(field):
        name, space = field.groups()
        word = f"(?P<{name}>{'|'.join(words[name.rstrip('01')])})"
        return f"(?:{word} )?" if name.startswith("size") and space else word + space

    return re.compile(re.sub(r"\{(\w+)\}( ?)", group, template))


_SENTENCES = [_sentence(template) for template in ONE_THING + TWO_THINGS]
