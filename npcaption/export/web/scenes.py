"""The built-in images: generated scenes of shapes, and painted landscapes. None is a photograph."""
import numpy as np

from ...data import shapes

SIDE = 224          # pixels
SEED = 0


def scenes():
    """The built-in images -> {name: (SIDE, SIDE, 3) uint8}, the same in every call"""
    _, drawn = shapes.make_scenes(SEED, "val", 3, SIDE)
    landscapes = {"meadow": meadow(), "sea": sea(), "snow": snow()}
    return landscapes | {f"shapes {number}": image for number, image in enumerate(drawn, 1)}


def gradient(top, bottom):
    """A background, from one colour at the top to another at the bottom -> (SIDE, SIDE, 3)"""
    down = np.linspace(0, 1, SIDE)[:, None, None]            # (SIDE, 1, 1)
    return np.broadcast_to((1 - down) * top + down * np.array(bottom, float), (SIDE, SIDE, 3)).copy()


def grain(image, deviation):
    """Noise of a few pixels' size, the same in all colours."""
    coarse = np.random.default_rng(SEED).normal(0, deviation, (SIDE // 2, SIDE // 2, 1))
    return image + coarse.repeat(2, 0).repeat(2, 1)


def ellipse(image, x, y, width, height, colour):
    """Paint an ellipse with a smooth edge, in place. Units: the side's length; width and height: half-axes"""
    place = (np.arange(SIDE) + 0.5) / SIDE
    radius = np.hypot((place - x) / width, (place[:, None] - y) / height)  # (SIDE, SIDE), 1 at the edge
    cover = ((1 - radius) * min(width, height) * SIDE / 2 + 0.5).clip(0, 1)[..., None]
    image += cover * (np.array(colour, float) - image)


def finished(image):
    return image.round().clip(0, 255).astype(np.uint8)


def animal(image, x, y, size, colour):
    """Paint an animal with four legs, from the side."""
    for leg in (-0.75, -0.5, 0.5, 0.75):
        ellipse(image, x + leg * size, y + 0.6 * size, 0.12 * size, 0.55 * size, colour)
    ellipse(image, x, y, size, 0.42 * size, colour)
    ellipse(image, x + 1.05 * size, y - 0.45 * size, 0.36 * size, 0.3 * size, colour)
    ellipse(image, x + 1.35 * size, y - 0.38 * size, 0.2 * size, 0.14 * size, colour)
    ellipse(image, x - 1.15 * size, y - 0.3 * size, 0.3 * size, 0.08 * size, colour)


def person(image, x, y, size, shirt, legs):
    ellipse(image, x - 0.18 * size, y + 0.9 * size, 0.14 * size, 0.6 * size, legs)
    ellipse(image, x + 0.18 * size, y + 0.9 * size, 0.14 * size, 0.6 * size, legs)
    ellipse(image, x, y, 0.4 * size, 0.62 * size, shirt)
    ellipse(image, x, y - 0.85 * size, 0.22 * size, 0.28 * size, (214, 168, 138))


def meadow():
    image = gradient((150, 190, 120), (70, 130, 40))
    image[:SIDE // 4] = gradient((60, 96, 48), (84, 120, 62))[:SIDE // 4]
    image = grain(image, 14)
    animal(image, 0.46, 0.6, 0.17, (96, 60, 30))
    return finished(image)


def sea():
    image = gradient((170, 205, 235), (225, 235, 240))
    image[SIDE * 2 // 5:] = gradient((40, 110, 150), (20, 70, 110))[SIDE * 2 // 5:]
    image = grain(image, 8)
    for x, y, width in ((0.3, 0.72, 0.3), (0.62, 0.78, 0.34), (0.5, 0.86, 0.45)):
        ellipse(image, x, y, width, 0.035, (240, 246, 250))
    person(image, 0.52, 0.56, 0.13, (30, 30, 40), (20, 20, 30))
    ellipse(image, 0.52, 0.735, 0.2, 0.02, (250, 220, 90))
    return finished(image)


def snow():
    image = gradient((110, 160, 225), (190, 215, 245))
    place = np.arange(SIDE)
    slope = place[:, None] > SIDE * 0.35 + 0.3 * place       # (SIDE, SIDE)
    image[slope] = (238, 242, 250)
    image = grain(image, 5)
    person(image, 0.5, 0.42, 0.12, (200, 40, 40), (30, 34, 60))
    return finished(image)
