/* What a BERT layer does between its matrix products while it trains, each in one pass over memory: attention,
 * dropout + residual + LayerNorm, GELU, and their gradients.
 *
 * Compiled by library.py for the machine at hand, with REAL float or double. Texts stand row after row without
 * padding: text b has the rows offsets[b] to offsets[b + 1]. Matrices are row-major and have no gaps. Sums over rows are
 * cut into `threads` parts by number, not by who is free, so that they are added in one order.
 *
 * Dropout: element i of a tensor is kept where 16 bits of splitmix64 (Steele, Lea and Flood 2014) at seed and i are
 * below `keep` (of 65536; 65536 drops nothing). The gradient draws the same bits again: no mask is kept.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
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

/* ------------------------------------------------------------------ small matrix products */

/* `rows` rows and `columns` vectors of c = a b. b has k rows; a's element (i, p) is a[i * down + p * right]. */
INLINE void tile(const int rows, const int columns, long k, const real *a, long down, long right, const real *b,
                 long width, real *c, long c_width) {
    vec found[6][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) found[i][j] = all(0);
    for (long p = 0; p < k; p++) {
        vec b0 = load(b + p * width), b1 = columns > 1 ? load(b + p * width + LANES) : b0;
        for (int i = 0; i < rows; i++) {
            real one = a[i * down + p * right];
            found[i][0] += one * b0;
            if (columns > 1) found[i][1] += one * b1;
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) store(c + i * c_width + j * LANES, found[i][j]);
}

INLINE void panel(const int columns, long m, long k, const real *a, long down, long right, const real *b, long width,
                  real *c, long c_width) {
    long i = 0;
    for (; i + 6 <= m; i += 6) tile(6, columns, k, a + i * down, down, right, b, width, c + i * c_width, c_width);
    a += i * down, c += i * c_width;
    switch (m - i) {
    case 5: tile(5, columns, k, a, down, right, b, width, c, c_width); break;
    case 4: tile(4, columns, k, a, down, right, b, width, c, c_width); break;
    case 3: tile(3, columns, k, a, down, right, b, width, c, c_width); break;
    case 2: tile(2, columns, k, a, down, right, b, width, c, c_width); break;
    case 1: tile(1, columns, k, a, down, right, b, width, c, c_width); break;
    }
}

/* c (m, n) = a (m, k) b (k, n); n is a multiple of LANES, and the width of c. */
static void product(long m, long n, long k, const real *a, long down, long right, const real *b, real *c) {
    long j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES) panel(2, m, k, a, down, right, b + j, n, c + j, n);
    if (j < n) panel(1, m, k, a, down, right, b + j, n, c + j, n);
}

/* ------------------------------------------------------------------ columns for rows */

/* `to`, whose rows are `across` apart, becomes the first `size` columns of `from`, of `rows` rows that are `stride`
 * apart, and 0 from there up to `filled` columns. Blocks of LANES x LANES are turned by halves, then by quarters ... */
static void turn(real *to, long across, const real *from, long stride, long rows, long size, long filled) {
    for (long i = 0; i < filled; i += LANES)
        for (long c = 0; c < size; c += LANES) {
            vec block[BYTES / sizeof(real)];
#pragma GCC unroll 16
            for (long l = 0; l < LANES; l++)
                block[l] = i + l < rows ? load_some(from + (i + l) * stride + c, size - c) : all(0);
#define TURN(bit) \
    _Pragma("GCC unroll 16") for (long l = 0; l < LANES; l++) if ((bit) < LANES && !(l & (bit))) { \
        vec a = block[l], b = block[l ^ (bit)]; \
        block[l] = halves(a, b, bit, 0), block[l ^ (bit)] = halves(a, b, bit, 1); \
    }
            TURN(8) TURN(4) TURN(2) TURN(1)
#undef TURN
#pragma GCC unroll 16
            for (long l = 0; l < LANES; l++)
                if (c + l < size) store_some(to + (c + l) * across + i, block[l], filled - i);
        }
}

/* to (width, rows) of from (rows, width). */
int turned(const real *from, long rows, long width, real *to, long threads) {
    const long stripe = 32, stripes = (width + stripe - 1) / stripe; /* columns; so many places are written at once */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long part = 0; part < stripes; part++) {
        const long c = part * stripe, n = width - c < stripe ? width - c : stripe;
        turn(to + c * rows, rows, from + c, width, rows, n, rows);
    }
    return 0;
}

/* ------------------------------------------------------------------ attention */

/* Room of one thread for one head of any of the texts. */
typedef struct {
    real *q, *k, *v, *g, *out;  /* (T, padded head size) */
    real *turned;               /* (head size, padded T) */
    real *p, *d;                /* (T, padded T) */
    real *share;                /* (T) */
    sixteen *drawn;             /* (padded T), and a vector's more */
    void *block;
} room;

