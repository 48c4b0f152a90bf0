"""Captions to ids and back."""
import json

import pytest

from npcaption import tokenizers
from npcaption.errors import CheckpointError
from npcaption.tokenizers import END, PADDING, START, CharTokenizer, sequence

tokenizer = CharTokenizer.build(["A dog!", "Two dogs."])


def test_ids_0_1_2_are_special_and_the_sorted_characters_follow():
    assert (PADDING, START, END) == (0, 1, 2)
    assert tokenizer.characters == " !.adgostw"
    assert tokenizer.encode(" !") == [3, 4]
    assert tokenizer.size == 3 + 10


def test_text_comes_back_in_lower_case():
    assert tokenizer.decode(tokenizer.encode("Two dogs!")) == "two dogs!"


def test_a_character_never_seen_is_left_out():
    assert tokenizer.decode(tokenizer.encode("a 7 dög")) == "a  dg"


def test_decoding_stops_at_the_first_end_and_skips_start_and_padding():
    a, d = tokenizer.encode("ad")
    assert tokenizer.decode([START, a, PADDING, d, END, d]) == "ad"


@pytest.mark.parametrize("ids, max_length, expected", [
    ([7, 8], 6, [1, 7, 8, 2, 0, 0]), ([7, 8, 9, 7, 8], 4, [1, 7, 8, 2]), ([7, 8], 4, [1, 7, 8, 2]), ([], 3, [1, 2, 0])])
def test_a_sequence_has_start_and_end_is_padded_or_cut_with_its_last_id_replaced_by_end(ids, max_length, expected):
    assert sequence(ids, max_length).tolist() == expected


def test_a_tokenizer_survives_json():
    again = tokenizers.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.encode("a dog") == tokenizer.encode("a dog") and again.size == tokenizer.size


def test_what_is_not_a_tokenizer_is_refused():
    for values in [None, {}, {"kind": "char"}, {"kind": "char", "characters": 3}, {"kind": "runes", "characters": "ab"}]:
        with pytest.raises(CheckpointError):
            tokenizers.from_json(values)


def test_flickr8ks_training_captions_hold_50_characters(flickr8k):
    from npcaption.data.records import load_records
    built = CharTokenizer.build([text for record in load_records(flickr8k).train for text in record.captions])
    assert built.size == 53
