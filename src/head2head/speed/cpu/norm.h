/* Dropout, residual and LayerNorm in one, and their gradient. Called by all threads of a team, which do not wait for
 * each other at the end. Rows are cut into `threads` parts by number, not by who is free, so that sums over them are
 * added in one order. */
#include "vectors.h"

/* out = LayerNorm(residual + dropout(y)); y is overwritten with what LayerNorm has before weight and bias. */
static void add_norm(real *y, const real *residual, const real *weight, const real *bias, double eps, long rows,
                     long hidden, uint64_t seed, long keep, real *out, real *rstd, long threads) {
    const long stride = (hidden + 3) / 4 * 4;
    const real kept = (real)ALL / keep;
#pragma omp for schedule(static, 1) nowait
    for (long part = 0; part < threads; part++) {
        sixteen drawn[stride + LANES] __attribute__((aligned(8)));
        for (long i = rows * part / threads; i < rows * (part + 1) / threads; i++) {
            real *row = y + i * hidden, *to = out + i * hidden;
            const real *from = residual + i * hidden;
            if (keep < ALL) draw(drawn, stride, seed, (uint64_t)i * stride);
            vec total = {0}, squares = {0};
            EACH_VECTOR(hidden, {
                vec v = load_some(row + c, n);
                if (keep < ALL) v = dropped(v, drawn + c, keep, kept);
                v += load_some(from + c, n);
                total += v;
                store_some(row + c, v, n);
            });
            const real mean = sum(total) / hidden;
            EACH_VECTOR(hidden, {
                vec v = load_some(row + c, n) - mean;
                for (long l = n; l < LANES; l++) v[l] = 0;
                squares += v * v;
            });
            const real r = 1 / sqrt((double)(sum(squares) / hidden + eps));
            rstd[i] = r;
            EACH_VECTOR(hidden, {
                vec v = (load_some(row + c, n) - mean) * r;
                store_some(row + c, v, n);
                store_some(to + c, v * load_some(weight + c, n) + load_some(bias + c, n), n);
            });
        }
    }
}

/* Gradients of add_norm's residual and y, from that of its output; sums (threads, 2, hidden) become each part's share of
 * those of weight and bias. */
static void add_norm_gradient(const real *of_out, const real *standard, const real *rstd, const real *weight, long rows,
                              long hidden, uint64_t seed, long keep, real *of_residual, real *of_y, real *sums,
                              long threads) {
    const long stride = (hidden + 3) / 4 * 4;
    const real kept = (real)ALL / keep;
#pragma omp for schedule(static, 1) nowait
    for (long part = 0; part < threads; part++) {
        sixteen drawn[stride + LANES] __attribute__((aligned(8)));
        real *weights = sums + part * 2 * hidden, *biases = weights + hidden;
        memset(weights, 0, 2 * hidden * sizeof(real));
        for (long i = rows * part / threads; i < rows * (part + 1) / threads; i++) {
            const real *of = of_out + i * hidden, *found = standard + i * hidden;
            real *residual = of_residual + i * hidden, *y = of_y + i * hidden;
            if (keep < ALL) draw(drawn, stride, seed, (uint64_t)i * stride);
            vec first = {0}, second = {0};
            EACH_VECTOR(hidden, {
                vec g = load_some(of + c, n), x = load_some(found + c, n);
                store_some(weights + c, load_some(weights + c, n) + g * x, n);
                store_some(biases + c, load_some(biases + c, n) + g, n);
                g *= load_some(weight + c, n);
                first += g;
                second += g * x;
            });
            const real a = sum(first) / hidden, b = sum(second) / hidden, r = rstd[i];
            EACH_VECTOR(hidden, {
                vec g = load_some(of + c, n) * load_some(weight + c, n);
                vec v = (g - a - load_some(found + c, n) * b) * r;
                store_some(residual + c, v, n);
                if (keep < ALL) v = dropped(v, drawn + c, keep, kept);
                store_some(y + c, v, n);
            });
        }
    }
}

/* Gradients of weight and bias, of all parts' shares. */
static void add_parts(const real *sums, long hidden, real *of_weight, real *of_bias, long threads) {
#pragma omp for schedule(static) nowait
    for (long c = 0; c < hidden; c++) {
        of_weight[c] = of_bias[c] = 0;
        for (long part = 0; part < threads; part++) {
            of_weight[c] += sums[part * 2 * hidden + c];
            of_bias[c] += sums[(part * 2 + 1) * hidden + c];
        }
    }
}
