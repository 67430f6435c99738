/* Attention of each token of a pass to what its own row has written: one query, a few hundred keys, many rows.
 *
 * Such products are limited by reading the keys and values once; a general kernel spends several times that on
 * starting thousands of tiny matrix products. Keys and values lie in pages of `page` tokens, which a table names
 * for each row. The definition is `attend_plainly` in attention.py; compiling.py compiles this file and rows.py calls it.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t i64;

struct pass {
    i64 tokens, heads, kv_heads, dim, value_dim;
    i64 page, table_width, longest;             /* tokens a page, pages a row, most keys that a token sees */
    const i64 *row, *column, *table;            /* [tokens], [tokens], [rows, table_width] */
    const float *query, *key, *value;           /* [heads, tokens, dim]: strides of heads and tokens follow */
    i64 query_head, query_token, key_head, key_token, value_head, value_token;
    float *keys, *values;                       /* [pages, page, kv_heads, dim] */
    float *out, *lse;                           /* [tokens, heads, value_dim], [tokens, heads] */
    float scale;
};

#define INLINE static inline __attribute__((always_inline))

INLINE i64 place(const struct pass *p, i64 token, i64 column) {
    return p->table[p->row[token] * p->table_width + column / p->page] * p->page + column % p->page;
}

/* Put the token's own key and value where its row keeps them. */
static void store(const struct pass *p, i64 token) {
    const i64 at = place(p, token, p->column[token]) * p->kv_heads;
    for (i64 h = 0; h < p->kv_heads; h++) {
        memcpy(p->keys + (at + h) * p->dim, p->key + h * p->key_head + token * p->key_token,
               sizeof(float) * p->dim);
        memcpy(p->values + (at + h) * p->value_dim, p->value + h * p->value_head + token * p->value_token,
               sizeof(float) * p->value_dim);
    }
}

/* Products with `count` keys of one page; its values and the keys of the next page are fetched meanwhile. */
INLINE void compare(const struct pass *p, const float *query, i64 first, i64 next, i64 count, const int dim,
                    const int value_dim, float *score) {
    const i64 width = p->kv_heads * dim, value_width = p->kv_heads * value_dim, groups = p->heads / p->kv_heads;
    const float *keys = p->keys + first * width, *values = p->values + first * value_width;
    const float *later = p->keys + next * width;
    for (i64 j = 0; j < count; j++) {
        for (i64 d = 0; d < value_width; d += 16) __builtin_prefetch(values + j * value_width + d);
        for (i64 d = 0; d < width; d += 16) __builtin_prefetch(later + j * width + d);
        const float *q = query;
        float *s = score + j;
        for (i64 kv = 0; kv < p->kv_heads; kv++)
            for (i64 g = 0; g < groups; g++, q += p->query_head, s += p->longest) {
                float sum = 0;
                for (int d = 0; d < dim; d++) sum += q[d] * keys[j * width + kv * dim + d];
                *s = sum;
            }
    }
}

/* Scores become weights that sum to one; returns the log of what they were divided by. */
INLINE float normalise(float *score, i64 count, float scale) {
    float most = score[0], sum = 0;
    for (i64 j = 1; j < count; j++) most = score[j] > most ? score[j] : most;
    for (i64 j = 0; j < count; j++) {
        score[j] = expf((score[j] - most) * scale);
        sum += score[j];
    }
    const float share = 1 / sum;
    for (i64 j = 0; j < count; j++) score[j] *= share;
    return most * scale + logf(sum);
}

/* Add the weighted values of one page, four at a time. */
INLINE void gather(const struct pass *p, i64 first, i64 count, const int dim, const float *weight, float *out) {
    const i64 width = p->kv_heads * dim, groups = p->heads / p->kv_heads, stride = p->longest;
    i64 j = 0;
    for (; j + 4 <= count; j += 4)
        for (i64 kv = 0; kv < p->kv_heads; kv++)
            for (i64 h = kv * groups; h < (kv + 1) * groups; h++) {
                const float *v = p->values + (first + j) * width + kv * dim, *w = weight + h * stride + j;
                float *o = out + h * dim;
                for (int d = 0; d < dim; d++)
                    o[d] += w[0] * v[d] + w[1] * v[width + d] + w[2] * v[2 * width + d] + w[3] * v[3 * width + d];
            }
    for (; j < count; j++)
        for (i64 kv = 0; kv < p->kv_heads; kv++)
            for (i64 h = kv * groups; h < (kv + 1) * groups; h++) {
                const float *v = p->values + (first + j) * width + kv * dim;
                for (int d = 0; d < dim; d++) out[h * dim + d] += weight[h * stride + j] * v[d];
            }
}

INLINE void attend(const struct pass *p, i64 token, const int dim, const int value_dim, float *score) {
    const i64 count = p->column[token] + 1, heads = p->heads;
    const float *query = p->query + token * p->query_token;
    float *out = p->out + token * heads * value_dim, *lse = p->lse + token * heads;
    memset(out, 0, sizeof(float) * heads * value_dim);
    for (i64 j = 0; j < count; j += p->page) {
        const i64 here = count - j < p->page ? count - j : p->page, first = place(p, token, j);
        const i64 next = j + p->page < count ? place(p, token, j + p->page) : first;
        compare(p, query, first, next, here, dim, value_dim, score + j);
    }
    for (i64 h = 0; h < heads; h++) lse[h] = normalise(score + h * p->longest, count, p->scale);
    for (i64 j = 0; j < count; j += p->page) {
        const i64 here = count - j < p->page ? count - j : p->page;
        gather(p, place(p, token, j), here, value_dim, score + j, out);
    }
}

/* The sizes that models have, so that loops over them have a fixed length. */
static void attend_any(const struct pass *p, i64 token, float *score) {
    if (p->dim == 32 && p->value_dim == 32) attend(p, token, 32, 32, score);
    else if (p->dim == 64 && p->value_dim == 64) attend(p, token, 64, 64, score);
    else if (p->dim == 128 && p->value_dim == 128) attend(p, token, 128, 128, score);
    else attend(p, token, p->dim, p->value_dim, score);
}

/* 0, or 1 if there is no memory. Several tokens may be of one row: all are stored before any looks. */
int attend_rows(const struct pass *p) {
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *score = malloc(sizeof(float) * p->heads * p->longest);
        failed |= !score;
#pragma omp for schedule(static)
        for (i64 token = 0; token < p->tokens; token++) store(p, token);
#pragma omp for schedule(dynamic, 8)
        for (i64 token = 0; token < p->tokens; token++)
            if (score) attend_any(p, token, score);
        free(score);
    }
    return failed;
}
