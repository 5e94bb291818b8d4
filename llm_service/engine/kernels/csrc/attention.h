// Attention of one step over the paged KV cache, and what precedes it: the rotary embedding and the
// writing of new keys and values. All arithmetic is in float32, whatever type the cache has.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "arena.h"
#include "team.h"
#include "vectors.h"

enum CacheType : int32_t { CACHE_FLOAT32 = 0, CACHE_BFLOAT16 = 1, CACHE_INT8 = 2 };

// The attention of one layer; mirrored in library.py.
struct Attention {
    void* keys;               // [num_slots][num_kv_heads][head_dim]
    void* values;             // [num_slots][num_kv_heads][head_dim]
    float* key_scales;        // [num_slots][num_kv_heads]: int8
    float* value_scales;      // [num_slots][num_kv_heads]: int8
    const float* query_norm;  // [head_dim] or null
    const float* key_norm;    // [head_dim] or null
    float scaling;
    float softcap;   // 0: none
    int64_t window;  // positions seen, the token's own included; 0: all
};

// The tokens of one step, span after span; mirrored in library.py.
struct Step {
    int64_t num_tokens;
    int64_t num_spans;
    const int64_t* starts;         // [num_spans] position of the first token
    const int64_t* lengths;        // [num_spans] tokens
    const int64_t* table_offsets;  // [num_spans] where a span's block table begins in `tables`
    const int64_t* rotary_starts;  // [num_spans] where a span's first token stands for the rotary embedding
    const int64_t* tables;         // block ids
    const int64_t* slots;          // [num_tokens] where keys and values are written
    const float* cosines;          // [num_tokens][rotary_dim]
    const float* sines;            // [num_tokens][rotary_dim]
    int64_t rotary_dim;
    int64_t block_size;
};

struct Heads {  // mirrored in library.py
    int64_t num_heads;
    int64_t num_kv_heads;
    int64_t head_dim;
    CacheType cache_type;
    float eps;

    int64_t width() const { return (num_heads + 2 * num_kv_heads) * head_dim; }  // of q, k and v together
    int64_t attended_width() const { return num_heads * head_dim; }
    int64_t group() const { return num_heads / num_kv_heads; }  // query heads that share a KV head
};

constexpr int64_t TILE = 64;             // cached positions that are read at a time
constexpr int64_t MAX_QUERY_ROWS = 128;  // queries, one for each token and head, that share a tile

// Consecutive tokens of one span, which read the cache together.
struct QueryBlock {
    int64_t span;
    int64_t row;       // the first token's index in the step
    int64_t position;  // the first token's position in its text
    int64_t num_tokens;
};

static inline int64_t max_block_tokens(const Heads& heads) {
    return heads.group() < MAX_QUERY_ROWS ? MAX_QUERY_ROWS / heads.group() : 1;
}

static inline std::vector<QueryBlock> make_query_blocks(const Step& step, const Heads& heads) {
    const int64_t most = max_block_tokens(heads);
    std::vector<QueryBlock> blocks;
    int64_t row = 0;
    for (int64_t span = 0; span < step.num_spans; ++span) {
        const int64_t length = step.lengths[span], parts = (length + most - 1) / most;
        for (int64_t part = 0; part < parts; ++part) {  // equal sizes, since each block reads the whole cache
            const int64_t at = length * part / parts, end = length * (part + 1) / parts;
            blocks.push_back({span, row + at, step.starts[span] + at, end - at});
        }
        row += length;
    }
    return blocks;
}

static inline void normalize_head(float* head, const float* weights, const Heads& heads) {
    float square = 0;
    for (int64_t i = 0; i < heads.head_dim; ++i) square += head[i] * head[i];
    const float factor = 1.0f / std::sqrt(square / float(heads.head_dim) + heads.eps);
    for (int64_t i = 0; i < heads.head_dim; ++i) head[i] = head[i] * factor * weights[i];
}

// Rotates pairs of numbers, one from each half of the head, as transformers' `rotate_half` does.
static inline void rotate_head(float* head, const float* cosine, const float* sine, int64_t dim) {
    const int64_t half = dim / 2;
    for (int64_t i = 0; i < half; ++i) {
        const float first = head[i], second = head[i + half];
        head[i] = first * cosine[i] - second * sine[i];
        head[i + half] = second * cosine[i + half] + first * sine[i + half];
    }
}

