/* Products of matrices, in tiles of ROWS x PANEL that stay in registers (Goto and van de Geijn 2008).
 *
 * Those of a layer's weights are called by all threads of a team, which share the work: each takes what is next, and an
 * element's sum is the same whoever makes it. None waits for the others at the end. The factor whose rows are read side
 * by side is copied together first, into panels of PANEL columns, row after row; what is done to every element of a
 * product afterwards is done before it leaves the cache.
 */
#pragma once

#include "vectors.h"

#if BYTES == 64 || defined(__aarch64__) /* 32 registers */
#define ROWS 12
#else
#define ROWS 6
#endif
#define THIRD (ROWS / 3)
#define PANEL (2 * LANES)
#define DEPTH 2048 /* terms of a sum at a time: a panel of them stays in the second cache */
#define BLOCK 1536 /* rows at a time, for all panels */
#define CHUNK (4 * ROWS) /* of a weight's gradient */

/* `rows` rows and `columns` vectors of c = start + a b. b has k rows; a's element (i, p) is a[i * down + p * right].
 * Without a start it is 0, and with rows of no width the same for each. */
INLINE void tile(const int rows, const int columns, long k, const real *a, long down, long right, const real *b,
                 long width, const real *start, long start_width, real *c, long c_width) {
    vec found[ROWS][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) found[i][j] = start ? load(start + i * start_width + j * LANES) : all(0);
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

/* ------------------------------------------------------------------ of what fits a cache, by one thread */

INLINE void strip(const int columns, long m, long k, const real *a, long down, long right, const real *b, long width,
                  real *c, long c_width) {
    long i = 0;
    for (; i + ROWS <= m; i += ROWS)
        tile(ROWS, columns, k, a + i * down, down, right, b, width, NULL, 0, c + i * c_width, c_width);
    for (; i + 6 <= m; i += 6)
        tile(6, columns, k, a + i * down, down, right, b, width, NULL, 0, c + i * c_width, c_width);
    a += i * down, c += i * c_width;
    switch (m - i) {
    case 5: tile(5, columns, k, a, down, right, b, width, NULL, 0, c, c_width); break;
    case 4: tile(4, columns, k, a, down, right, b, width, NULL, 0, c, c_width); break;
    case 3: tile(3, columns, k, a, down, right, b, width, NULL, 0, c, c_width); break;
    case 2: tile(2, columns, k, a, down, right, b, width, NULL, 0, c, c_width); break;
    case 1: tile(1, columns, k, a, down, right, b, width, NULL, 0, c, c_width); break;
    }
}

/* c (m, n) = a (m, k) b (k, n); n is a multiple of LANES, and the width of c. */
static void product(long m, long n, long k, const real *a, long down, long right, const real *b, real *c) {
    long j = 0;
    for (; j + PANEL <= n; j += PANEL) strip(2, m, k, a, down, right, b + j, n, c + j, n);
    if (j < n) strip(1, m, k, a, down, right, b + j, n, c + j, n);
}

/* ------------------------------------------------------------------ where a tile's sums go */

/* What is done to an element v once its sum is whole.
 * GELU: inner = v, c = v Phi(v) (Hendrycks and Gimpel 2016).
 * GELU_GRADIENT: c = v times that function's derivative at inner, which becomes the function. */
enum { PLAIN, GELU, GELU_GRADIENT };

typedef struct {
    real *c;
    long width;        /* of the matrix that c points into */
    real *inner;       /* of which a row has PANEL */
    long columns;      /* that are there, if fewer than PANEL */
    const real *start; /* of the sums: a bias, what stands in c, or NULL */
    long start_width;  /* 0 if it is the same for each row */
    int then;
} target;

static const real zeros[PANEL];

/* What is done to n elements of a sum that is whole. */
INLINE void give(const int then, vec v, real *c, real *inner, long n) {
    vec density;
    if (then == GELU) {
        store_some(inner, v, n);
        v *= normal(v, &density);
    }
    if (then == GELU_GRADIENT) {
        vec x = load_some(inner, n), p = normal(x, &density);
        v *= p + x * density;
        store_some(inner, x * p, n);
    }
    store_some(c, v, n);
}

INLINE void give_rows(const int then, const target *t, const real *found, long row, long rows) {
    for (long i = 0; i < rows; i++, found += PANEL) {
        real *c = t->c + (row + i) * t->width, *inner = t->inner + (row + i) * PANEL;
        const real *start = t->start ? t->start + (row + i) * t->start_width : zeros;
        if (t->columns >= PANEL) {
            give(then, load(found) + load(start), c, inner, LANES);
            give(then, load(found + LANES) + load(start + LANES), c + LANES, inner + LANES, LANES);
        } else
            for (long l = 0; l < t->columns; l += LANES) {
                const long n = t->columns - l;
                give(then, load(found + l) + load_some(start + l, n), c + l, inner + l, n);
            }
    }
}

/* `rows` rows of sums, PANEL apart, to rows from `row` on. */
static void give_tile(const target *t, const real *found, long row, long rows) {
    if (t->then == GELU) give_rows(GELU, t, found, row, rows);
    else if (t->then == GELU_GRADIENT) give_rows(GELU_GRADIENT, t, found, row, rows);
    else give_rows(PLAIN, t, found, row, rows);
}

/* `rows` rows of a times a panel, of which those from `skipped` to `end` are wanted, to rows from `row` on. */
INLINE void tile_to(const target *t, long row, const int rows, long skipped, long end, long k, const real *a, long down,
                    long right, const real *panel) {
    if (skipped == 0 && end == rows && t->columns >= PANEL && t->then == PLAIN) {
        const real *start = t->start ? t->start + row * t->start_width : NULL;
        tile(rows, 2, k, a, down, right, panel, PANEL, start, t->start_width, t->c + row * t->width, t->width);
    } else {
        real found[ROWS * PANEL] __attribute__((aligned(BYTES)));
        tile(rows, 2, k, a, down, right, panel, PANEL, NULL, 0, found, PANEL);
        give_tile(t, found + skipped * PANEL, row, end - skipped);
    }
}

/* ------------------------------------------------------------------ rows and a weight */

/* a (m, k), whose rows are `width` apart, times a panel. Tiles of fewer rows end it; the last one goes back as far as
 * it needs to be whole. */
static void rows_by_panel(long m, long k, const real *a, long width, const real *panel, const target *t) {
    for (long i = 0, rows; i < m; i += rows) {
        const long left = m - i;
        rows = m < ROWS ? 1 : left > 2 * THIRD ? ROWS : left > THIRD ? 2 * THIRD : THIRD;
        const long back = left < rows ? rows - left : 0;
        const real *from = a + (i - back) * width;
        if (rows == ROWS) tile_to(t, i, ROWS, back, ROWS, k, from, width, 1, panel);
        else if (rows == 1) tile_to(t, i, 1, 0, 1, k, from, width, 1, panel);
        else if (rows == THIRD) tile_to(t, i, THIRD, back, THIRD, k, from, width, 1, panel);
        else tile_to(t, i, 2 * THIRD, back, 2 * THIRD, k, from, width, 1, panel);
    }
}

/* A panel, k rows of `columns` columns and zeros: of b, whose rows are `width` apart, or of its transpose. */
static void pack(real *panel, const real *b, long width, int transposed, long k, long columns) {
    if (transposed) turn(panel, PANEL, b, width, columns < PANEL ? columns : PANEL, k, PANEL);
    else if (columns >= PANEL)
        for (long p = 0; p < k; p++, panel += PANEL, b += width)
            store(panel, load(b)), store(panel + LANES, load(b + LANES));
    else
        for (long p = 0; p < k; p++, panel += PANEL, b += width)
            for (long l = 0; l < PANEL; l++) panel[l] = l < columns ? b[l] : 0;
}

/* Numbers that a matrix takes in panels. */
INLINE long in_panels(long rows, long columns) { return rows * ((columns + PANEL - 1) / PANEL * PANEL); }

/* c (m, n), or with several bs that are transposed (m, parts n), of a.
 *
 * transposed: b (n, k) are weights as torch keeps them: c is a b^T + bias, one part beside the other.
 * else: b (k, n): c is the sum of each part of a (m, parts k) times its b, and of what stands in c if `add`.
 * then: what is done to it; inner (m, n) is in panels. */
typedef struct {
    long m, n, k, parts;
    const real *a;
    const real *const *b;
    int transposed;
    const real *const *bias;
    real *c;
    int add, then;
    real *inner;
} products;

/* Room of one thread for a panel of a factor, or for strips of one; on the heap, since a thread's stack may be smaller
 * (OMP_STACKSIZE, musl). */
#define WORKSPACE (DEPTH * (CHUNK > PANEL ? CHUNK : PANEL))

extern int omp_get_thread_num(void); /* its header is not there wherever a compiler is */

/* The calling thread's, of those that stand at `rooms`. */
INLINE real *own_workspace(real *rooms) { return rooms + omp_get_thread_num() * WORKSPACE; }

static void multiply(const products *w, real *rooms, long threads) {
    const long beside = w->transposed ? w->parts : 1, summed = w->transposed ? 1 : w->parts;
    const long a_width = summed * w->k, b_width = w->transposed ? w->k : w->n, c_width = beside * w->n;
    const long panels = (w->n + PANEL - 1) / PANEL, steps = (w->k + DEPTH - 1) / DEPTH;
    long blocks = (w->m + BLOCK - 1) / BLOCK;
    while (blocks * beside * panels < 3 * threads && w->m / (blocks + 1) >= CHUNK) blocks++;
    real *panel = own_workspace(rooms);
#pragma omp for schedule(dynamic) nowait
    for (long task = 0; task < blocks * beside * panels; task++) {
        const long block = task / (beside * panels), part = task / panels % beside, j = task % panels * PANEL;
        const long first = w->m * block / blocks, m = w->m * (block + 1) / blocks - first;
        target t = {.c = w->c + first * c_width + part * w->n + j, .width = c_width, .columns = w->n - j};
        if (w->then) t.inner = w->inner + j * w->m + first * PANEL;
        if (w->bias) t.start = w->bias[part] + j;
        for (long step = 0; step < summed * steps; step++) {
            const long of = step / steps, p = w->k * (step % steps) / steps, end = w->k * (step % steps + 1) / steps;
            const real *b = w->b[w->transposed ? part : of];
            b += w->transposed ? j * b_width + p : p * b_width + j;
            pack(panel, b, b_width, w->transposed, end - p, t.columns);
            if (step || w->add) t.start = t.c, t.start_width = c_width;
            if (step == summed * steps - 1) t.then = w->then;
            rows_by_panel(m, end - p, w->a + first * a_width + of * w->k + p, a_width, panel, &t);
        }
    }
}

/* ------------------------------------------------------------------ gradients of weights */

/* A matrix (k, n) in panels. */
static void pack_panels(long k, long n, const real *b, real *panels) {
#pragma omp for schedule(dynamic) nowait
    for (long j = 0; j < n; j += PANEL) pack(panels + j * k, b + j, n, 0, k, n - j);
}

/* CHUNK columns of a, k rows `width` apart, in strips of ROWS of them, and zeros from `columns` on; the sums of the
 * rows are added to `sums`. Each strip takes DEPTH rows of room. */
static void pack_columns(real *strips, const real *a, long width, long k, long columns, real *sums) {
    vec added[CHUNK / LANES];
    real filled[CHUNK] = {0};
    for (long c = 0; c < CHUNK / LANES; c++) added[c] = load(sums + c * LANES);
    for (long p = 0; p < k; p++, a += width) {
        const real *row = a;
        if (columns < CHUNK) row = memcpy(filled, a, columns * sizeof(real));
        for (long c = 0; c < CHUNK / LANES; c++) added[c] += load(row + c * LANES);
        for (long i = 0; i < CHUNK; i += ROWS) memcpy(strips + i * DEPTH + p * ROWS, row + i, ROWS * sizeof(real));
    }
    for (long c = 0; c < CHUNK / LANES; c++) store(sums + c * LANES, added[c]);
}

/* c[part] (m, n) = a's part^T b, and sums[part] (m) the sum of its rows, of a (k, parts m) and b (k, n) in panels. */
static void multiply_transposed(long m, long n, long k, long parts, const real *a, const real *panels, real *const *c,
                                real *const *sums, real *rooms, long threads) {
    const long chunks = (m + CHUNK - 1) / CHUNK, across = (n + PANEL - 1) / PANEL;
    const long steps = k ? (k + DEPTH - 1) / DEPTH : 1; /* without rows gradients are 0 */
    long groups = 1; /* of panels */
    while (groups * parts * chunks < 2 * threads && across / (groups + 1) >= 2) groups++;
    real *strips = own_workspace(rooms);
#pragma omp for schedule(dynamic) nowait
    for (long task = 0; task < groups * parts * chunks; task++) {
        const long group = task / (parts * chunks), part = task / chunks % parts, at = task % chunks * CHUNK;
        const long columns = m - at < CHUNK ? m - at : CHUNK;
        real added[CHUNK] = {0};
        for (long step = 0; step < steps; step++) {
            const long from = k * step / steps, depth = k * (step + 1) / steps - from;
            pack_columns(strips, a + from * parts * m + part * m + at, parts * m, depth, columns, added);
            for (long j = across * group / groups * PANEL; j < across * (group + 1) / groups * PANEL; j += PANEL) {
                target t = {.c = c[part] + at * n + j, .width = n, .columns = n - j};
                if (step) t.start = t.c, t.start_width = n;
                for (long i = 0; i < columns; i += ROWS) {
                    const long rows = columns - i < ROWS ? columns - i : ROWS;
                    tile_to(&t, i, ROWS, 0, rows, depth, strips + i * DEPTH, 1, ROWS, panels + j * k + from * PANEL);
                }
            }
        }
        if (group == 0) memcpy(sums[part] + at, added, columns * sizeof(real));
    }
}
