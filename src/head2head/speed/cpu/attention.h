/* Attention of texts that stand row after row without padding, and its gradient. Called by all threads of a team, which
 * share the work and do not wait for each other at the end. */
#include "products.h"

/* A batch: text b has the rows offsets[b] to offsets[b + 1]. */
typedef struct {
    const int64_t *offsets;
    long texts, longest; /* number, rows */
    long heads, size;    /* number, of one */
    uint64_t seed;       /* of dropout of the weights */
    long keep, threads;
} batch;

/* Room of one thread for one head of any of the texts. */
typedef struct {
    real *q, *k, *v, *g, *out;  /* (T, padded head size) */
    real *turned;               /* (head size, padded T) */
    real *p, *d;                /* (T, padded T) */
    real *share;                /* (T) */
    sixteen *drawn;             /* (padded T), and a vector's more */
} room;

static long longest_of(const int64_t *offsets, long texts) {
    long longest = 0;
    for (long b = 0; b < texts; b++)
        if (offsets[b + 1] - offsets[b] > longest) longest = offsets[b + 1] - offsets[b];
    return longest;
}

/* Numbers that such a room takes. */
static long room_size(const batch *of) {
    const long longest = of->longest, long_ = padded(longest), wide = padded(of->size);
    return 5 * longest * wide + wide * long_ + 2 * longest * long_ + 2 * (long_ + LANES);
}

/* The calling thread's, of those that stand at `rooms`. */
static room own_room(real *rooms, const batch *of) {
    const long longest = of->longest, long_ = padded(longest), wide = padded(of->size);
    real *at = rooms + omp_get_thread_num() * room_size(of);
    room r;
    r.p = at, at += longest * long_; /* all of these are aligned */
    r.d = at, at += longest * long_;
    r.turned = at, at += wide * long_;
    r.q = at, at += longest * wide;
    r.k = at, at += longest * wide;
    r.v = at, at += longest * wide;
    r.g = at, at += longest * wide;
    r.out = at, at += longest * wide;
    r.share = at, at += long_;
    r.drawn = (sixteen *)at;
    return r;
}

/* One head's rows of a matrix, 0 behind them. */
static void take(real *to, const real *from, long stride, long rows, long size) {
    const long wide = padded(size);
    for (long i = 0; i < rows; i++, to += wide, from += stride)
        EACH_VECTOR(size, store(to + c, load_some(from + c, n)););
}

/* And back, row i times share[i], or all times `scale`. */
static void put(real *to, const real *from, long stride, long rows, long size, const real *share, real scale) {
    const long wide = padded(size);
    for (long i = 0; i < rows; i++, from += wide, to += stride)
        EACH_VECTOR(size, store_some(to + c, load(from + c) * (share ? share[i] : scale), n););
}

/* Which number a row of attention weights has: rows of all heads have 65536 numbers each. */
INLINE uint64_t number(long row, long heads, long head) { return ((uint64_t)row * heads + head) << 16; }

/* A head's part of a row, which will soon be read. */
INLINE void fetch(const real *row, long size) {
    for (long c = 0; c < size; c += 64 / sizeof(real)) __builtin_prefetch(row + c);
}

/* Heads that a thread takes at once: a text's, whose parts of a row lie side by side, if enough is left for others. */
INLINE long at_once(const batch *of) {
    const long quarter = of->texts * of->heads / (4 * of->threads) + 1;
    return quarter < of->heads ? quarter : of->heads;
}

/* context (N, heads * size) of qkv (N, 3 * heads * size); softmax (N, heads, 2): each row's largest score, and one
 * over the sum of exponentials. */
static void attention(const batch *of, const real *qkv, real *context, real *softmax, real *rooms) {
    const long heads = of->heads, size = of->size, keep = of->keep, together = at_once(of);
    const long hidden = heads * size, stride = 3 * hidden, wide = padded(size);
    const real scale = 1 / sqrt((double)size), kept = (real)ALL / keep;
    const room r = own_room(rooms, of);
#pragma omp for schedule(dynamic, together) nowait
    for (long task = 0; task < of->texts * heads; task++) {
        const long b = task / heads, head = task % heads, first = of->offsets[b], n = of->offsets[b + 1] - first;
        if (!n) continue;
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
            if (keep < ALL) draw(r.drawn, long_, of->seed, number(first + i, heads, head));
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
        put(to, r.out, hidden, n, size, r.share, 1);
    }
}

/* of_qkv (N, 3 * heads * size) from of_context; the weights are computed again (Dao et al. 2022, algorithm 4). */
static void attention_gradient(const batch *of, const real *qkv, const real *context, const real *of_context,
                               const real *softmax, real *of_qkv, real *rooms) {
    const long heads = of->heads, size = of->size, keep = of->keep, together = at_once(of);
    const long hidden = heads * size, stride = 3 * hidden, wide = padded(size);
    const real scale = 1 / sqrt((double)size), kept = (real)ALL / keep;
    const room r = own_room(rooms, of);
#pragma omp for schedule(dynamic, together) nowait
    for (long task = 0; task < of->texts * heads; task++) {
        const long b = task / heads, head = task % heads, first = of->offsets[b], n = of->offsets[b + 1] - first;
        if (!n) continue;
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
            if (keep < ALL) draw(r.drawn, long_, of->seed, number(first + i, heads, head));
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
        put(to, r.out, stride, n, size, NULL, scale);
        product(n, wide, n, r.d, 1, long_, r.q, r.out);
        put(to + hidden, r.out, stride, n, size, NULL, scale);
        product(n, wide, n, r.p, 1, long_, r.g, r.out);
        put(to + 2 * hidden, r.out, stride, n, size, NULL, 1);
    }
}
