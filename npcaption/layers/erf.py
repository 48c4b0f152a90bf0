"""The error function erf, which NumPy lacks, to the precision of float32 and float64."""
import numpy as np

# -log(1 - erf(z)) / z is smooth on [0, 6]; beyond 6, 1 - erf(z) < 3e-17 and erf is 1 in float64. These are its
# Chebyshev coefficients in u = z / 3 - 1, from interpolation at 48 Chebyshev points (Trefethen, Approximation Theory
# and Approximation Practice, ch. 3-4) of mpmath's erfc with 50 digits. The first omitted coefficient is 1.8e-17.
CHEBYSHEV = np.array([
    3.6615141829248742565, 2.6608105458341171895, 0.094194927218652662928, -0.025455682633110473491,
    0.0063841528995083402081, -0.0014071000618069546332, 0.00024027065009852486613, -0.000014791875823275091463,
    -0.000011176382961526992044, 6.8196138853989856143e-6, -2.5385764186659628823e-6, 7.1742402341267112017e-7,
    -1.4719079786082319023e-7, 1.1741608020393282416e-8, 7.568822995972942576e-9, -5.1921503929660827774e-9,
    2.0778574343169552351e-9, -6.2291618071460394184e-10, 1.355428905410137898e-10, -1.2511894404162330984e-11,
    -6.6358410813629300399e-12, 4.9053161353012697113e-12, -2.0377222108694985169e-12, 6.3033339661900957214e-13,
    -1.4220334910598664836e-13, 1.4664311396955360102e-14, 6.388145841853431791e-15, -5.0578291821081238109e-15,
    2.1611928113640032304e-15, -6.8428042791284884356e-16, 1.5887815278769742227e-16])
BLOCK = 16384  # elements at a time: a block stays in the processor's cache during all of Horner's passes


def polynomial(dtype):
    """Coefficients in u, highest power first, of the Chebyshev terms above the dtype's precision."""
    terms = np.flatnonzero(np.abs(CHEBYSHEV) > np.finfo(dtype).eps / 8)[-1] + 1
    return np.polynomial.chebyshev.cheb2poly(CHEBYSHEV[:terms])[::-1].astype(dtype)


POLYNOMIALS = {np.dtype(dtype): polynomial(dtype) for dtype in (np.float32, np.float64)}


def erf(x):
    """2 / sqrt(pi) * (integral of exp(-t^2) from 0 to x) = sign(x) (1 - exp(-|x| P(|x|))) to the dtype's precision.

    P is the polynomial above. expm1 keeps the relative precision where erf is near 0. x (...) float32 or float64.
    """
    coefficients = POLYNOMIALS[x.dtype]
    flat = x.reshape(-1)
    out = np.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        z = np.minimum(np.abs(flat[start:start + BLOCK]), 6)
        u = z / 3 - 1
        p = np.full_like(u, coefficients[0])
        for c in coefficients[1:]:                           # Horner
            p *= u
            p += c
        p *= z
        np.copysign(np.expm1(-p), flat[start:start + BLOCK], out=out[start:start + BLOCK])
    return out.reshape(x.shape)
