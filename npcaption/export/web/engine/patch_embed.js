// Sublayer: from pixels to one vector per patch, through convolutions if the model has any.
"use strict";

function each_patch_number(n, size, C, visit) {               // visit(place in the image, place among the patches)
  let there = 0;
  for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) for (let c = 0; c < C; c++) {
    for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) {
      visit(((row * size + y) * n * size + column * size + x) * C + c, there++);
    }
  }
}

function patches_forward(image, size) {
  // Patches of size x size pixels, row by row, each flattened as (c, y, x).  image (A, A, C) -> (P, C*size*size)
  const [A, , C] = image.shape, n = A / size, out = zeros(n * n, C * size * size);
  each_patch_number(n, size, C, (here, there) => { out.data[there] = image.data[here]; });
  return [out, {n, size, C}];
}

function patches_backward(dout, {n, size, C}) {
  // Only pixels moved, so each gradient moves back to its pixel.  -> (A, A, C)
  const dimage = zeros(n * size, n * size, C);
  each_patch_number(n, size, C, (here, there) => { dimage.data[here] = dout.data[there]; });
  return dimage;
}

function patch_embed_forward(image, p, patch_size, stem) {
  // out = patches(stem(image / 127.5 - 1)) W + b + position.  image (A, A, 3), 0 to 255 -> (P, C)
  const pixels = zeros_like(image);                           // (A, A, 3), -1 to 1
  for (let i = 0; i < pixels.data.length; i++) pixels.data[i] = image.data[i] / 127.5 - 1;
  const [x, convolved] = stem_forward(pixels, p, stem);       // (A / 2^n, A / 2^n, O)
  const [patches, cut] = patches_forward(x, patch_size);      // (P, O*patch_size*patch_size)
  const [projected, proj] = linear_forward(patches, p["proj.weight"], p["proj.bias"]);  // (P, C)
  const [out, place] = position_forward(projected, p["position"]);  // (P, C)
  return [out, {convolved, cut, proj, place}];
}

function patch_embed_backward(dout, {convolved, cut, proj, place}, g) {
  // dimage = stem_backward(patches_backward(dout W^T)) / 127.5,  dposition = dout; per unit of the 0 to 255 scale
  const [dprojected, dposition] = position_backward(dout, place);  // (P, C), (P, C)
  const [dpatches, dw, db] = linear_backward(dprojected, proj);  // (P, I), (I, C), (C,)
  add_into(g["position"], dposition);
  add_into(g["proj.weight"], dw);
  add_into(g["proj.bias"], db);
  const dx = patches_backward(dpatches, cut);                 // (A / 2^n, A / 2^n, O)
  const dimage = stem_backward(dx, convolved, g);             // (A, A, 3)
  for (let i = 0; i < dimage.data.length; i++) dimage.data[i] /= 127.5;
  return dimage;
}
