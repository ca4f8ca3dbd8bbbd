/* As many multiply-adds of single precision as a core can do: on registers alone, in chains enough to fill its pipelines
   (two of them, four or five cycles long). */

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define CHAINS 12

typedef float lanes __attribute__((vector_size(4 * LANES)));

/* Floating-point operations done in so many rounds: a multiplication and an addition a lane. `sum` takes what comes of
   them, so that no compiler leaves them out. */
double multiply_adds(long rounds, float factor, float *sum)
{
    lanes chains[CHAINS], by = factor + (lanes){0}, plus = 1 - factor + (lanes){0}, all = {0};
    for (int c = 0; c < CHAINS; c++)
        chains[c] = (float)c + (lanes){0};
    for (long round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            chains[c] = chains[c] * by + plus;
    }
    for (int c = 0; c < CHAINS; c++)
        all += chains[c];
    *sum = all[0];
    return 2.0 * LANES * CHAINS * rounds;
}
