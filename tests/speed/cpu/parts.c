/* What layer.c is made of, for tests to call. */
#include "layer.c"

void test_gelu(const real *x, real *out, real *derivative, long count) {
    for (long i = 0; i < count; i += LANES) {
        vec v = load_some(x + i, count - i), density, p = normal(v, &density);
        store_some(out + i, v * p, count - i);
        store_some(derivative + i, p + v * density, count - i);
    }
}

void test_add_norm(real *y, const real *residual, const real *weight, const real *bias, long rows, long hidden,
                   uint64_t seed, long keep, real *out, real *rstd, long threads) {
#pragma omp parallel num_threads(threads)
    add_norm(y, residual, weight, bias, 1e-12, rows, hidden, seed, keep, out, rstd, threads);
}

static real *numbers(long count) {
    void *found;
    return posix_memalign(&found, 64, count * sizeof(real)) ? NULL : found;
}

static real *rooms_for(const batch *texts) { return numbers(texts->threads * room_size(texts)); }

void test_attention(const real *qkv, const int64_t *offsets, long texts, long heads, long size, uint64_t seed,
                    long keep, real *context, real *softmax, long threads) {
    const batch of = {offsets, texts, longest_of(offsets, texts), heads, size, seed, keep, threads};
    real *rooms = rooms_for(&of);
#pragma omp parallel num_threads(threads)
    attention(&of, qkv, context, softmax, rooms);
    free(rooms);
}

void test_attention_gradient(const real *qkv, const real *context, const real *of_context, const real *softmax,
                             const int64_t *offsets, long texts, long heads, long size, real *of_qkv, long threads) {
    const batch of = {offsets, texts, longest_of(offsets, texts), heads, size, 0, ALL, threads};
    real *rooms = rooms_for(&of);
#pragma omp parallel num_threads(threads)
    attention_gradient(&of, qkv, context, of_context, softmax, of_qkv, rooms);
    free(rooms);
}

static real *room_for_panels(long rows, long columns) { return numbers(in_panels(rows, columns)); }

/* As test_multiply gives and takes them: rows of n columns, from panels and to them. */
static void from_panels(real *to, const real *panels, long rows, long n) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < n; j++) to[i * n + j] = panels[j / PANEL * PANEL * rows + i * PANEL + j % PANEL];
}

void test_multiply(long m, long n, long k, long parts, const real *a, const real *const *b, long transposed,
                   const real *const *bias, real *c, real *inner, long add, long then, long threads) {
    real *panels = room_for_panels(m, n), *rooms = numbers(threads * WORKSPACE);
    const products of = {m, n, k, parts, a, b, transposed, bias, c, add, then, panels};
#pragma omp parallel num_threads(threads)
    {
        if (then == GELU_GRADIENT) pack_panels(m, n, inner, panels);
#pragma omp barrier
        multiply(&of, rooms, threads);
    }
    if (then) from_panels(inner, panels, m, n);
    free(rooms);
    free(panels);
}

void test_multiply_transposed(long m, long n, long k, long parts, const real *a, const real *b, real *const *c,
                              real *const *sums, long threads) {
    real *panels = room_for_panels(k, n), *rooms = numbers(threads * WORKSPACE);
#pragma omp parallel num_threads(threads)
    {
        pack_panels(k, n, b, panels);
#pragma omp barrier
        multiply_transposed(m, n, k, parts, a, panels, c, sums, rooms, threads);
    }
    free(rooms);
    free(panels);
}

void test_turn(real *to, const real *from, long rows, long size, long filled) {
    turn(to, filled, from, size, rows, size, filled);
}