static int open_room(room *r, const int64_t *offsets, long texts, long size) {
    long longest = 0;
    for (long b = 0; b < texts; b++)
        if (offsets[b + 1] - offsets[b] > longest) longest = offsets[b + 1] - offsets[b];
    const long wide = padded(size), long_ = padded(longest);
    const long count = 5 * longest * wide + size * long_ + 2 * longest * long_ + 2 * (long_ + LANES);
    if (posix_memalign(&r->block, 64, count * sizeof(real) + BYTES)) return 0;
    real *at = r->block;
    r->p = at, at += longest * long_; /* rows of whole vectors first: all of these are aligned */
    r->d = at, at += longest * long_;
    r->turned = at, at += size * long_;
    r->q = at, at += longest * wide;
    r->k = at, at += longest * wide;
    r->v = at, at += longest * wide;
    r->g = at, at += longest * wide;
    r->out = at, at += longest * wide;
    r->share = at, at += long_;
    r->drawn = (sixteen *)at;
    return 1;
}

/* One head's rows of a matrix, 0 behind them. */
static void take(real *to, const real *from, long stride, long rows, long size) {
    const long wide = padded(size);
    for (long i = 0; i < rows; i++, to += wide, from += stride)
        for (long c = 0; c < wide; c += LANES) store(to + c, c < size ? load_some(from + c, size - c) : all(0));
}

/* And back, row i times share[i], or all times `scale`. */
static void give(real *to, const real *from, long stride, long rows, long size, const real *share, real scale) {
    const long wide = padded(size);
    for (long i = 0; i < rows; i++, from += wide, to += stride)
        for (long c = 0; c < size; c += LANES)
            store_some(to + c, load(from + c) * (share ? share[i] : scale), size - c);
}

/* Which number a row of attention weights has: rows of all heads have 65536 numbers each. */
INLINE uint64_t number(long row, long heads, long head) { return ((uint64_t)row * heads + head) << 16; }

/* A head's part of a row, which will soon be read. */
INLINE void fetch(const real *row, long size) {
    for (long c = 0; c < size; c += 64 / sizeof(real)) __builtin_prefetch(row + c);
}

/* Heads that a thread takes at once: a text's, whose parts of a row lie side by side, if enough is left for others. */
INLINE long at_once(long tasks, long heads, long threads) {
    const long quarter = tasks / (4 * threads) + 1;
    return quarter < heads ? quarter : heads;
}

/* context (N, heads * size) of qkv (N, 3 * heads * size); softmax (N, heads, 2): each row's largest score, and one
 * over the sum of exponentials. */
int attention(const real *qkv, const int64_t *offsets, long texts, long heads, long size, uint64_t seed, long keep,
              real *context, real *softmax, long threads) {
    const long hidden = heads * size, stride = 3 * hidden, wide = padded(size), tasks = texts * heads;
    const long together = at_once(tasks, heads, threads);
    const real scale = 1 / sqrt((double)size), kept = (real)ALL / keep;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        room r = {0};
        const int mine = open_room(&r, offsets, texts, size);
        if (!mine) failed = 1;
#pragma omp for schedule(dynamic, together)
        for (long task = 0; task < tasks; task++) {
            const long b = task / heads, head = task % heads, first = offsets[b], n = offsets[b + 1] - first;
            if (!mine || !n) continue;
            const long long_ = padded(n), last = long_ - LANES;
            const real *q = qkv + first * stride + head * size, *k = q + hidden, *v = k + hidden;
            real *to = context + first * hidden + head * size;
            take(r.v, v, stride, n, size);
            turn(r.turned, long_, k, stride, n, size, long_);
            product(n, long_, size, q, stride, 1, r.turned, r.p);
            bits there; /* which of a row's last scores are some */
            for (int l = 0; l < LANES; l++) there[l] = last + l < n ? -1 : 0;
            for (long i = 0; i < n; i++) {
                real *row = r.p + i * long_;
                store(row + last, choose(there, load(row + last), all(-INFINITY)));
                vec top = load(row);
                for (long j = LANES; j < long_; j += LANES) top = larger(load(row + j), top);
                const real most = largest(top) * scale;
                if (keep < ALL) draw(r.drawn, long_, seed, number(first + i, heads, head));
                vec total = {0};
                for (long j = 0; j < long_; j += LANES) {
                    vec e = exponential(load(row + j) * scale - most);
                    total += e;
                    store(row + j, keep < ALL ? dropped(e, r.drawn + j, keep, kept) : e);
                }
                r.share[i] = 1 / sum(total);
                real *found = softmax + 2 * ((first + i) * heads + head);
                found[0] = most, found[1] = r.share[i];
                if (head + 1 < heads)
                    for (int part = 0; part < 3; part++) fetch(q + i * stride + part * hidden + size, size);
            }
            product(n, wide, n, r.p, long_, 1, r.v, r.out);
            give(to, r.out, hidden, n, size, r.share, 1);
        }
        free(r.block);
    }
    return failed;
}

