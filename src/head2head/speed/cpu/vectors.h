/* Vectors of REAL, float or double, as wide as the machine has them, and what is computed on them. */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef REAL real;
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES ((long)(BYTES / sizeof(real)))
#define ALL 65536
#define INLINE static inline __attribute__((always_inline))

typedef real vec __attribute__((vector_size(BYTES)));
typedef real near __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias)); /* in memory, not aligned */
typedef uint16_t sixteen __attribute__((may_alias)); /* bits of a random number */
typedef __typeof__((vec){0} < (vec){0}) bits; /* integers of the same width, as comparisons give them */
typedef uint16_t few __attribute__((vector_size(BYTES / sizeof(real) * 2), aligned(2), may_alias)); /* one for each */

INLINE vec load(const real *from) { return *(const near *)from; }
INLINE void store(real *to, vec values) { *(near *)to = values; }
INLINE vec choose(bits which, vec yes, vec no) { return (vec)((which & (bits)yes) | (~which & (bits)no)); }
INLINE vec all(real value) { return value - (vec){0}; }
INLINE long padded(long n) { return (n + LANES - 1) / LANES * LANES; }

/* Values whose places differ in one bit change places; from two vectors, those of one half of each. The rest is made of
 * these, as processors have an instruction for each. */
#if defined(__clang__)
INLINE vec swapped(vec v, const int bit) {
    vec to;
    for (int l = 0; l < LANES; l++) to[l] = v[l ^ bit];
    return to;
}
INLINE vec halves(vec a, vec b, const int bit, const int second) {
    vec to;
    for (int l = 0; l < LANES; l++) to[l] = l & bit ? b[second ? l : l ^ bit] : a[second ? l ^ bit : l];
    return to;
}
#else
INLINE vec swapped(vec v, const int bit) {
    bits from;
    for (int l = 0; l < LANES; l++) from[l] = l ^ bit;
    return __builtin_shuffle(v, from);
}
INLINE vec halves(vec a, vec b, const int bit, const int second) {
    bits from;
    for (int l = 0; l < LANES; l++) from[l] = (!(l & bit) == !second ? l : l ^ bit) + (l & bit ? LANES : 0);
    return __builtin_shuffle(a, b, from);
}
#endif

/* The sum and the largest of a vector's values. */
INLINE real sum(vec v) {
    if (LANES > 8) v += swapped(v, 8);
    if (LANES > 4) v += swapped(v, 4);
    if (LANES > 2) v += swapped(v, 2);
    return (v + swapped(v, 1))[0];
}

INLINE vec larger(vec a, vec b) { return choose(a > b, a, b); }

INLINE real largest(vec v) {
    if (LANES > 8) v = larger(v, swapped(v, 8));
    if (LANES > 4) v = larger(v, swapped(v, 4));
    if (LANES > 2) v = larger(v, swapped(v, 2));
    return larger(v, swapped(v, 1))[0];
}

/* The first n values, 0 behind them; and their way back. For the end of a row. */
INLINE vec load_some(const real *from, long n) {
    vec v = {0};
    if (n >= LANES) return load(from);
    memcpy(&v, from, n * sizeof(real));
    return v;
}

INLINE void store_some(real *to, vec values, long n) {
    if (n >= LANES) store(to, values);
    else memcpy(to, &values, n * sizeof(real));
}

/* Vectors of a row one after another: n of the elements from c on are there, LANES as a constant where they all are. */
#define EACH_VECTOR(size, ...) \
    do { \
        long c = 0; \
        for (; c + LANES <= (size); c += LANES) { \
            const long n = LANES; \
            __VA_ARGS__ \
        } \
        if (c < (size)) { \
            const long n = (size) - c; \
            __VA_ARGS__ \
        } \
    } while (0)

/* ------------------------------------------------------------------ exp and the normal distribution */

#define IS_FLOAT (sizeof(real) == 4)

/* e^x. In float to about one unit in the last place, by 2^k e^r with |r| <= ln(2)/2 (Cody and Waite 1980), and 0 below
 * -87; in double the C library's. */
