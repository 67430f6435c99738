/* Attention of the tokens of a pass to the trunks that they share: as many tokens of one trunk as a vector has lanes.
 *
 * Every key and value is a number that all lanes are multiplied with, so that nothing is summed across lanes. Tokens
 * come sorted by how far they see; those of one tile see about equally far. The definition is `attend_plainly` in
 * attention.py; compiling.py compiles this file and trunks.py calls it.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef int64_t i64;

enum { LANES = 16, KEYS = 64, MOST = 256 };  /* tokens a tile, keys a block, numbers a head at most */
#define NOTHING (-1e30f)                     /* a score that has no weight; infinities are not for -ffast-math */
#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(sizeof(float) * LANES), may_alias));

struct trunk_pass {
    i64 tiles, heads, kv_heads, dim, value_dim;
    const i64 *stem, *start, *count;            /* [tiles]: which trunk, and which of the sorted tokens */
    const i64 *order, *prefix;                  /* [tokens], sorted: place in the pass, keys that it sees */
    const i64 *keys, *values, *length;          /* [stems]: addresses of [kv_heads, length, dim], and lengths */
    const float *query;                         /* [heads, tokens, dim] */
    i64 query_head, query_token;
    float *out, *lse;                           /* [tokens, heads, value_dim], [tokens, heads] */
    float scale;
};

/* Products of all lanes with `width` keys. */
INLINE void compare(const lanes *query, const float *keys, const i64 dim, const int width, lanes *score) {
    lanes sum[8];
    for (int k = 0; k < width; k++) sum[k] = (lanes){0};
    for (i64 d = 0; d < dim; d++)
        for (int k = 0; k < width; k++) sum[k] += query[d] * keys[k * dim + d];
    for (int k = 0; k < width; k++) score[k] = sum[k];
}

/* Add `count` weighted values to `width` numbers of all lanes. */
INLINE void gather(const lanes *weight, const float *values, i64 count, const i64 dim, const int width, lanes *out) {
    lanes sum[8];
    for (int d = 0; d < width; d++) sum[d] = out[d];
    for (i64 j = 0; j < count; j++)
        for (int d = 0; d < width; d++) sum[d] += weight[j] * values[j * dim + d];
    for (int d = 0; d < width; d++) out[d] = sum[d];
}

/* One block of keys: scores become weights; what was summed before is scaled to the new maximum. */
INLINE void weigh(float score[][LANES], i64 count, float *most, float *sum, lanes *out, const i64 value_dim) {
    float top[LANES], shrunk[LANES] __attribute__((aligned(64)));
    memcpy(top, most, sizeof top);
    for (i64 j = 0; j < count; j++)
        for (int l = 0; l < LANES; l++) top[l] = score[j][l] > top[l] ? score[j][l] : top[l];
    for (int l = 0; l < LANES; l++) shrunk[l] = expf(most[l] - top[l]);
    for (int l = 0; l < LANES; l++) sum[l] *= shrunk[l];
    for (i64 j = 0; j < count; j++)
        for (int l = 0; l < LANES; l++) {
            score[j][l] = expf(score[j][l] - top[l]);
            sum[l] += score[j][l];
        }
    for (i64 d = 0; d < value_dim; d++) out[d] *= *(const lanes *)shrunk;
    memcpy(most, top, sizeof top);
}

/* One tile and one head. */
INLINE void attend(const struct trunk_pass *p, i64 tile, i64 head, const i64 dim, const i64 value_dim) {
    const i64 start = p->start[tile], count = p->count[tile], stem = p->stem[tile];
    const i64 kv = head / (p->heads / p->kv_heads), last = start + count - 1, end = p->prefix[last];
    const float *keys = (const float *)p->keys[stem] + kv * p->length[stem] * dim;
    const float *values = (const float *)p->values[stem] + kv * p->length[stem] * value_dim;
    float query[MOST][LANES] __attribute__((aligned(64))), out[MOST][LANES] __attribute__((aligned(64)));
    float score[KEYS][LANES] __attribute__((aligned(64))), most[LANES] __attribute__((aligned(64)));
    float sum[LANES] __attribute__((aligned(64)));
    i64 seen[LANES];
    for (int l = 0; l < LANES; l++) {
        const i64 token = l < count ? start + l : last;
        const float *from = p->query + head * p->query_head + p->order[token] * p->query_token;
        seen[l] = p->prefix[token], most[l] = NOTHING, sum[l] = 0;
        for (i64 d = 0; d < dim; d++) query[d][l] = from[d] * p->scale;
    }
    memset(out, 0, sizeof(float) * LANES * value_dim);
    for (i64 first = 0; first < end; first += KEYS) {
        const i64 here = end - first < KEYS ? end - first : KEYS;
        const float *k = keys + first * dim, *v = values + first * value_dim;
        i64 j = 0, d = 0;
        for (; j + 8 <= here; j += 8) compare((lanes *)query, k + j * dim, dim, 8, (lanes *)score[j]);
        for (; j < here; j++) compare((lanes *)query, k + j * dim, dim, 1, (lanes *)score[j]);
        for (j = seen[0] > first ? seen[0] - first : 0; j < here; j++)
            for (int l = 0; l < LANES; l++) score[j][l] = first + j < seen[l] ? score[j][l] : NOTHING;
        weigh(score, here, most, sum, (lanes *)out, value_dim);
        for (; d + 8 <= value_dim; d += 8) gather((lanes *)score, v + d, here, value_dim, 8, (lanes *)out[d]);
        for (; d < value_dim; d++) gather((lanes *)score, v + d, here, value_dim, 1, (lanes *)out[d]);
    }
    for (int l = 0; l < count; l++) {
        const i64 at = p->order[start + l] * p->heads + head;
        for (i64 d = 0; d < value_dim; d++) p->out[at * value_dim + d] = out[d][l] / sum[l];
        p->lse[at] = most[l] + logf(sum[l]);
    }
}

/* The sizes that models have, so that loops over them have a fixed length. */
static void attend_any(const struct trunk_pass *p, i64 tile, i64 head) {
    if (p->dim == 32 && p->value_dim == 32) attend(p, tile, head, 32, 32);
    else if (p->dim == 64 && p->value_dim == 64) attend(p, tile, head, 64, 64);
    else if (p->dim == 128 && p->value_dim == 128) attend(p, tile, head, 128, 128);
    else attend(p, tile, head, p->dim, p->value_dim);
}

/* 0, or 1 where heads are too wide. */
int attend_trunks(const struct trunk_pass *p) {
    if (p->dim > MOST || p->value_dim > MOST) return 1;
#pragma omp parallel for schedule(dynamic, 4)
    for (i64 unit = 0; unit < p->tiles * p->heads; unit++) attend_any(p, unit / p->heads, unit % p->heads);
    return 0;
}
