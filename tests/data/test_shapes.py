"""Generated scenes: properties of the images, the captions and the judge."""
import random

import numpy as np
import pytest

from npcaption.data.shapes import (
    COLOUR_JITTER,
    COLOURS,
    FAMILIAR,
    SHAPES,
    SIZES,
    SPLITS,
    STRAY,
    UNSEEN,
    describe,
    draw,
    judge,
    make_scene,
    make_scenes,
)
from npcaption.errors import DataError
from tests.helpers.refusals import refused

SCENES = [make_scene(0, split, i) for split in SPLITS for i in range(500)]
PAIRS = [scene for scene in SCENES if len(scene.things) == 2]


def kinds(scene):
    return {(thing.colour, thing.shape) for thing in scene.things}


def altered(scene, i, **changes):
    things = list(scene.things)
    things[i] = things[i]._replace(**changes)
    return scene._replace(things=tuple(things))


def says_relation(caption):
    return any(word in caption.split() for word in ("left", "right", "above", "below"))


def test_the_same_seed_gives_the_same_scenes_and_the_same_bytes():
    once, again = make_scenes(3, "val", 20, 48), make_scenes(3, "val", 20, 48)
    assert once[0] == again[0]
    assert once[1].tobytes() == again[1].tobytes()


def test_a_scene_does_not_depend_on_the_number_of_scenes():
    few, many = make_scenes(3, "train", 5, 64), make_scenes(3, "train", 20, 64)
    assert few[0] == many[0][:5]
    assert np.array_equal(few[1], many[1][:5])


def test_another_seed_or_split_or_index_gives_another_scene():
    identities = [(seed, split, i) for seed in (0, 1, 12) for split in SPLITS for i in range(30)]
    assert len({make_scene(*identity) for identity in identities}) == len(identities)


def test_the_generator_has_not_changed():
    """Published numbers and shipped checkpoints rely on these scenes."""
    assert describe(make_scene(0, "train", 0))[0] == "a small black triangle"
    assert describe(make_scene(0, "test", 1))[0] == "a small green cross"


def test_an_unknown_split_is_refused_by_name():
    with refused(DataError, "'validation'", "train, val, test"):
        make_scene(0, "validation", 0)


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_and_validation_scenes_have_every_familiar_combination_and_no_unseen_one(split):
    scenes = [make_scene(0, split, i) for i in range(2000)]
    assert set().union(*map(kinds, scenes)) == set(FAMILIAR)
    assert not any(scene.unseen for scene in scenes)


def test_half_of_the_test_scenes_are_unseen_and_flagged_as_such():
    scenes = [make_scene(0, "test", i) for i in range(400)]
    assert sum(scene.unseen for scene in scenes) == 200
    assert all(scene.unseen == bool(kinds(scene) & set(UNSEEN)) for scene in scenes)
    assert set().union(*map(kinds, scenes)) == {(colour, shape) for colour in COLOURS for shape in SHAPES}


def test_each_colour_and_shape_of_an_unseen_combination_is_in_familiar_ones():
    for colour, shape in UNSEEN:
        assert colour in {c for c, _ in FAMILIAR} and shape in {s for _, s in FAMILIAR}


def test_things_lie_inside_the_image():
    for thing in (thing for scene in SCENES for thing in scene.things):
        assert 0 < thing.x - thing.radius and thing.x + thing.radius < 1
        assert 0 < thing.y - thing.radius and thing.y + thing.radius < 1


def test_two_things_differ_and_stand_clearly_apart_along_one_axis_only():
    for first, second in (scene.things for scene in PAIRS):
        assert (first.colour, first.shape) != (second.colour, second.shape)
        across, along = sorted((abs(first.x - second.x), abs(first.y - second.y)))
        assert along > first.radius + second.radius
        assert across <= STRAY * along + 1e-9


def test_a_large_thing_is_clearly_larger_than_any_small_one():
    radii = {size: [t.radius for scene in SCENES for t in scene.things if t.size == size] for size in SIZES}
    assert min(radii["large"]) > 1.5 * max(radii["small"])


@pytest.mark.parametrize("size", [48, 64, 128])
def test_a_thing_has_its_colour_at_its_centre_at_every_image_size(size):
    for scene in SCENES[::5]:
        image = draw(scene, size)
        assert image.shape == (size, size, 3) and image.dtype == np.uint8
        for thing in scene.things:
            centre = image[int(thing.y * size), int(thing.x * size)].astype(int)
            assert np.abs(centre - COLOURS[thing.colour]).max() <= COLOUR_JITTER


