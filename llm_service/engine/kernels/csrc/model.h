// A whole model in one call: token ids in, logits out.
#pragma once

#include "decoder.h"
#include "head.h"

struct Model {  // mirrored in library.py
    const Decoder* decoder;
    Linear embedding;
    Linear head;
    const float* norm;  // [hidden_size]: before the head
    float eps;          // of this norm
    int64_t rotary_dim;
    int64_t num_positions;  // of the rotary tables
    const float* cosines;   // [num_positions][rotary_dim]
    const float* sines;     // [num_positions][rotary_dim]
};

// Row `id` of a matrix in float32, bfloat16 or planes, as an embedding looks it up.
static inline void embed(const Linear& linear, int64_t id, int64_t num_columns, float* out) {
    const int64_t k = linear.k, first = id / PANEL * k * PANEL, lane = id % PANEL;
    if (linear.scheme == PLANES) {
        const uint8_t* upper = static_cast<const uint8_t*>(linear.weights) + first / 2 + 4 * lane;
        const uint8_t* lower = static_cast<const uint8_t*>(linear.lower) + first / 2 + 4 * lane;
        const float scale = linear.scales[id];
        for (int64_t j = 0; j < num_columns; ++j) {
            const int64_t place = j % GROUP % 16;
            const int64_t at = j / GROUP * PLANE_GROUP_BYTES + place / 4 * 4 * PANEL + place % 4;
            const int shift = j % GROUP < 16 ? 0 : 4;
            const int whole = 16 * (upper[at] >> shift & 15) + (lower[at] >> shift & 15) - 128;
            out[j] = float(whole) * scale;
        }
    } else if (linear.scheme == BFLOAT16) {
        const uint16_t* panel = static_cast<const uint16_t*>(linear.weights) + first + 2 * lane;
        for (int64_t j = 0; j < num_columns; ++j) out[j] = to_float(panel[j / 2 * 2 * PANEL + j % 2]);
    } else {
        const float* panel = static_cast<const float*>(linear.weights) + first + lane;
        for (int64_t j = 0; j < num_columns; ++j) out[j] = panel[j * PANEL];
    }
}

// A model's buffers for one step.
struct ModelBuffers {
    float *hidden, *last, *normed;  // [num_tokens], [num_rows] and [num_rows] times [hidden_size]
    float *cosines, *sines;         // [num_tokens][rotary_dim]
    LayersBuffers layers;
    HeadBuffers head;

    ModelBuffers(Arena& arena, const Model& model, int64_t num_tokens, int64_t num_rows, int num_threads,
                 bool is_limited)
        : hidden(arena.take<float>(num_tokens, model.decoder->hidden_size)),
          last(arena.take<float>(num_rows, model.decoder->hidden_size)),
          normed(arena.take<float>(num_rows, model.decoder->hidden_size)),
          cosines(arena.take<float>(num_tokens, model.rotary_dim)),
          sines(arena.take<float>(num_tokens, model.rotary_dim)),
          layers(arena, *model.decoder, num_tokens, num_threads),
          head(arena, model.head, model.decoder->hidden_size, num_rows, num_threads, is_limited) {}
};

// The step with rotary tables of its own, which hold the rows of its tokens' positions.
static inline Step with_tables(const Model& model, Step step, float* cosines, float* sines) {
    step.cosines = cosines, step.sines = sines, step.rotary_dim = model.rotary_dim;
    for (int64_t span = 0; span < step.num_spans; ++span) {
        const int64_t from = step.rotary_starts[span] * model.rotary_dim, count = step.lengths[span] * model.rotary_dim;
        cosines = std::copy_n(model.cosines + from, count, cosines);
        sines = std::copy_n(model.sines + from, count, sines);
    }
    return step;
}