/* of_qkv (N, 3 * heads * size) from of_context; the weights are computed again (Dao et al. 2022, algorithm 4). */
int attention_gradient(const real *qkv, const real *context, const real *of_context, const real *softmax,
                       const int64_t *offsets, long texts, long heads, long size, uint64_t seed, long keep,
                       real *of_qkv, long threads) {
    const long hidden = heads * size, stride = 3 * hidden, wide = padded(size), tasks = texts * heads;
    const long together = at_once(tasks, heads, threads);
    const real scale = 1 / sqrt((double)size), kept = (real)ALL / keep;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        room r = {0};
        const int mine = open_room(&r, offsets, texts, size);
        if (!mine) failed = 1;
#pragma omp for schedule(dynamic, together)
        for (long task = 0; task < tasks; task++) {
            const long b = task / heads, head = task % heads, first = offsets[b], n = offsets[b + 1] - first;
            if (!mine || !n) continue;
            const long long_ = padded(n), at = first * stride + head * size;
            const real *q = qkv + at, *k = q + hidden, *v = k + hidden, *g = of_context + first * hidden + head * size;
            const real *c = context + first * hidden + head * size;
            real *to = of_qkv + at;
            take(r.q, q, stride, n, size);
            take(r.k, k, stride, n, size);
            take(r.g, g, hidden, n, size);
            turn(r.turned, long_, r.k, wide, n, size, long_);
            product(n, long_, size, r.q, wide, 1, r.turned, r.p);
            turn(r.turned, long_, v, stride, n, size, long_);
            product(n, long_, size, r.g, wide, 1, r.turned, r.d);
            for (long i = 0; i < n; i++) {
                real *row = r.p + i * long_, *of_row = r.d + i * long_;
                const real *found = softmax + 2 * ((first + i) * heads + head);
                const real most = found[0], share = found[1];
                vec products = {0};
                for (long x = 0; x < size; x += LANES)
                    products += load_some(c + i * hidden + x, size - x) * load(r.g + i * wide + x);
                const real inner = sum(products); /* of the weights and their gradients */
                if (keep < ALL) draw(r.drawn, long_, seed, number(first + i, heads, head));
                for (long j = 0; j < long_; j += LANES) {
                    vec p = exponential(load(row + j) * scale - most) * share, d = load(of_row + j);
                    if (keep < ALL) d = dropped(d, r.drawn + j, keep, kept);
                    store(of_row + j, p * (d - inner));
                    store(row + j, keep < ALL ? dropped(p, r.drawn + j, keep, kept) : p);
                }
                if (head + 1 < heads) {
                    for (int part = 0; part < 3; part++) fetch(q + i * stride + part * hidden + size, size);
                    fetch(g + i * hidden + size, size);
                    fetch(c + i * hidden + size, size);
                }
            }
            product(n, wide, n, r.d, long_, 1, r.k, r.out);
            give(to, r.out, stride, n, size, NULL, scale);
            product(n, wide, n, r.d, 1, long_, r.q, r.out);
            give(to + hidden, r.out, stride, n, size, NULL, scale);
            product(n, wide, n, r.p, 1, long_, r.g, r.out);
            give(to + 2 * hidden, r.out, stride, n, size, NULL, 1);
        }
        free(r.block);
    }
    return failed;
}

/* ------------------------------------------------------------------ dropout + residual + LayerNorm */

/* out = LayerNorm(residual + dropout(y)); y is overwritten with what LayerNorm has before weight and bias. */
int add_norm(real *y, const real *residual, const real *weight, const real *bias, real eps, long rows, long hidden,
             uint64_t seed, long keep, real *out, real *rstd, long threads) {
    const long stride = (hidden + 3) / 4 * 4;
    const real kept = (real)ALL / keep;
    int failed = 0;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (long part = 0; part < threads; part++) {
        sixteen *drawn = malloc((stride + LANES) * sizeof(sixteen));
        if (!drawn) {
            failed = 1;
            continue;
        }
        for (long i = rows * part / threads; i < rows * (part + 1) / threads; i++) {
            real *row = y + i * hidden;
            const real *from = residual + i * hidden;
            if (keep < ALL) draw(drawn, stride, seed, (uint64_t)i * stride);
            vec total = {0}, squares = {0};
            for (long c = 0; c < hidden; c += LANES) {
                const long n = hidden - c;
                vec v = load_some(row + c, n);
                if (keep < ALL) v = dropped(v, drawn + c, keep, kept);
                v += load_some(from + c, n);
                total += v;
                store_some(row + c, v, n);
            }
            const real mean = sum(total) / hidden;
            for (long c = 0; c < hidden; c += LANES) {
                vec v = load_some(row + c, hidden - c) - mean;
                if (hidden - c < LANES)
                    for (long l = hidden - c; l < LANES; l++) v[l] = 0;
                squares += v * v;
            }
            const real r = 1 / sqrt((double)(sum(squares) / hidden + eps));
            rstd[i] = r;
            for (long c = 0; c < hidden; c += LANES) {
                const long n = hidden - c;
                vec v = (load_some(row + c, n) - mean) * r;
                store_some(row + c, v, n);
                store_some(out + i * hidden + c, v * load_some(weight + c, n) + load_some(bias + c, n), n);
            }
        }
        free(drawn);
    }
    return failed;
}