INLINE vec exponential(vec x) {
    if (!IS_FLOAT) {
        for (int i = 0; i < LANES; i++) x[i] = exp(x[i]);
        return x;
    }
    const real shift = 12582912; /* 1.5 * 2^23: what is added to it is rounded to a whole number */
    x = choose(x < (real)-87, all((real)-88), x); /* of which k is -127, and 2^k comes out as 0 */
    vec shifted = x * (real)1.44269504088896341 + shift;
    vec k = shifted - shift;
    vec r = x - k * (real)0.693359375 + k * (real)2.12194440e-4;
    vec p = all((real)1.9875691500e-4);
    p = p * r + (real)1.3981999507e-3;
    p = p * r + (real)8.3334519073e-3;
    p = p * r + (real)4.1665795894e-2;
    p = p * r + (real)1.6666665459e-1;
    p = p * r + (real)5.0000001201e-1;
    p = p * r * r + r + (real)1;
    bits power = ((bits)shifted + (127 - 0x4B400000)) << (IS_FLOAT ? 23 : 0);
    return p * (vec)power;
}

/* Phi(x) of the standard normal distribution, and its density. In float by Abramowitz and Stegun 7.1.26, which torch
 * takes for erf too: to 1.5e-7. */
INLINE vec normal(vec x, vec *density) {
    const real root = 0.70710678118654752440, scale = 0.39894228040143267794;
    vec e = exponential(x * x * (real)-0.5);
    *density = e * scale;
    if (!IS_FLOAT) {
        vec p;
        for (int i = 0; i < LANES; i++) p[i] = 0.5 * erfc(-x[i] * root);
        return p;
    }
    vec z = choose(x < 0, -x, x) * root;
    vec t = (real)1 / (z * (real)0.3275911 + (real)1);
    vec p = all((real)1.061405429);
    p = p * t + (real)-1.453152027;
    p = p * t + (real)1.421413741;
    p = p * t + (real)-0.284496736;
    p = p * t + (real)0.254829592;
    vec tail = p * t * e * (real)0.5; /* Phi(-z) */
    return choose(x < 0, tail, (real)1 - tail);
}

/* ------------------------------------------------------------------ dropout */

INLINE uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Random numbers for n elements, the first of which is number `start`, a multiple of four. There is room for a vector's
 * more than n. */
static void draw(sixteen *drawn, long n, uint64_t seed, uint64_t start) {
    uint64_t *four = (uint64_t *)drawn;
    for (long i = 0; i < (n + 3) / 4; i++) four[i] = mixed(seed + (start / 4 + i) * 0x9E3779B97F4A7C15u);
}

/* A vector's elements times `scale`, 65536 / keep, or 0, by their random numbers. */
INLINE vec dropped(vec v, const sixteen *drawn, long keep, real scale) {
    bits numbers = __builtin_convertvector(*(const few *)drawn, bits);
    return (vec)((bits)(v * scale) & (numbers < (int)keep));
}

/* ------------------------------------------------------------------ columns for rows */

/* A block's first `right` columns of `down` rows, to the first `width` columns of as many rows: by halves, then by
 * quarters ... */
INLINE void turn_block(real *to, long across, const real *from, long stride, long down, long right, long width) {
    vec block[BYTES / sizeof(real)];
#pragma GCC unroll 16
    for (long l = 0; l < LANES; l++) block[l] = l < down ? load_some(from + l * stride, right) : all(0);
#define TURN(bit) \
    _Pragma("GCC unroll 16") for (long l = 0; l < LANES; l++) if ((bit) < LANES && !(l & (bit))) { \
        vec a = block[l], b = block[l ^ (bit)]; \
        block[l] = halves(a, b, bit, 0), block[l ^ (bit)] = halves(a, b, bit, 1); \
    }
    TURN(8) TURN(4) TURN(2) TURN(1)
#undef TURN
#pragma GCC unroll 16
    for (long l = 0; l < LANES; l++)
        if (l < right) store_some(to + l * across, block[l], width);
}

/* `to`, whose rows are `across` apart, becomes the first `size` columns of `from`, of `rows` rows that are `stride`
 * apart, and 0 from there up to `filled` columns. */
static void turn(real *to, long across, const real *from, long stride, long rows, long size, long filled) {
    for (long i = 0; i < filled; i += LANES)
        for (long c = 0; c < size; c += LANES) {
            const long down = rows - i, right = size - c, width = filled - i;
            if (down >= LANES && right >= LANES && width >= LANES)
                turn_block(to + c * across + i, across, from + i * stride + c, stride, LANES, LANES, LANES);
            else turn_block(to + c * across + i, across, from + i * stride + c, stride, down, right, width);
        }
}