static inline void write_head(const float* head, void* cache, float* scales, int64_t at, const Heads& heads) {
    const int64_t dim = heads.head_dim;
    if (heads.cache_type == CACHE_FLOAT32) {
        std::memcpy(static_cast<float*>(cache) + at * dim, head, size_t(dim) * sizeof(float));
    } else if (heads.cache_type == CACHE_BFLOAT16) {
        uint16_t* to = static_cast<uint16_t*>(cache) + at * dim;
        for (int64_t i = 0; i < dim; ++i) to[i] = to_bfloat(head[i]);
    } else {
        int8_t* to = static_cast<int8_t*>(cache) + at * dim;
        const float peak = peak_of(head, dim);
        if (!(peak <= std::numeric_limits<float>::max())) {  // NaN or infinity has no int8: the head reads as NaN
            std::memset(to, 0, size_t(dim));
            scales[at] = std::numeric_limits<float>::quiet_NaN();
            return;
        }
        const float inverse = peak >= MIN_PEAK ? 127.0f / peak : 0.0f;
        for (int64_t i = 0; i < dim; ++i) to[i] = int8_t(std::nearbyint(head[i] * inverse));
        scales[at] = peak / 127.0f;
    }
}

// Rotates queries and keys of `qkv` [num_tokens][width] in place, and writes keys and values to the cache.
static inline void rotate_and_store(Team& team, const Attention& layer, const Heads& heads, const Step& step,
                                    float* qkv) {
    const int64_t per_token = heads.num_heads + 2 * heads.num_kv_heads;
    team.share(step.num_tokens * per_token, 8, [&](int64_t begin, int64_t end) {
        for (int64_t item = begin; item < end; ++item) {
            const int64_t token = item / per_token, h = item % per_token;
            float* head = qkv + item * heads.head_dim;
            const bool is_query = h < heads.num_heads;
            const bool is_value = h >= heads.num_heads + heads.num_kv_heads;
            if (!is_value) {
                const float* norm = is_query ? layer.query_norm : layer.key_norm;
                if (norm) normalize_head(head, norm, heads);
                const int64_t entry = token * step.rotary_dim;
                rotate_head(head, step.cosines + entry, step.sines + entry, step.rotary_dim);
            }
            if (is_query) continue;
            const int64_t kv_head = (h - heads.num_heads) % heads.num_kv_heads;
            const int64_t at = step.slots[token] * heads.num_kv_heads + kv_head;
            if (is_value) write_head(head, layer.values, layer.value_scales, at, heads);
            else write_head(head, layer.keys, layer.key_scales, at, heads);
        }
    });
}

// One cached head as floats.
static inline void read_head(const void* cache, const float* scales, int64_t at, const Heads& heads, float* to) {
    const int64_t dim = heads.head_dim;
    if (heads.cache_type == CACHE_FLOAT32) {
        std::memcpy(to, static_cast<const float*>(cache) + at * dim, size_t(dim) * sizeof(float));
    } else if (heads.cache_type == CACHE_BFLOAT16) {
        const uint16_t* from = static_cast<const uint16_t*>(cache) + at * dim;
        for (int64_t i = 0; i < dim; i += LANES) store(to + i, load(from + i));
    } else {
        const int8_t* from = static_cast<const int8_t*>(cache) + at * dim;
        const float scale = scales[at];
        for (int64_t i = 0; i < dim; ++i) to[i] = float(from[i]) * scale;
    }
}

// [TILE][dim] -> [dim][TILE]
static inline void transpose(const float* from, int64_t dim, float* to) {
#if defined(__AVX__)
    for (int64_t p = 0; p < TILE; p += 8)
        for (int64_t i = 0; i < dim; i += 8) {
            __m256 a[8], b[8];
            for (int j = 0; j < 8; ++j) a[j] = _mm256_loadu_ps(from + (p + j) * dim + i);
            for (int j = 0; j < 8; j += 2) {
                b[j] = _mm256_unpacklo_ps(a[j], a[j + 1]);
                b[j + 1] = _mm256_unpackhi_ps(a[j], a[j + 1]);
            }
            for (int j = 0; j < 8; j += 4) {
                a[j] = _mm256_shuffle_ps(b[j], b[j + 2], 0x44);
                a[j + 1] = _mm256_shuffle_ps(b[j], b[j + 2], 0xee);
                a[j + 2] = _mm256_shuffle_ps(b[j + 1], b[j + 3], 0x44);
                a[j + 3] = _mm256_shuffle_ps(b[j + 1], b[j + 3], 0xee);
            }
            for (int j = 0; j < 4; ++j) {
                _mm256_storeu_ps(to + (i + j) * TILE + p, _mm256_permute2f128_ps(a[j], a[j + 4], 0x20));
                _mm256_storeu_ps(to + (i + j + 4) * TILE + p, _mm256_permute2f128_ps(a[j], a[j + 4], 0x31));
            }
        }
#else
    for (int64_t p = 0; p < TILE; ++p)
        for (int64_t i = 0; i < dim; ++i) to[i * TILE + p] = from[p * dim + i];
#endif
}

