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

static real *rooms_for(const int64_t *offsets, long texts, long size, long threads) {
    void *rooms;
    return posix_memalign(&rooms, 64, threads * room_size(offsets, texts, size) * sizeof(real)) ? NULL : rooms;
}

void test_attention(const real *qkv, const int64_t *offsets, long texts, long heads, long size, uint64_t seed,
                    long keep, real *context, real *softmax, long threads) {
    real *rooms = rooms_for(offsets, texts, size, threads);
#pragma omp parallel num_threads(threads)
    attention(qkv, offsets, texts, heads, size, seed, keep, context, softmax, rooms, threads);
    free(rooms);
}

void test_attention_gradient(const real *qkv, const real *context, const real *of_context, const real *softmax,
                             const int64_t *offsets, long texts, long heads, long size, real *of_qkv, long threads) {
    real *rooms = rooms_for(offsets, texts, size, threads);
#pragma omp parallel num_threads(threads)
    attention_gradient(qkv, context, of_context, softmax, offsets, texts, heads, size, 0, ALL, of_qkv, rooms, threads);
    free(rooms);
}

void test_multiply(long m, long n, long k, long parts, const real *a, const real *const *b, long transposed,
                   const real *const *bias, real *c, real *other, long add, long then, long threads) {
#pragma omp parallel num_threads(threads)
    multiply(&(products){m, n, k, parts, a, b, transposed, bias, c, other, add, then}, threads);
}

void test_multiply_transposed(long m, long n, long k, long parts, const real *a, const real *b, real *const *c,
                              real *const *sums, long threads) {
    void *panels;
    if (posix_memalign(&panels, 64, (n + PANEL) * DEPTH * sizeof(real))) return;
#pragma omp parallel num_threads(threads)
    multiply_transposed(m, n, k, parts, a, b, c, sums, panels, threads);
    free(panels);
}

void test_turn(real *to, const real *from, long rows, long size, long filled) {
    turn(to, filled, from, size, rows, size, filled);
}
