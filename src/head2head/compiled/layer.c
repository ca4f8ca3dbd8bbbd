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

INLINE vec load(const real *from) { return *(const near *)from; }
INLINE void store(real *to, vec values) { *(near *)to = values; }
INLINE vec choose(bits which, vec yes, vec no) { return (vec)((which & (bits)yes) | (~which & (bits)no)); }
INLINE vec all(real value) { return value - (vec){0}; }
INLINE long padded(long n) { return (n + LANES - 1) / LANES * LANES; }

/* The sum and the largest of a vector's values, by halves. */
INLINE real sum(vec v) {
    real values[BYTES / sizeof(real)];
    memcpy(values, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) values[i] += values[i + half];
    return values[0];
}

INLINE real largest(vec v) {
    real values[BYTES / sizeof(real)];
    memcpy(values, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) values[i] = values[i] > values[i + half] ? values[i] : values[i + half];
    return values[0];
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
    bits low = x < (real)-87;
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
    return choose(low, all(0), p * (vec)power);
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

/* What n elements are multiplied by, the first of which is number `start`, a multiple of four: 0 or 65536 / keep.
 * `drawn` has room for n / 4 + 1 numbers. */
static void multipliers(real *out, long n, uint64_t seed, uint64_t start, long keep, uint64_t *drawn) {
    const real scale = (real)ALL / keep;
    for (long i = 0; i < (n + 3) / 4; i++) drawn[i] = mixed(seed + (start / 4 + i) * 0x9E3779B97F4A7C15u);
    const sixteen *of_each = (const sixteen *)drawn;
    for (long i = 0; i < n; i++) out[i] = of_each[i] < keep ? scale : 0;
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

/* ------------------------------------------------------------------ attention */

/* Room of one thread for one head of any of the texts. */
typedef struct {
    real *q, *k, *v, *g, *out;    /* (T, padded head size) */
    real *turned_k, *turned_v;    /* (head size, padded T) */
    real *p, *d;                  /* (T, padded T) */
    real *keep;                   /* (padded T) */
    uint64_t *drawn;
    void *block;
} room;

static int open_room(room *r, const int64_t *offsets, long texts, long size) {
    long longest = 0;
    for (long b = 0; b < texts; b++)
        if (offsets[b + 1] - offsets[b] > longest) longest = offsets[b + 1] - offsets[b];
    long wide = padded(size), long_ = padded(longest);
    long count = 5 * longest * wide + 2 * size * long_ + 2 * longest * long_ + long_;
    real *at = r->block = malloc(count * sizeof(real) + (long_ / 4 + 1) * 8 + 64);
    if (!at) return 0;
    r->drawn = (uint64_t *)at, at = (real *)(r->drawn + long_ / 4 + 1);
    r->q = at, at += longest * wide;
    r->k = at, at += longest * wide;
    r->v = at, at += longest * wide;
    r->g = at, at += longest * wide;
    r->out = at, at += longest * wide;
    r->turned_k = at, at += size * long_;
    r->turned_v = at, at += size * long_;
    r->p = at, at += longest * long_;
    r->d = at, at += longest * long_;
    r->keep = at;
    return 1;
}

/* One head's rows of a matrix, times `scale`, 0 behind them. */
static void take(real *to, const real *from, long stride, long rows, long size, real scale) {
    long wide = padded(size);
    for (long i = 0; i < rows; i++, to += wide, from += stride)
        for (long c = 0; c < wide; c += LANES)
            store(to + c, c < size ? load_some(from + c, size - c) * scale : all(0));
}

static void give(real *to, const real *from, long stride, long rows, long size, real scale) {
    long wide = padded(size);
    for (long i = 0; i < rows; i++, from += wide, to += stride)
        for (long c = 0; c < size; c += LANES) store_some(to + c, load(from + c) * scale, size - c);
}

static void turn(real *to, const real *from, long rows, long size) {
    long wide = padded(size), long_ = padded(rows);
    for (long c = 0; c < size; c++) {
        for (long i = 0; i < rows; i++) to[c * long_ + i] = from[i * wide + c];
        for (long i = rows; i < long_; i++) to[c * long_ + i] = 0;
    }
}

/* Which number a row of attention weights has: rows of all heads have 65536 numbers each. */
INLINE uint64_t number(long row, long heads, long head) { return ((uint64_t)row * heads + head) << 16; }

/* A head's queries, keys and values of a text of n rows, which begins at `from`, and the products of the first two. */
static void scores(room *r, const real *from, long n, long hidden, long size) {
    take(r->q, from, 3 * hidden, n, size, 1 / sqrt((double)size));
    take(r->k, from + hidden, 3 * hidden, n, size, 1);
    take(r->v, from + 2 * hidden, 3 * hidden, n, size, 1);
    turn(r->turned_k, r->k, n, size);
    product(n, padded(n), size, r->q, padded(size), 1, r->turned_k, r->p);
}

/* context (N, heads * size) of qkv (N, 3 * heads * size); softmax (N, heads, 2): each row's largest score, and one
 * over the sum of exponentials. */
int attention(const real *qkv, const int64_t *offsets, long texts, long heads, long size, uint64_t seed, long keep,
              real *context, real *softmax, long threads) {
    const long hidden = heads * size, wide = padded(size), tasks = texts * heads;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        room r = {0};
        int mine = open_room(&r, offsets, texts, size);
        if (!mine) failed = 1;
#pragma omp for schedule(dynamic, 4)
        for (long task = 0; task < tasks; task++) {
            const long b = task / heads, head = task % heads, first = offsets[b], n = offsets[b + 1] - first;
            if (!mine || !n) continue;
            const long long_ = padded(n);
            scores(&r, qkv + first * 3 * hidden + head * size, n, hidden, size);
            for (long i = 0; i < n; i++) {
                real *row = r.p + i * long_;
                for (long j = n; j < long_; j++) row[j] = -INFINITY;
                vec top = load(row);
                for (long j = LANES; j < long_; j += LANES) {
                    vec s = load(row + j);
                    top = choose(s > top, s, top);
                }
                const real most = largest(top);
                vec total = {0};
                for (long j = 0; j < long_; j += LANES) {
                    vec e = exponential(load(row + j) - most);
                    total += e;
                    store(row + j, e);
                }
                const real share = 1 / sum(total);
                real *kept = softmax + 2 * ((first + i) * heads + head);
                kept[0] = most, kept[1] = share;
                if (keep < ALL) {
                    multipliers(r.keep, long_, seed, number(first + i, heads, head), keep, r.drawn);
                    for (long j = 0; j < long_; j += LANES) store(row + j, load(row + j) * share * load(r.keep + j));
                } else
                    for (long j = 0; j < long_; j += LANES) store(row + j, load(row + j) * share);
            }
            product(n, wide, n, r.p, long_, 1, r.v, r.out);
            give(context + first * hidden + head * size, r.out, hidden, n, size, 1);
        }
        free(r.block);
    }
    return failed;
}

/* of_qkv (N, 3 * heads * size) from of_context; the weights are computed again (Dao et al. 2022, algorithm 4). */
int attention_gradient(const real *qkv, const real *context, const real *of_context, const real *softmax,
                       const int64_t *offsets, long texts, long heads, long size, uint64_t seed, long keep,
                       real *of_qkv, long threads) {
    const long hidden = heads * size, wide = padded(size), tasks = texts * heads;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        room r = {0};
        int mine = open_room(&r, offsets, texts, size);
        if (!mine) failed = 1;
#pragma omp for schedule(dynamic, 4)
        for (long task = 0; task < tasks; task++) {
            const long b = task / heads, head = task % heads, first = offsets[b], n = offsets[b + 1] - first;
            if (!mine || !n) continue;
            const long long_ = padded(n), at = first * 3 * hidden + head * size;
            scores(&r, qkv + at, n, hidden, size);
            take(r.g, of_context + first * hidden + head * size, hidden, n, size, 1);
            turn(r.turned_v, r.v, n, size);
            product(n, long_, size, r.g, wide, 1, r.turned_v, r.d);
            for (long i = 0; i < n; i++) {
                real *row = r.p + i * long_, *of_row = r.d + i * long_;
                const real *c = context + (first + i) * hidden + head * size;
                const real *kept = softmax + 2 * ((first + i) * heads + head);
                const real most = kept[0], share = kept[1];
                vec products = {0};
                for (long x = 0; x < size; x += LANES)
                    products += load_some(c + x, size - x) * load(r.g + i * wide + x);
                const real inner = sum(products); /* of the weights and their gradients */
                if (keep < ALL) multipliers(r.keep, long_, seed, number(first + i, heads, head), keep, r.drawn);
                for (long j = 0; j < long_; j += LANES) {
                    vec p = exponential(load(row + j) - most) * share, d = load(of_row + j);
                    if (keep < ALL) {
                        vec by = load(r.keep + j);
                        store(of_row + j, p * (d * by - inner));
                        store(row + j, p * by);
                    } else {
                        store(of_row + j, p * (d - inner));
                        store(row + j, p);
                    }
                }
            }
            real *to = of_qkv + at;
            product(n, wide, n, r.d, long_, 1, r.k, r.out);
            give(to, r.out, 3 * hidden, n, size, 1 / sqrt((double)size));
            product(n, wide, n, r.d, 1, long_, r.q, r.out);
            give(to + hidden, r.out, 3 * hidden, n, size, 1);
            product(n, wide, n, r.p, 1, long_, r.g, r.out);
            give(to + 2 * hidden, r.out, 3 * hidden, n, size, 1);
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
    int failed = 0;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (long part = 0; part < threads; part++) {
        real *by = malloc((stride + LANES) * sizeof(real) + stride * 2 + 16);
        if (!by) {
            failed = 1;
            continue;
        }
        uint64_t *drawn = (uint64_t *)(by + stride + LANES);
        for (long i = rows * part / threads; i < rows * (part + 1) / threads; i++) {
            real *row = y + i * hidden;
            const real *from = residual + i * hidden;
            if (keep < ALL) multipliers(by, stride, seed, (uint64_t)i * stride, keep, drawn);
            vec total = {0}, squares = {0};
            for (long c = 0; c < hidden; c += LANES) {
                const long n = hidden - c;
                vec v = load_some(row + c, n);
                if (keep < ALL) v *= load_some(by + c, n);
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
        free(by);
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
    int failed = 0;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (long part = 0; part < threads; part++) {
        real *by = malloc((stride + LANES) * sizeof(real) + stride * 2 + 16);
        real *of_weight = sums + part * 3 * hidden, *of_bias = of_weight + hidden, *of_added = of_bias + hidden;
        if (!by) {
            failed = 1;
            continue;
        }
        memset(of_weight, 0, 3 * hidden * sizeof(real));
        uint64_t *drawn = (uint64_t *)(by + stride + LANES);
        for (long i = rows * part / threads; i < rows * (part + 1) / threads; i++) {
            const long at = i * hidden;
            if (keep < ALL) multipliers(by, stride, seed, (uint64_t)i * stride, keep, drawn);
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
                if (keep < ALL) of *= load_some(by + c, n);
                store_some(of_y + at + c, of, n);
                store_some(of_added + c, load_some(of_added + c, n) + of, n);
            }
        }
        free(by);
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