def test_a_thing_fills_its_box_and_nothing_outside_it():
    for scene in SCENES[::5]:
        bare = draw(scene._replace(things=()), 64)
        for thing in scene.things:
            rows, columns = np.nonzero((draw(scene._replace(things=(thing,)), 64) != bare).any(-1))
            for touched, centre in ((rows, thing.y), (columns, thing.x)):
                near, far = touched.min(), touched.max() + 1
                assert abs(near - (centre - thing.radius) * 64) < 0.1 * thing.radius * 64 + 1.5
                assert abs(far - (centre + thing.radius) * 64) < 0.1 * thing.radius * 64 + 1.5


def test_a_scene_has_five_distinct_short_captions_of_letters_and_spaces():
    for scene in SCENES:
        captions = describe(scene)
        assert len(captions) == len(set(captions)) == 5
        for caption in captions:
            assert len(caption) <= 60
            assert set(caption) <= set("abcdefghijklmnopqrstuvwxyz ")


def test_all_captions_of_a_scene_are_judged_right():
    for scene in SCENES:
        assert [judge(caption, scene) for caption in describe(scene)] == [None] * 5


@pytest.mark.parametrize("field, values", [("colour", COLOURS), ("shape", SHAPES)])
def test_a_caption_with_a_wrong_colour_or_shape_is_wrong(field, values):
    for scene in SCENES:
        for i, thing in enumerate(scene.things):
            for value in set(values) - {getattr(thing, field)}:
                reality = altered(scene, i, **{field: value})
                for caption in describe(scene):
                    assert judge(caption, reality) is not None


def test_a_caption_with_a_wrong_size_is_wrong():
    for scene in SCENES:
        for i, thing in enumerate(scene.things):
            other = "small" if thing.size == "large" else "large"
            reality = altered(scene, i, size=other)
            for caption in describe(scene):
                wrong = f"says the {thing.colour} {thing.shape} is {thing.size}, is {other}"
                assert judge(caption, reality) == (wrong if set(SIZES) & set(caption.split()) else None)


def test_a_caption_with_a_wrong_relation_is_wrong():
    for scene in PAIRS:
        first, second = scene.things
        swapped = (first._replace(x=second.x, y=second.y), second._replace(x=first.x, y=first.y))
        turned = tuple(thing._replace(x=thing.y, y=thing.x) for thing in scene.things)
        for things in (swapped, turned):
            for caption in describe(scene):
                reason = judge(caption, scene._replace(things=things))
                assert (reason is not None and reason.startswith("says ")) == says_relation(caption)


def test_a_caption_with_a_missing_or_additional_thing_is_wrong():
    for scene in PAIRS:
        first, second = scene.things
        alone = scene._replace(things=(first,))
        assert {judge(caption, scene) for caption in describe(alone)} == {"mentions one object of two"}
        for caption in describe(scene):
            assert judge(caption, alone) == f"there is no {second.colour} {second.shape}"
        name = f"{first.colour} {first.shape}"
        twice = f"a {name} and a {name}"
        assert judge(twice, alone) == judge(twice, scene) == f"mentions the {name} twice"


def test_a_caption_can_state_the_size_of_only_one_thing():
    scene = PAIRS[0]
    first, second = (f"{thing.colour} {thing.shape}" for thing in scene.things)
    size = scene.things[0].size
    other = "small" if size == "large" else "large"
    assert judge(f"a {size} {first} and a {second}", scene) is None
    assert judge(f"a {other} {first} and a {second}", scene) == f"says the {first} is {other}, is {size}"


@pytest.mark.parametrize("text", [
    "", " ", "a", "a red", "a circle", "a red red circle", "a red circle ", "A red circle", "a red circle\n",
    "a red circle and", "a red circle a red circle", "a red circle left a blue square",
    "the circle is red and", "(?P<size0>", "\0", "é" * 500])
def test_other_text_is_wrong_and_quoted(text):
    for scene in SCENES[:20]:
        assert judge(text, scene) == f"not a sentence of this language: {text!r}"


def test_a_changed_or_truncated_caption_is_wrong():
    rng = random.Random(0)
    for scene in SCENES:
        caption = rng.choice(describe(scene))
        i = rng.randrange(len(caption))
        assert judge(caption[:i] + "z" + caption[i + 1:], scene) is not None
        assert judge(caption[:i], scene) is not None