/* Gradients of add_norm. The gradient of its output is `of_out`, plus `more` where that is not NULL; those of
 * residual and y are written. sums (threads, 3, hidden): each part's share of those of weight, bias, and of what had
 * been added to all rows of y. */
int add_norm_gradient(const real *of_out, const real *more, const real *standard, const real *rstd, const real *weight,
                      long rows, long hidden, uint64_t seed, long keep, real *of_residual, real *of_y, real *sums,
                      long threads) {
    const long stride = (hidden + 3) / 4 * 4;
    const real kept = (real)ALL / keep;
    int failed = 0;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (long part = 0; part < threads; part++) {
        sixteen *drawn = malloc((stride + LANES) * sizeof(sixteen));
        real *of_weight = sums + part * 3 * hidden, *of_bias = of_weight + hidden, *of_added = of_bias + hidden;
        if (!drawn) {
            failed = 1;
            continue;
        }
        memset(of_weight, 0, 3 * hidden * sizeof(real));
        for (long i = rows * part / threads; i < rows * (part + 1) / threads; i++) {
            const long at = i * hidden;
            if (keep < ALL) draw(drawn, stride, seed, (uint64_t)i * stride);
            vec first = {0}, second = {0};
            for (long c = 0; c < hidden; c += LANES) {
                const long n = hidden - c;
                vec g = load_some(of_out + at + c, n), x = load_some(standard + at + c, n);
                if (more) g += load_some(more + at + c, n);
                store_some(of_residual + at + c, g, n);
                store_some(of_weight + c, load_some(of_weight + c, n) + g * x, n);
                store_some(of_bias + c, load_some(of_bias + c, n) + g, n);
                g *= load_some(weight + c, n);
                first += g;
                second += g * x;
            }
            const real a = sum(first) / hidden, b = sum(second) / hidden, r = rstd[i];
            for (long c = 0; c < hidden; c += LANES) {
                const long n = hidden - c;
                vec g = load_some(of_residual + at + c, n) * load_some(weight + c, n);
                vec of = (g - a - load_some(standard + at + c, n) * b) * r;
                store_some(of_residual + at + c, of, n);
                if (keep < ALL) of = dropped(of, drawn + c, keep, kept);
                store_some(of_y + at + c, of, n);
                store_some(of_added + c, load_some(of_added + c, n) + of, n);
            }
        }
        free(drawn);
    }
    return failed;
}

/* ------------------------------------------------------------------ GELU */

/* out = x Phi(x) (Hendrycks and Gimpel 2016), in place if they are the same. */
int gelu(const real *x, real *out, long count, long threads) {
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (long part = 0; part < threads; part++) {
        const long end = count * (part + 1) / threads;
        for (long i = count * part / threads; i < end; i += LANES) {
            vec v = load_some(x + i, end - i), density;
            store_some(out + i, v * normal(v, &density), end - i);
        }
    }
    return 0;
}

/* `gradient`, that of the output, becomes that of x, and x becomes the output. sums (threads, width): each part's
 * share of the sum over rows. */
int gelu_gradient(real *x, real *gradient, long rows, long width, real *sums, long threads) {
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (long part = 0; part < threads; part++) {
        real *added = sums + part * width;
        memset(added, 0, width * sizeof(real));
        for (long i = rows * part / threads; i < rows * (part + 1) / threads; i++)
            for (long c = 0; c < width; c += LANES) {
                const long n = width - c, at = i * width + c;
                vec v = load_some(x + at, n), density;
                vec p = normal(v, &density);
                vec g = load_some(gradient + at, n) * (p + v * density);
                store_some(gradient + at, g, n);
                store_some(added + c, load_some(added + c, n) + g, n);
                store_some(x + at, v * p, n);
            }
    }
    return 0;
}
