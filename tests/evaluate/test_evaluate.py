"""Evaluation: losses, scores, floors, what is not defined, and the command."""
import io
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from npcaption.captioning import attribution, decoding
from npcaption.captioning.captioner import Captioner
from npcaption.config import ModelConfig
from npcaption.data.batches import encode_captions
from npcaption.data.dataset import Split
from npcaption.evaluate import baselines, gallery, losses, metrics, report
from npcaption.evaluate import scores as evaluate
from npcaption.model.parameters import initialise
from npcaption.tokenizers import BytePairTokenizer, CharTokenizer, sequence

TRAIN = ["a red dog runs", "the red dog sits", "a blue cat runs", "a man and a dog", "two men sit", "a red dog runs"]
TEXTS = [("a red dog runs fast", "the dog runs"), ("a blue cat", "the cat sits", "a cat in the sun"), ("two men", "men sit")]


def random_captioner(texts):
    tokenizer = CharTokenizer.build([text for captions in texts for text in captions])
    config = ModelConfig(image_size=16, channels=8, heads=2, hidden=8, max_length=10, vocabulary=tokenizer.size)
    return Captioner(config, tokenizer, initialise(config, 0, dtype=np.float64))


def test_the_validation_loss_counts_every_token_of_every_caption_alike():
    texts = [("a", "ab ab ab"), ("b", "abba", "aa"), ("bb",)]
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    c = random_captioner(texts)
    found = losses.losses(c, images, encode_captions(Split(images, texts, []), c.tokenizer, 10))
    each = [(c.loss(images[i:i + 1], [text]), len(text) + 1) for i in range(3) for text in texts[i]]
    mean = sum(loss * tokens for loss, tokens in each) / sum(tokens for _, tokens in each)
    assert found.loss == pytest.approx(mean, rel=1e-12)
    assert found.bits_per_character == pytest.approx(mean / np.log(2), rel=1e-12)


def test_the_shuffled_loss_puts_every_caption_beside_another_image():
    images = np.zeros((2, 16, 16, 3), np.uint8)
    images[1] = 255
    texts = [("abab",), ("bb",)]
    c = random_captioner(texts)
    found = losses.losses(c, images, encode_captions(Split(images, texts, []), c.tokenizer, 10))
    swapped = [(c.loss(images[1 - i:][:1], list(texts[i])), len(texts[i][0]) + 1) for i in range(2)]
    assert found.shuffled == pytest.approx(sum(loss * n for loss, n in swapped) / sum(n for _, n in swapped), rel=1e-12)
    alone = losses.losses(c, images[:1], encode_captions(Split(images[:1], texts[:1], []), c.tokenizer, 10))
    assert np.isnan(alone.shuffled)


@pytest.mark.parametrize("tokenizer", [CharTokenizer.build(["abcdef"]), BytePairTokenizer([(b"a", b"b"), (b"ab", b"c")])],
                         ids=["characters", "byte pairs"])
