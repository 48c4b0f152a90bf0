// The exact GELU (Hendrycks, Gimpel 2016, arXiv:1606.08415), and the error function, which JavaScript lacks.
"use strict";

// Chebyshev coefficients in u = z / 3 - 1 of -log(1 - erf(z)) / z on [0, 6]; npcaption/layers/erf.py says their source.
const CHEBYSHEV = [
  3.6615141829248742565, 2.6608105458341171895, 0.094194927218652662928, -0.025455682633110473491,
  0.0063841528995083402081, -0.0014071000618069546332, 0.00024027065009852486613, -0.000014791875823275091463,
  -0.000011176382961526992044, 6.8196138853989856143e-6, -2.5385764186659628823e-6, 7.1742402341267112017e-7,
  -1.4719079786082319023e-7, 1.1741608020393282416e-8, 7.568822995972942576e-9, -5.1921503929660827774e-9,
  2.0778574343169552351e-9, -6.2291618071460394184e-10, 1.355428905410137898e-10, -1.2511894404162330984e-11,
  -6.6358410813629300399e-12, 4.9053161353012697113e-12, -2.0377222108694985169e-12, 6.3033339661900957214e-13,
  -1.4220334910598664836e-13, 1.4664311396955360102e-14, 6.388145841853431791e-15, -5.0578291821081238109e-15,
  2.1611928113640032304e-15, -6.8428042791284884356e-16, 1.5887815278769742227e-16];

function erf(x) {                                             // sign(x) (1 - exp(-|x| P(|x|)))
  const z = Math.min(Math.abs(x), 6), u = z / 3 - 1;
  let now = 0, before = 0;
  for (let k = CHEBYSHEV.length - 1; k > 0; k--) {            // Clenshaw
    [now, before] = [2 * u * now - before + CHEBYSHEV[k], now];
  }
  const size = -Math.expm1(-z * (u * now - before + CHEBYSHEV[0]));
  return x < 0 ? -size : size;
}

function gelu_forward(x) {
  // out = x Phi(x),  Phi(x) = (1 + erf(x / sqrt(2))) / 2, the normal distribution function.  x (...)
  const out = zeros_like(x), cdf = zeros_like(x);
  for (let i = 0; i < x.data.length; i++) {
    cdf.data[i] = (1 + erf(x.data[i] * Math.SQRT1_2)) / 2;
    out.data[i] = x.data[i] * cdf.data[i];
  }
  return [out, {x, cdf}];
}

function gelu_backward(dout, {x, cdf}) {
  // dx = dout (Phi(x) + x phi(x)),  phi(x) = exp(-x^2 / 2) / sqrt(2 pi): the product rule
  const dx = zeros_like(x), scale = (2 * Math.PI) ** -0.5;
  for (let i = 0; i < x.data.length; i++) {
    const pdf = Math.exp(-0.5 * x.data[i] ** 2) * scale;
    dx.data[i] = dout.data[i] * (cdf.data[i] + x.data[i] * pdf);
  }
  return dx;
}
