// A decoder's layers: norm, attention, norm, gated MLP, each added to its input. Weights are packed and may be
// quantized (linear.h); everything between them is float32.
#pragma once

#include <vector>

#include "attention.h"
#include "linear.h"

struct Layer {  // mirrored in library.py
    const float* attention_norm;
    const float* mlp_norm;
    Linear qkv;
    Linear output;
    Linear gate_up;  // panels of the gate and of the values it gates, alternating
    Linear down;
    Attention attention;
};

struct Decoder {  // mirrored in library.py
    int64_t num_layers;
    int64_t hidden_size;
    int64_t intermediate_size;
    const Layer* layers;
    Heads heads;
};

static inline void prepare_row(const Linear& linear, const float* x, int64_t count, const Input& input, int64_t row) {
    if (linear.scheme == INT8) quantize_row<true>(x, count, input, row);
    else if (is_quantized(linear.scheme)) quantize_row<false>(x, count, input, row);
    else place_row(x, count, input, row);
}

// Bring the rows of x [rows][count] into the form that `linear` needs.
static inline void prepare(Team& team, const Linear& linear, const float* x, int64_t count, const Input& input) {
    team.share(input.rows, 4, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) prepare_row(linear, x + row * count, count, input, row);
    });
}

// RMSNorm (Zhang and Sennrich 2019) of x [rows][count] into `normed`, then `prepare_row`.
static inline void normalize(Team& team, const float* x, int64_t count, const float* weights, float eps,
                             const Linear& linear, const Input& input, float* normed) {
    team.share(input.rows, 4, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const float* from = x + row * count;
            float* to = normed + row * count;
            Floats squares{};
            int64_t i = 0;
            for (; i + LANES <= count; i += LANES) squares += load(from + i) * load(from + i);
            float square = sum(squares);
            for (; i < count; ++i) square += from[i] * from[i];
            const float factor = 1.0f / std::sqrt(square / float(count) + eps);
            for (i = 0; i + LANES <= count; i += LANES) store(to + i, load(from + i) * factor * load(weights + i));
            for (; i < count; ++i) to[i] = from[i] * factor * weights[i];
            prepare_row(linear, to, count, input, row);
        }
    });
}

// The layers' buffers for one step.
struct LayersBuffers {
    Input normed_input, attended_input, gated_input;
    float *qkv, *attended, *gated, *normed;
    std::vector<AttentionBuffers> attention;  // [num_threads]

    LayersBuffers(Arena& arena, const Decoder& decoder, int64_t num_tokens, int num_threads)
        : normed_input(arena, num_tokens, decoder.hidden_size),
          attended_input(arena, num_tokens, decoder.heads.attended_width()),
          gated_input(arena, num_tokens, decoder.intermediate_size) {
        qkv = arena.take<float>(num_tokens, decoder.heads.width());
        attended = arena.take<float>(num_tokens, decoder.heads.attended_width());
        gated = arena.take<float>(num_tokens, decoder.intermediate_size);
        normed = arena.take<float>(num_tokens, decoder.hidden_size);
        attention.reserve(size_t(num_threads));
        for (int i = 0; i < num_threads; ++i) attention.emplace_back(arena, decoder.heads, num_tokens);
    }
};

// hidden [num_tokens][hidden_size] is changed in place. `blocks` are those of the step.
static inline void run_layers(Team& team, int thread, const Decoder& decoder, const Step& step,
                              const std::vector<QueryBlock>& blocks, const LayersBuffers& buffers, float* hidden) {
    const Heads& heads = decoder.heads;
    const int64_t width = decoder.hidden_size, inner = decoder.intermediate_size;
    for (int64_t i = 0; i < decoder.num_layers; ++i) {
        const Layer& layer = decoder.layers[i];
        normalize(team, hidden, width, layer.attention_norm, heads.eps, layer.qkv, buffers.normed_input,
                  buffers.normed);
        multiply(team, layer.qkv, buffers.normed_input, {buffers.qkv, heads.width()});
        rotate_and_store(team, layer.attention, heads, step, buffers.qkv);
        attend(team, layer.attention, heads, step, blocks, buffers.qkv, buffers.attended,
               buffers.attention[size_t(thread)]);
        prepare(team, layer.output, buffers.attended, heads.attended_width(), buffers.attended_input);
        multiply(team, layer.output, buffers.attended_input, {hidden, width, Epilogue::ADD});
        normalize(team, hidden, width, layer.mlp_norm, heads.eps, layer.gate_up, buffers.normed_input, buffers.normed);
        multiply(team, layer.gate_up, buffers.normed_input, {buffers.gated, inner, Epilogue::GATE});
        prepare(team, layer.down, buffers.gated, inner, buffers.gated_input);
        multiply(team, layer.down, buffers.gated_input, {hidden, width, Epilogue::ADD});
    }
}