def test_by_the_posts_protocol_what_is_cut_costs_nothing_and_a_token_across_the_cut_counts_whole(tokenizer, monkeypatch):
    monkeypatch.setattr(losses, "CUT", 7)                  # five characters and, where there is one, the end
    texts = [("abc", "abcde"), ("fedabc",)]                  # three tokens or six of the last one, both across the cut
    config = ModelConfig(image_size=16, channels=8, heads=2, hidden=8, max_length=12, vocabulary=tokenizer.size)
    c, split = Captioner(config, tokenizer, initialise(config, 0, dtype=np.float64)), split_of(texts)
    nats = 0
    for i, text in enumerate(["abc", "abcde", "fedabc"]):
        ids = sequence(tokenizer.encode(text), 12)
        ids[5 + (tokenizer.kind == "char") if i == 2 else 12:] = 0
        nats += c.engine.decode_loss(c.engine.encode(split.images[i // 2][None]), np.zeros(1, int), ids[None])
    beside, shuffled = losses.losses_cut(c, split)
    assert beside == pytest.approx(nats / (4 + 6 + 6), rel=1e-12) and shuffled != beside


def test_by_the_posts_protocol_what_is_not_cut_has_the_loss_that_it_has(monkeypatch):
    monkeypatch.setattr(losses, "CUT", 10)                 # room for eight characters, as the captioner has
    texts = [("abba aba", "abab ab"), ("a", "bb")]
    c, split = random_captioner(texts), split_of(texts)
    beside, shuffled = losses.losses_cut(c, split)
    found = losses.losses(c, split.images, encode_captions(split, c.tokenizer, 10))
    assert (beside, shuffled) == pytest.approx((found.loss, found.shuffled), rel=1e-12)


def split_of(texts):
    images = np.random.default_rng(0).integers(0, 256, (len(texts), 16, 16, 3), np.uint8)
    return Split(images, texts, [f"{i}.jpg" for i in range(len(texts))])


def evaluated(texts, beam=2, **settings):
    c = random_captioner([TRAIN, *texts])
    return c, evaluate.evaluate(c, split_of(texts), TRAIN, beam, **settings)


def rows(result, part):
    return {row["name"]: row for row in result[part]}


def test_the_scores_are_those_of_the_captions_that_are_listed():
    c, result = evaluated(TEXTS)
    references = [[metrics.tokenize(text) for text in texts] for texts in TEXTS]
    for key, name, decode in [("greedy", "greedy", decoding.greedy), ("beam", "beam 2", partial(decoding.beam, width=2))]:
        captions = [row[key]["caption"] for row in result["captions"]]
        assert captions == c.captions(list(split_of(TEXTS).images), decode)
        candidates, row = [metrics.tokenize(text) for text in captions], rows(result, "scores")[name]
        assert row["bleu"] == pytest.approx(metrics.bleu(candidates, references).corpus)
        assert row["cider_d"] == pytest.approx(metrics.cider_d(candidates, references).corpus)
        assert row["distinct"] == len(set(map(tuple, candidates))) and row["words"] == np.mean([len(t) for t in candidates])
        for metric, images in [("rouge_l", metrics.rouge_l(candidates, references).images),
                               ("bleu_4", metrics.bleu(candidates, references).images[:, 3]),
                               ("cider_d", metrics.cider_d(candidates, references).images)]:
            assert [shown[key][metric] for shown in result["captions"]] == pytest.approx(images)
    assert [row["image"] for row in result["captions"]] == ["0.jpg", "1.jpg", "2.jpg"]


def test_the_model_stands_beside_floors_and_a_ceiling():
    _, result = evaluated(TEXTS)
    assert len(result["scores"]) == 6
    scores = rows(result, "scores")
    constant = scores["best constant by CIDEr-D, image-blind"]
    assert constant["caption"] in TRAIN and constant["distinct"] == 1
    assert constant["cider_d"] >= scores["best constant by BLEU-4, image-blind"]["cider_d"]
    assert scores["a person, against the others"]["rouge_l"] > scores["a random training caption, image-blind"]["rouge_l"]
    model, beside, _, _, blind = result["losses"]
    assert model["perplexity"] == pytest.approx(np.exp(model["nats_per_token"]))
    assert beside["bits_per_character"] / model["bits_per_character"] == pytest.approx(
        beside["nats_per_token"] / model["nats_per_token"])
    cut = [[text[:8] for text in texts] for texts in (TRAIN, [text for texts in TEXTS for text in texts])]
    nats = baselines.ngram_nats(*cut) / sum(len(text) + 1 for text in cut[1])
    assert blind["nats_per_token"] == pytest.approx(nats) and blind["bits_per_character"] == pytest.approx(nats / np.log(2))


def test_without_a_beam_there_are_greedy_captions_alone():
    _, result = evaluated(TEXTS, beam=0)
    assert "greedy" in rows(result, "scores") and len(result["scores"]) == 5
    assert all(row["beam"] is None for row in result["captions"])


def test_the_beam_ranks_by_the_length_penalty_and_its_row_says_so():
    c, result = evaluated(TEXTS, beam=12, length_penalty=0.0)
    images = list(split_of(TEXTS).images)
    captions = [row["beam"]["caption"] for row in result["captions"]]
    assert captions == c.captions(images, partial(decoding.beam, width=12, length_penalty=0.0))
    assert captions != c.captions(images, partial(decoding.beam, width=12))
    assert result["scores"][1]["name"] == "beam 12, length penalty 0"
    for row, [best, *_] in zip(result["captions"], c.sentences(images, partial(decoding.beam, width=12, length_penalty=0.0))):
        assert row["beam"]["tokens"] == len(best.hypothesis.ids) - 1 == len(best.text) + 1
        assert row["beam"]["score"] == pytest.approx(best.hypothesis.log_probability / row["beam"]["tokens"])


def test_what_is_not_defined_for_one_image_is_none_and_said_not_zero():
    _, result = evaluated(TEXTS[:1])
    assert rows(result, "scores")["greedy"]["cider_d"] is None and rows(result, "scores")["greedy"]["rouge_l"] is not None
    assert "best constant by CIDEr-D, image-blind" not in rows(result, "scores")
    assert result["losses"][1]["nats_per_token"] is None
    assert result["captions"][0]["greedy"]["cider_d"] is None
    assert "not defined for a single image" in result["notes"][0]
    json.dumps(result, allow_nan=False)


def test_without_a_second_caption_there_is_no_human_ceiling_and_that_is_said():
    _, result = evaluated([texts[:1] for texts in TEXTS])
    assert "a person, against the others" not in rows(result, "scores")
    assert any("no human ceiling" in note for note in result["notes"])
    assert any("leaves them out" in note for note in evaluated([TEXTS[0], TEXTS[1][:1], TEXTS[2]])[1]["notes"])


def test_what_is_printed_shows_every_row_and_a_dash_for_what_is_not_defined():
    for texts in (TEXTS, TEXTS[:1]):
        _, result = evaluated(texts)
        result |= {"checkpoint": "best.npz", "data": "photos", "split": "val", "images": len(texts), "references": 9}
        printed = report.evaluation(result)
        assert all(row["name"] in printed for row in result["scores"] + result["losses"])
        assert all(note in printed for note in result["notes"])
    assert "  -  " in printed and "nan" not in printed and "None" not in printed


def test_a_thumbnail_is_made_of_every_image_from_its_file_or_from_what_the_model_sees(tmp_path):
    split = split_of(TEXTS[:2])
    Image.new("RGB", (600, 300), "red").save(tmp_path / "wide.png")
    small = list(gallery.photographs(split))
    large = list(gallery.photographs(split._replace(files=[tmp_path / "wide.png"] * 2)))
    assert [Image.open(io.BytesIO(jpeg)).size for jpeg in small + large] == [(16, 16)] * 2 + [(224, 112)] * 2


def test_the_words_that_are_shown_are_the_captions_each_with_a_map():
    c, result = evaluated(TEXTS)
    split = split_of(TEXTS)
    for image, row, look in zip(split.images, result["captions"], gallery.looks(c, split, result["captions"])):
        assert " ".join(word for word, _ in look) == " ".join(row["beam"]["caption"].split())
        [hypotheses] = c.sentences([image], partial(decoding.beam, width=2))
        exact = attribution.attention(c, image, hypotheses[0].hypothesis.ids)
        for (word, map), right in zip(look, exact):
            assert word == right.word
            np.testing.assert_allclose(map, right.map)


def test_without_training_captions_there_are_no_floors_and_that_is_said():
    result = evaluate.evaluate(random_captioner(TEXTS), split_of(TEXTS), [], 0)
    assert [row["name"] for row in result["scores"]] == ["greedy", "a person, against the others"]
    assert result["losses"][-1]["bits_per_character"] is None and any("no floors" in note for note in result["notes"])


def test_the_beam_is_compared_with_greedy_by_log_probability_per_token():
    _, result = evaluated(TEXTS)
    scores = np.array([[row[way]["score"] for way in ("greedy", "beam")] for row in result["captions"]])
    said = next(note for note in result["notes"] if "Log-probability" in note)
    assert f"{scores[:, 0].mean():.3f} for greedy" in said and f"{scores[:, 1].mean():.3f} for the beam" in said
    below = (scores[:, 1] < scores[:, 0] - 1e-6).sum()
    assert (f"On {below} images" in said) == (below > 0)
