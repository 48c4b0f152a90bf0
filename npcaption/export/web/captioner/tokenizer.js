// Text to token ids and back, as npcaption/tokenizers has it: characters, words, white-space words, byte pairs.
"use strict";

const SPECIAL = 3, JOINERS = "\\u200c\\u200d";                  // ids before the vocabulary's own
const ALNUM = "\\p{L}\\p{N}_", LETTER = `${ALNUM}\\p{M}${JOINERS}`;  // Python's \w, and a word's further characters
const ENDING = "(?:s|t|m|d|re|ve|ll|clock)";                  // what English has behind an apostrophe
const NOT_WRITTEN = new RegExp(
  ` (?=(?:[.,!?;']+|n't|'${ENDING})(?!\\S))|(?<=[${LETTER}] ') (?=${ENDING}(?!\\S))`, "gu");
const INVISIBLE = new RegExp("[\\u00ad\\u034f\\u061c\\u180b-\\u180e\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u206f"
  + "\\ufe00-\\ufe0f\\ufeff\\u{e0100}-\\u{e01ef}]", "gu");
const MARKS = `\\p{M}${JOINERS}`, JOINER = `[${JOINERS}]`, BESIDE = `[${ALNUM}\\p{M}]`, SYMBOL = `[^\\s${LETTER}]`;
const STRAY = new RegExp(
  `(?<=${BESIDE})(${JOINER})${JOINER}*(?=${BESIDE})|(?<=${SYMBOL})(${JOINER})${JOINER}*(?=${SYMBOL})`
  + `|${JOINER}[${MARKS}]*|(?<![^\\s!-\\/:-@\\[-\`{-~])[${MARKS}]+`, "gu");

function canonical(text) {                                    // composed, nothing invisible, no stray joiner or mark
  const seen = text.replace(INVISIBLE, "").replaceAll("\u200b", " ").normalize("NFC");
  return seen.replace(STRAY, (_, first = "", second = "") => first + second);
}

function of_text(ids) {                                       // up to the first end, without start and padding
  const end = ids.indexOf(END);
  return (end < 0 ? ids : ids.slice(0, end)).filter(id => id >= SPECIAL);
}

function char_tokenizer({characters}) {
  const known = [...characters], ids = new Map(known.map((character, i) => [character, SPECIAL + i]));
  return {
    encode: text => [...text.toLowerCase()].flatMap(character => ids.get(character) ?? []),
    decode: found => of_text(found).map(id => known[id - SPECIAL]).join(""),
  };
}

function word_tokenizer({kind, words, rule = 1}) {
  const unknown = SPECIAL, ids = new Map(words.map((word, i) => [word, unknown + 1 + i]));
  const token = rule === 1 ? `[${ALNUM}]+|[.,!?;']` : `[${ALNUM}][${LETTER}]*|[.,!?;']`;
  function cut(text) {
    const lower = rule === 1 ? text.toLowerCase() : canonical(text.toLowerCase());
    return kind === "space" ? lower.split(/\s+/u).filter(Boolean) : lower.match(new RegExp(token, "gu")) || [];
  }
  return {
    encode: text => cut(text).map(word => ids.get(word) ?? unknown),
    decode: found => of_text(found).map(id => id > unknown ? words[id - unknown - 1] : "UNK").join(" ")
      .replace(NOT_WRITTEN, ""),
  };
}

function bytes_of(text) {                                     // UTF-8, and \udc80 to \udcff for single bytes (PEP 383)
  const encoder = new TextEncoder();
  return [...text].flatMap(character => {
    const code = character.codePointAt(0);
    return code >= 0xdc80 && code <= 0xdcff ? [code - 0xdc00] : [...encoder.encode(character)];
  });
}

function byte_pair_tokenizer({merges, rule = 1}) {
  const key = bytes => String.fromCharCode(...bytes);         // one character a byte, so that tokens can be compared
  const tokens = Array.from({length: 256}, (_, byte) => [byte]), ranks = new Map();
  merges.forEach(([a, b], rank) => {
    const [left, right] = [bytes_of(a), bytes_of(b)];
    ranks.set(`${key(left)} ${left.length} ${key(right)}`, rank);
    tokens.push([...left, ...right]);
  });
  const ids = new Map(tokens.map((token, i) => [key(token), SPECIAL + i]));
  const pieces = rule === 1 ? `[ ]?[${ALNUM}']{1,64}|[ ]?[^${ALNUM}\\s']{1,64}|\\s{1,64}`
    : `[ ]?[${ALNUM}'][${LETTER}']{0,63}|[ ]?[^${ALNUM}\\s']{1,64}|\\s{1,64}`;
  const rank_of = (a, b) => ranks.get(`${a} ${a.length} ${b}`) ?? Infinity;

  function encode_piece(piece) {                              // the merges, in the order in which they were learnt
    let parts = [...new TextEncoder().encode(piece)].map(byte => String.fromCharCode(byte));
    for (;;) {
      let best = Infinity, at = 0;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = rank_of(parts[i], parts[i + 1]);
        if (rank < best) [best, at] = [rank, i];
      }
      if (best === Infinity) return parts.map(part => ids.get(part));
      const [a, b] = [parts[at], parts[at + 1]], joined = [];
      for (let i = 0; i < parts.length; i++) {
        if (parts[i] === a && parts[i + 1] === b) joined.push(a + parts[++i]);
        else joined.push(parts[i]);
      }
      parts = joined;
    }
  }
  return {
    encode: text => (text.match(new RegExp(pieces, "gu")) || []).flatMap(encode_piece),
    decode: found => new TextDecoder("utf-8", {ignoreBOM: true}).decode(
      Uint8Array.from(of_text(found).flatMap(id => tokens[id - SPECIAL]))),
  };
}

function tokenizer_of(described) {                            // what a Python tokenizer's to_json wrote
  const makers = {char: char_tokenizer, word: word_tokenizer, space: word_tokenizer, bpe: byte_pair_tokenizer};
  return makers[described.kind](described);
}

function caption_ids(tokenizer, text, max_length) {           // lower case, start and end, cut; without padding
  return [START, ...tokenizer.encode(text.toLowerCase()).slice(0, max_length - 2), END];
}

function words_of(tokenizer, ids) {
  // -> [{text, first, last}], its places among the ids; a token that carries the ends of two words belongs to both
  const ends = ids.map((_, i) => tokenizer.decode(ids.slice(0, i + 1)).length);  // characters up to token i
  return [...tokenizer.decode(ids).matchAll(/\S+/gu)].map(match => ({
    text: match[0],
    first: ends.filter(end => end <= match.index).length,
    last: ends.filter(end => end < match.index + match[0].length).length,
  }));
}