// c[ROWS][WIDTH vectors] (+)= a[ROWS][k] b[k][...]
template <int ROWS, int WIDTH>
static inline void block_product(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* c,
                                 int64_t c_stride, int64_t k, bool is_added) {
    Floats sums[ROWS][WIDTH];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < WIDTH; ++v) sums[r][v] = is_added ? load(c + r * c_stride + v * LANES) : Floats{};
    for (int64_t i = 0; i < k; ++i) {
        Floats row[WIDTH];
        for (int v = 0; v < WIDTH; ++v) row[v] = load(b + i * b_stride + v * LANES);
        for (int r = 0; r < ROWS; ++r)
            for (int v = 0; v < WIDTH; ++v) sums[r][v] += row[v] * a[r * a_stride + i];
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < WIDTH; ++v) store(c + r * c_stride + v * LANES, sums[r][v]);
}

template <int ROWS>
static inline void rows_product(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* c,
                                int64_t c_stride, int64_t k, int64_t columns, bool is_added) {
    int64_t i = 0;
    for (; i + 2 * LANES <= columns; i += 2 * LANES)
        block_product<ROWS, 2>(a, a_stride, b + i, b_stride, c + i, c_stride, k, is_added);
    for (; i < columns; i += LANES) block_product<ROWS, 1>(a, a_stride, b + i, b_stride, c + i, c_stride, k, is_added);
}

// c[rows][columns] (+)= a[rows][k] b[k][columns]; columns are a multiple of LANES.
static inline void product(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* c,
                           int64_t c_stride, int64_t rows, int64_t k, int64_t columns, bool is_added) {
    int64_t r = 0;
    for (; r + 6 <= rows; r += 6)
        rows_product<6>(a + r * a_stride, a_stride, b, b_stride, c + r * c_stride, c_stride, k, columns, is_added);
    const float* rest = a + r * a_stride;
    float* to = c + r * c_stride;
    switch (rows - r) {
        case 5: rows_product<5>(rest, a_stride, b, b_stride, to, c_stride, k, columns, is_added); break;
        case 4: rows_product<4>(rest, a_stride, b, b_stride, to, c_stride, k, columns, is_added); break;
        case 3: rows_product<3>(rest, a_stride, b, b_stride, to, c_stride, k, columns, is_added); break;
        case 2: rows_product<2>(rest, a_stride, b, b_stride, to, c_stride, k, columns, is_added); break;
        case 1: rows_product<1>(rest, a_stride, b, b_stride, to, c_stride, k, columns, is_added); break;
    }
}

// limit * tanh(score / limit)
static inline void soft_cap(float* scores, float limit) {
    for (int64_t i = 0; i < TILE; i += LANES) {
        const Floats power = exponential(load(scores + i) * (2.0f / limit));
        store(scores + i, (1.0f - 2.0f / (power + 1.0f)) * limit);
    }
}

// One step of the online softmax (Milakov and Gimelshein 2018): turns one row of a tile's scores, of which
// [first, end) are visible, into weights, and updates the running maximum and sum. Returns the factor by
// which the row's earlier output must be multiplied.
static inline float softmax_step(float* scores, int64_t first, int64_t end, float& most, float& total) {
    if (first >= end) {
        std::memset(scores, 0, TILE * sizeof(float));
        return 1.0f;
    }
    for (int64_t i = 0; i < first; ++i) scores[i] = -INFINITY;
    for (int64_t i = end; i < TILE; ++i) scores[i] = -INFINITY;
    Floats peaks = load(scores);
    for (int64_t i = LANES; i < TILE; i += LANES) peaks = larger(peaks, load(scores + i));
    const float peak = std::fmax(most, largest(peaks));
    Floats sums{};
    for (int64_t i = 0; i < TILE; i += LANES) {
        const Floats weights = exponential(load(scores + i) - peak);
        store(scores + i, weights);
        sums += weights;
    }
    const float factor = std::exp(most - peak);
    total = total * factor + sum(sums);
    most = peak;
    return factor;
}

// One thread's buffers for a block of queries.
struct AttentionBuffers {
    float* queries;  // [query rows][head_dim]
    float* scores;   // [query rows][TILE]
    float* outputs;  // [query rows][head_dim]
    float* rows;     // [TILE][head_dim]: keys, later values
    float* keys;     // [head_dim][TILE]
    float* most;     // [query rows]: the running maximum of scores
    float* totals;   // [query rows]: the running sum of weights

