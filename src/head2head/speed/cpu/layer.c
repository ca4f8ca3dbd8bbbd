/* A BERT layer while it trains, and its gradient.
 *
 * Compiled by library.py for the machine at hand, with REAL float or double. Matrices are row-major and have no gaps.
 *
 * Dropout: element i of a tensor is kept where 16 bits of splitmix64 (Steele, Lea and Flood 2014) at seed and i are
 * below `keep` (of 65536; 65536 drops nothing). The gradient draws the same bits again: no mask is kept.
 */
#include <stdlib.h>

#include "attention.h"
#include "norm.h"

/* Sizes of a layer and its batch, of which text b has the rows offsets[b] to offsets[b + 1]; its dropouts are those of
 * attention's weights, attention's output, and the feed-forward part. The same as class Sizes of layer.py. */
typedef struct {
    long rows, hidden, inner, heads, texts, threads;
    const int64_t *offsets;
    double eps;
    uint64_t seeds[3];
    long keep[3];
} sizes;

/* Where a weight stands among the parameters, and its bias after it. */
enum { QUERY = 0, OUT = 6, NORM1 = 8, UP = 10, DOWN = 12, NORM2 = 14 };
#define QKV(own, of) {(own)[QUERY + (of)], (own)[QUERY + 2 + (of)], (own)[QUERY + 4 + (of)]}
#define WEIGHTS 0
#define BIASES 1

/* What the gradient needs of the way forward, in one block; inner, what GELU is applied to, in panels. */
typedef struct {
    real *qkv, *context, *softmax, *standard1, *rstd1, *middle, *inner, *standard2, *rstd2;
} found;

/* The first number of a block that begins a line of memory. malloc finds the hole that a block of the same size left;
 * posix_memalign does not (glibc's bug 14581). */
static real *aligned(char *block) { return (real *)(block + (64 - (uintptr_t)block % 64) % 64); }

static real *next_to(real **at, long count) {
    real *here = *at;
    *at += padded(count);
    return here;
}

static long lay_out(const sizes *s, real *block, found *f) {
    real *at = block;
    f->qkv = next_to(&at, s->rows * 3 * s->hidden);
    f->context = next_to(&at, s->rows * s->hidden);
    f->softmax = next_to(&at, s->rows * s->heads * 2);
    f->standard1 = next_to(&at, s->rows * s->hidden);
    f->rstd1 = next_to(&at, s->rows);
    f->middle = next_to(&at, s->rows * s->hidden);
    f->inner = next_to(&at, in_panels(s->rows, s->inner));
    f->standard2 = next_to(&at, s->rows * s->hidden);
    f->rstd2 = next_to(&at, s->rows);
    return at - block;
}

/* Numbers that forward() leaves for backward(). */
long kept(const sizes *s) {
    real none;
    found f;
    return lay_out(s, &none, &f);
}

static batch texts_of(const sizes *s) {
    return (batch){s->offsets, s->texts, longest_of(s->offsets, s->texts), s->heads, s->hidden / s->heads, s->seeds[0],
                   s->keep[0], s->threads};
}

/* out (rows, hidden) of x, and what the gradient needs. Returns whether there was no memory. */
int forward(const sizes *s, const real *x, const real *const *own, real *block, real *out) {
    const long n = s->rows, h = s->hidden, inner = s->inner, threads = s->threads;
    const real *const qkv_weights[] = QKV(own, WEIGHTS), *const qkv_biases[] = QKV(own, BIASES);
    const batch texts = texts_of(s);
    const long numbers = padded(n * inner) + threads * (WORKSPACE + room_size(&texts));
    char *room = malloc(numbers * sizeof(real) + 64);
    if (!room) return 1;
    real *at = aligned(room), *activated = next_to(&at, n * inner);
    real *workspaces = next_to(&at, threads * WORKSPACE), *rooms = at;
    found f;
    lay_out(s, block, &f);
    const products to_qkv = {n, h, h, 3, x, qkv_weights, 1, qkv_biases, f.qkv, 0, PLAIN, NULL};
    const products to_out = {n, h, h, 1, f.context, own + OUT, 1, own + OUT + 1, f.standard1, 0, PLAIN, NULL};
    const products up = {n, inner, h, 1, f.middle, own + UP, 1, own + UP + 1, activated, 0, GELU, f.inner};
    const products down = {n, h, inner, 1, activated, own + DOWN, 1, own + DOWN + 1, f.standard2, 0, PLAIN, NULL};
#pragma omp parallel num_threads(threads)
    {
        multiply(&to_qkv, workspaces, threads);
#pragma omp barrier
        attention(&texts, f.qkv, f.context, f.softmax, rooms);
#pragma omp barrier
        multiply(&to_out, workspaces, threads);
#pragma omp barrier
        add_norm(f.standard1, x, own[NORM1], own[NORM1 + 1], s->eps, n, h, s->seeds[1], s->keep[1], f.middle, f.rstd1,
                 threads);
#pragma omp barrier
        multiply(&up, workspaces, threads);
#pragma omp barrier
        multiply(&down, workspaces, threads);
#pragma omp barrier
        add_norm(f.standard2, f.middle, own[NORM2], own[NORM2 + 1], s->eps, n, h, s->seeds[2], s->keep[2], out, f.rstd2,
                 threads);
    }
    free(room);
    return 0;
}

