// Sublayer: from token ids to one vector a token.
"use strict";

function token_embed_forward(ids, p) {
  // out = token[ids] W + b + position; without W and b where p has none.  ids (T) integers -> (T, C)
  let [tokens, lookup] = embedding_forward(ids, p["weight"]), proj = null;  // (T, C or E)
  if (p["proj.weight"]) [tokens, proj] = linear_forward(tokens, p["proj.weight"], p["proj.bias"]);  // (T, C)
  const [out, place] = position_forward(tokens, p["position"]);  // (T, C)
  return [out, {lookup, proj, place}];
}

function token_embed_backward(dout, {lookup, proj, place}, g) {
  // dposition = dout,  dtoken = the sum of dout W^T over the places of each id; ids are integers: no gradient
  let [dtokens, dposition] = position_backward(dout, place), dw, db;  // (T, C), (L, C)
  add_into(g["position"], dposition);
  if (proj) {
    [dtokens, dw, db] = linear_backward(dtokens, proj);       // (T, E), (E, C), (C,)
    add_into(g["proj.weight"], dw);
    add_into(g["proj.bias"], db);
  }
  add_into(g["weight"], embedding_backward(dtokens, lookup));  // (V, C or E)
}