    AttentionBuffers(Arena& arena, const Heads& heads, int64_t num_tokens) {
        const int64_t query_rows = std::min(num_tokens, max_block_tokens(heads)) * heads.group();
        queries = arena.take<float>(query_rows, heads.head_dim);
        scores = arena.take<float>(query_rows, TILE);
        outputs = arena.take<float>(query_rows, heads.head_dim);
        rows = arena.take<float>(TILE, heads.head_dim);
        keys = arena.take<float>(heads.head_dim, TILE);
        most = arena.take<float>(query_rows);
        totals = arena.take<float>(query_rows);
    }
};

// The query heads of one KV head, for the tokens of `queries`, into out [num_tokens][num_heads][head_dim].
static inline void attend_block(const Attention& layer, const Heads& heads, const Step& step, const QueryBlock& queries,
                                int64_t kv_head, const float* qkv, float* out, const AttentionBuffers& buffers) {
    const int64_t dim = heads.head_dim, group = heads.group();
    const int64_t rows = queries.num_tokens * group;
    const int64_t end = queries.position + queries.num_tokens;
    int64_t begin = 0;
    if (layer.window && queries.position + 1 > layer.window)
        begin = (queries.position + 1 - layer.window) / TILE * TILE;
    for (int64_t r = 0; r < rows; ++r) {
        const float* from = qkv + (queries.row + r / group) * heads.width() + (kv_head * group + r % group) * dim;
        for (int64_t i = 0; i < dim; i += LANES) store(&buffers.queries[r * dim + i], load(from + i) * layer.scaling);
    }
    std::fill_n(buffers.most, rows, -INFINITY);
    std::fill_n(buffers.totals, rows, 0.0f);
    std::fill_n(buffers.outputs, rows * dim, 0.0f);
    const int64_t* table = step.tables + step.table_offsets[queries.span];
    auto read_tile = [&](const void* cache, const float* scales, int64_t first, int64_t count) {
        for (int64_t p = 0; p < count; ++p) {
            const int64_t slot = table[(first + p) / step.block_size] * step.block_size + (first + p) % step.block_size;
            read_head(cache, scales, slot * heads.num_kv_heads + kv_head, heads, &buffers.rows[p * dim]);
        }
        std::fill_n(buffers.rows + count * dim, (TILE - count) * dim, 0.0f);
    };
    for (int64_t first = begin; first < end; first += TILE) {
        const int64_t count = end - first < TILE ? end - first : TILE;
        read_tile(layer.keys, layer.key_scales, first, count);
        transpose(buffers.rows, dim, buffers.keys);
        product(buffers.queries, dim, buffers.keys, TILE, buffers.scores, TILE, rows, dim, TILE, false);
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t position = queries.position + r / group;
            const int64_t oldest = layer.window && position + 1 > layer.window ? position + 1 - layer.window : 0;
            const int64_t low = oldest > first ? oldest - first : 0;
            const int64_t high = position + 1 - first < TILE ? position + 1 - first : TILE;
            float* scores = &buffers.scores[r * TILE];
            if (layer.softcap != 0) soft_cap(scores, layer.softcap);
            const float factor = softmax_step(scores, low, high, buffers.most[r], buffers.totals[r]);
            if (factor != 1.0f)
                for (int64_t i = 0; i < dim; i += LANES) {
                    float* output = &buffers.outputs[r * dim + i];
                    store(output, load(output) * factor);
                }
        }
        read_tile(layer.values, layer.value_scales, first, count);
        product(buffers.scores, TILE, buffers.rows, dim, buffers.outputs, dim, rows, TILE, dim, true);
    }
    for (int64_t r = 0; r < rows; ++r) {
        float* to = out + ((queries.row + r / group) * heads.num_heads + kv_head * group + r % group) * dim;
        const float inverse = 1.0f / buffers.totals[r];
        for (int64_t i = 0; i < dim; i += LANES) store(to + i, load(&buffers.outputs[r * dim + i]) * inverse);
    }
}

static inline void attend(Team& team, const Attention& layer, const Heads& heads, const Step& step,
                          const std::vector<QueryBlock>& blocks, const float* qkv, float* out,
                          const AttentionBuffers& buffers) {
    // Backwards: the last blocks see most positions, and starting with the longest work ends all threads together.
    const int64_t count = int64_t(blocks.size()) * heads.num_kv_heads;
    team.share(count, 1, [&](int64_t item, int64_t) {
        const int64_t last = count - 1 - item;
        attend_block(layer, heads, step, blocks[size_t(last / heads.num_kv_heads)], last % heads.num_kv_heads, qkv, out,
                     buffers);
    });
}