/* of_x (rows, hidden), whole only if `whole`, and of_own, unless it is NULL, from of_out (rows, hidden) and what
 * forward() left, which is used up. Returns whether there was no memory. */
int backward(const sizes *s, const real *x, const real *const *own, real *block, const real *of_out, real *of_x,
             int whole, real *const *of_own) {
    const long n = s->rows, h = s->hidden, inner = s->inner, threads = s->threads;
    const long wide = inner > 3 * h ? inner : 3 * h;
    const real *const qkv_weights[] = QKV(own, WEIGHTS);
    const batch texts = texts_of(s);
    const long numbers = 3 * padded(n * h) + padded(n * wide) + padded(in_panels(n, h)) + padded(threads * 2 * h) +
                         threads * (WORKSPACE + room_size(&texts));
    char *room = malloc(numbers * sizeof(real) + 64);
    if (!room) return 1;
    real *at = aligned(room), *of_y = next_to(&at, n * h), *of_middle = next_to(&at, n * h);
    real *of_context = next_to(&at, n * h), *of_inner = next_to(&at, n * wide), *of_qkv = of_inner;
    real *panels = next_to(&at, in_panels(n, h)), *sums = next_to(&at, threads * 2 * h);
    real *workspaces = next_to(&at, threads * WORKSPACE), *rooms = at;
    found f;
    lay_out(s, block, &f);
    const products to_inner = {n, inner, h, 1, of_y, own + DOWN, 0, NULL, of_inner, 0, GELU_GRADIENT, f.inner};
    const products to_middle = {n, h, inner, 1, of_inner, own + UP, 0, NULL, of_middle, 1, PLAIN, NULL};
    const products to_context = {n, h, h, 1, of_y, own + OUT, 0, NULL, of_context, 0, PLAIN, NULL};
    const products to_x = {n, h, h, 3, of_qkv, qkv_weights, 0, NULL, of_x, 1, PLAIN, NULL};
#pragma omp parallel num_threads(threads)
    {
        add_norm_gradient(of_out, f.standard2, f.rstd2, own[NORM2], n, h, s->seeds[2], s->keep[2], of_middle, of_y,
                          sums, threads);
        if (of_own) pack_panels(n, h, f.middle, panels);
#pragma omp barrier
        multiply(&to_inner, workspaces, threads);
#pragma omp barrier
        if (of_own) {
            add_parts(sums, h, of_own[NORM2], of_own[NORM2 + 1], threads);
            multiply_transposed(h, inner, n, 1, of_y, f.inner, of_own + DOWN, of_own + DOWN + 1, workspaces, threads);
            multiply_transposed(inner, h, n, 1, of_inner, panels, of_own + UP, of_own + UP + 1, workspaces, threads);
        }
        multiply(&to_middle, workspaces, threads);
#pragma omp barrier
        add_norm_gradient(of_middle, f.standard1, f.rstd1, own[NORM1], n, h, s->seeds[1], s->keep[1], of_x, of_y, sums,
                          threads);
        if (of_own) pack_panels(n, h, f.context, panels);
#pragma omp barrier
        if (of_own) {
            add_parts(sums, h, of_own[NORM1], of_own[NORM1 + 1], threads);
            multiply_transposed(h, h, n, 1, of_y, panels, of_own + OUT, of_own + OUT + 1, workspaces, threads);
        }
        multiply(&to_context, workspaces, threads);
#pragma omp barrier
        attention_gradient(&texts, f.qkv, f.context, of_context, f.softmax, of_qkv, rooms);
        if (of_own) pack_panels(n, h, x, panels);
#pragma omp barrier
        if (of_own) {
            real *const weights[] = QKV(of_own, WEIGHTS), *const biases[] = QKV(of_own, BIASES);
            multiply_transposed(h, h, n, 3, of_qkv, panels, weights, biases, workspaces, threads);
        }
        if (whole) multiply(&to_x, workspaces, threads);
    }
    free(room);
    return 0;
}
