/* SPDX-License-Identifier: MIT */
/* Elementary functions in binary64, made of additions, multiplications and divisions alone. */
#include "kernels/math.h"

#include <math.h>

/* The methods are the textbook ones (Muller, Elementary Functions, 3rd edition): the argument is
 * reduced with constants split in parts whose products with small integers are exact, then a series
 * follows whose coefficients are plain reciprocals. Nothing here may be contracted to fma. */

typedef struct pair {
    double hi;
    double lo;
} pair;

/* Knuth: hi + lo = a + b exactly. */
static pair two_sum(double a, double b)
{
    double hi = a + b;
    double part = hi - a;
    return (pair){ hi, (a - (hi - part)) + (b - part) };
}

/* Dekker: hi + lo = a * b exactly, for factors below 2^996. */
static pair two_product(double a, double b)
{
    double big = a * 0x1.0000002p27;
    double a_hi = big - (big - a);
    double a_lo = a - a_hi;
    big = b * 0x1.0000002p27;
    double b_hi = big - (big - b);
    double b_lo = b - b_hi;
    double hi = a * b;
    return (pair){ hi, ((a_hi * b_hi - hi) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo };
}

/* Nearest integer, for |x| < 2^51. */
static double nearest(double x)
{
    return (x + 0x1.8p52) - 0x1.8p52;
}

static double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t to_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Returns n and sets *r so that x = n * pi/2 + r, |r| <= pi/4. The first two parts of pi/2 have 33
 * bits each, so that their products with |n| < 2^20 are exact. */
static int64_t reduce_angle(double x, pair *r)
{
    double n = nearest(x * 0x1.45f306dc9c883p-1);
    pair rest = two_sum(x - n * 0x1.921fb54400000p+0, -(n * 0x1.0b4611a600000p-34));
    *r = two_sum(rest.hi, rest.lo - n * 0x1.3198a2e037073p-69);
    return (int64_t)n;
}

/* sin(r.hi + r.lo), Taylor series; the first term that is left out is below 2^-63 of the result. */
static double sin_series(pair r)
{
    double z = r.hi * r.hi;
    double p = 1.0 / 355687428096000.0;
    p = p * z - 1.0 / 1307674368000.0;
    p = p * z + 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return r.hi + (r.hi * z * p + r.lo * (1.0 - 0.5 * z));
}

/* cos(r.hi + r.lo) */
static double cos_series(pair r)
{
    double z = r.hi * r.hi;
    double p = -1.0 / 6402373705728000.0;
    p = p * z + 1.0 / 20922789888000.0;
    p = p * z - 1.0 / 87178291200.0;
    p = p * z + 1.0 / 479001600.0;
    p = p * z - 1.0 / 3628800.0;
    p = p * z + 1.0 / 40320.0;
    p = p * z - 1.0 / 720.0;
    p = p * z + 1.0 / 24.0;
    pair head = two_sum(1.0, -0.5 * z);
    return head.hi + (head.lo + (z * z * p - r.hi * r.lo));
}

/* sin(x + quarter * pi/2) */
static double sine_from_quarter(double x, int64_t quarter)
{
    if (!(fabs(x) <= 0x1p20)) {
        return NAN;
    }
    pair r;
    quarter += reduce_angle(x, &r);
    double y = quarter & 1 ? cos_series(r) : sin_series(r);
    return quarter & 2 ? -y : y;
}

double slmk_sin(double x)
{
    return sine_from_quarter(x, 0);
}

double slmk_cos(double x)
{
    return sine_from_quarter(x, 1);
}

/* e^(x.hi + x.lo) */
static double exp_of_pair(pair x)
{
    if (!(x.hi <= 709.79)) {
        return x.hi + (double)INFINITY; /* which leaves NaN as it is */
    }
    if (x.hi < -745.14) {
        return 0;
    }
    double n = nearest(x.hi * 0x1.71547652b82fep+0);
    pair r = two_sum(x.hi - n * 0x1.62e42fefa3000p-1, x.lo - n * 0x1.3de6af278ece6p-42);
    double p = 1.0 / 87178291200.0;
    p = p * r.hi + 1.0 / 6227020800.0;
    p = p * r.hi + 1.0 / 479001600.0;
    p = p * r.hi + 1.0 / 39916800.0;
    p = p * r.hi + 1.0 / 3628800.0;
    p = p * r.hi + 1.0 / 362880.0;
    p = p * r.hi + 1.0 / 40320.0;
    p = p * r.hi + 1.0 / 5040.0;
    p = p * r.hi + 1.0 / 720.0;
    p = p * r.hi + 1.0 / 120.0;
    p = p * r.hi + 1.0 / 24.0;
    p = p * r.hi + 1.0 / 6.0;
    p = p * r.hi + 0.5;
    pair head = two_sum(1.0, r.hi);
    double y = head.hi + (head.lo + (r.hi * r.hi * p + r.lo * head.hi));
    /* Two factors, because 2^n alone may lie outside the range of normal numbers. */
    int64_t exponent = (int64_t)n;
    int64_t half = exponent / 2;
    y *= from_bits((uint64_t)(1023 + half) << 52);
    return y * from_bits((uint64_t)(1023 + exponent - half) << 52);
}

double slmk_exp(double x)
{
    return exp_of_pair((pair){ x, 0 });
}

/* Logarithm of a positive normal number as a sum of two, error below 2^-60 of the result's size. */
static pair log_to_pair(double x)
{
    /* x = 2^exponent * (1 + f) with 1 + f from sqrt(1/2) to sqrt(2) */
    uint64_t bits = to_bits(x);
    uint64_t above = (bits & 0xfffffffffffff) >= 0x6a09e667f3bcd;
    int exponent = (int)(bits >> 52) - 1023 + (int)above;
    double f = from_bits((bits & 0xfffffffffffff) | (1023 - above) << 52) - 1.0;

    /* log(1 + f) = 2 (s + s^3/3 + s^5/5 + ...) with s = f / (2 + f) */
    pair t = two_sum(2.0, f);
    double s = f / t.hi;
    pair back = two_product(s, t.hi);
    double s_lo = (((f - back.hi) - back.lo) - s * t.lo) / t.hi;
    double z = s * s;
    double p = 1.0 / 25.0;
    for (int i = 23; i >= 5; i -= 2) {
        p = p * z + 1.0 / i;
    }
    /* The cubic term is large enough to need its rounding error. */
    pair square = two_product(s, s);
    pair cube = two_product(square.hi, s);
    double third = cube.hi / 3.0;
    pair check = two_product(third, 3.0);
    double third_lo = (((cube.hi - check.hi) - check.lo) + cube.lo + square.lo * s) / 3.0;

    pair sum = two_sum(exponent * 0x1.62e42fefa3000p-1, 2.0 * s);
    pair all = two_sum(sum.hi, 2.0 * third);
    double small = 2.0 * (s_lo + third_lo + s * z * z * p + s_lo * z);
    return two_sum(all.hi, all.lo + (sum.lo + (exponent * 0x1.3de6af278ece6p-42 + small)));
}

double slmk_log(double x)
{
    pair y = log_to_pair(x);
    return y.hi + y.lo;
}

double slmk_pow(double x, double y)
{
    pair log_x = log_to_pair(x);
    pair product = two_product(y, log_x.hi);
    return exp_of_pair(two_sum(product.hi, product.lo + y * log_x.lo));
}
