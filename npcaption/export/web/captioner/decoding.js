// From an encoded image to token ids: greedy and beam search, as npcaption/captioning/decoding.py has them.
// The image, of a runtime's encode, computes: remember(R), step(ids, place, memory), follow(memory, parents, length).
"use strict";

const START = 1, END = 2;

async function next_log_probabilities(config, image, ids, place, memory) {
  // -> log softmax (R, V); -Infinity for padding, start and the unknown word, and in the last place for all but the end
  const scores = log_softmax(await image.step(ids, place, memory)), V = columns_of(scores);
  const last = place === config.max_length - 2;
  for (let i = 0; i < scores.data.length; i++) {
    const token = i % V;
    if (token < END || token === config.unknown || last && token !== END) scores.data[i] = -Infinity;
  }
  return scores;
}

async function greedy(config, image) {
  // The likeliest token after the likeliest so far.  -> {ids, log_probability, score}
  const memory = image.remember(1), ids = [START];
  let total = 0;
  for (let place = 0; place < config.max_length - 1; place++) {
    const {data: scores} = await next_log_probabilities(config, image, [ids[place]], place, memory);
    let best = 0;
    for (let token = 1; token < scores.length; token++) if (scores[token] > scores[best]) best = token;
    total += scores[best];
    ids.push(best);
    if (best === END) break;
  }
  return {ids, log_probability: total, score: total / (ids.length - 1)};
}

async function beam(config, image, width = 4, length_penalty = 1) {
  // The `width` best captions found by keeping, at every length, the `width` likeliest beginnings; the best first.
  // Ended captions are ranked by log_probability / tokens ** length_penalty. It stops when `width` captions have ended
  // and no beginning, at its present length, has a better score than the worst of them.
  const memory = image.remember(width);
  let begun = Array.from({length: width}, (_, k) => ({ids: [START], total: k ? -Infinity : 0})), ended = [];
  for (let place = 0; place < config.max_length - 1; place++) {
    const scores = await next_log_probabilities(config, image, begun.map(({ids}) => ids[place]), place, memory);
    const V = columns_of(scores), divisor = (place + 1) ** length_penalty, going = [], found = [];
    for (let i = 0; i < scores.data.length; i++) {
      const parent = Math.floor(i / V), total = begun[parent].total + scores.data[i];
      if (total > -Infinity) found.push({parent, token: i % V, total});
    }
    found.sort((a, b) => b.total - a.total);                  // stable: ties go to the first
    for (const {parent, token, total} of found.slice(0, 2 * width)) {  // `width` can end at most, so `width` go on
      const ids = [...begun[parent].ids, token];
      if (token === END) ended.push({ids, log_probability: total, score: total / divisor});
      else if (going.length < width) going.push({ids, total, parent});
    }
    ended = ended.sort((a, b) => b.score - a.score).slice(0, width);
    const worst = ended.length < width ? -Infinity : ended[width - 1].score;
    if (!going.length || !(going[0].total / divisor > worst)) break;
    while (going.length < width) going.push({ids: going[0].ids, total: -Infinity, parent: 0});
    image.follow(memory, going.map(({parent}) => parent), place + 1);
    begun = going;
  }
  return ended;
}
