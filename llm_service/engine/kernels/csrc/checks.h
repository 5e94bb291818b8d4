// Refuses what Python passes where the kernels would read or write out of bounds, or would not know what to compute.
// Runs once per call, on its thread, and looks at no weights.
#pragma once

#include <cinttypes>

#include "decoder.h"
#include "model.h"
#include "status.h"

#define REQUIRE(condition, ...) \
    if (!(condition)) throw KernelError(INVALID_ARGUMENT, __VA_ARGS__)

static inline void check_scheme(const Linear& linear, const char* name) {
    switch (linear.scheme) {
        case FLOAT32:
        case BFLOAT16:
        case INT4: return;
        case INT8: REQUIRE(linear.scales && linear.sums, "%s: int8 needs scales and sums", name); return;
        case PLANES:
            REQUIRE(linear.scales && linear.lower && linear.error_bounds,
                    "%s: planes need scales, the lower plane and error bounds", name);
            return;
        case UPPER_PLANE: break;
    }
    throw KernelError(UNKNOWN_SCHEME, "%s: unknown scheme %d", name, int(linear.scheme));
}

static inline void check_linear(const Linear& linear, int64_t num_inputs, const char* name) {
    check_scheme(linear, name);
    REQUIRE(linear.weights, "%s: no weights", name);
    REQUIRE(linear.n % PANEL == 0 && linear.num_outputs > linear.n - PANEL && linear.num_outputs <= linear.n,
            "%s: %d outputs do not fit %d channels", name, linear.num_outputs, linear.n);
    REQUIRE(num_inputs > 0 && linear.k % GROUP == 0 && num_inputs > linear.k - GROUP && num_inputs <= linear.k,
            "%s: %" PRId64 " inputs do not fit a width of %d", name, num_inputs, linear.k);
}

static inline void check_embedding(const Linear& linear, int64_t num_columns) {
    check_linear(linear, num_columns, "embedding");
    if (linear.scheme == INT8 || linear.scheme == INT4)
        throw KernelError(UNKNOWN_SCHEME, "embedding: rows of scheme %d cannot be looked up", int(linear.scheme));
}

static inline void check_ids(const Linear& embedding, const int64_t* ids, int64_t count) {
    REQUIRE(count >= 0, "the number of token ids is negative");
    for (int64_t i = 0; i < count; ++i)
        REQUIRE(ids[i] >= 0 && ids[i] < embedding.num_outputs, "token id %" PRId64 " is not one of %d", ids[i],
                embedding.num_outputs);
}

static inline void check_cache(const Attention& attention, CacheType type) {
    if (type != CACHE_FLOAT32 && type != CACHE_BFLOAT16 && type != CACHE_INT8)
        throw KernelError(UNKNOWN_CACHE_TYPE, "unknown KV cache type %d", int(type));
    REQUIRE(attention.keys && attention.values, "a layer has no KV cache");
    REQUIRE(type != CACHE_INT8 || (attention.key_scales && attention.value_scales), "an int8 KV cache needs scales");
}

static inline void check_sizes(const Decoder& decoder) {
    const Heads& heads = decoder.heads;
    REQUIRE(heads.num_heads > 0 && heads.num_kv_heads > 0 && heads.num_heads % heads.num_kv_heads == 0,
            "%" PRId64 " heads cannot share %" PRId64 " KV heads", heads.num_heads, heads.num_kv_heads);
    REQUIRE(heads.head_dim > 0 && heads.head_dim % PANEL == 0, "the head size %" PRId64 " is not a multiple of %d",
            heads.head_dim, PANEL);
    REQUIRE(decoder.hidden_size > 0, "the hidden size is %" PRId64, decoder.hidden_size);
    REQUIRE(decoder.intermediate_size > 0 && decoder.intermediate_size % PANEL == 0,
            "the intermediate size %" PRId64 " is not a multiple of %d", decoder.intermediate_size, PANEL);
}

static inline void check_decoder(const Decoder& decoder) {
    const Heads& heads = decoder.heads;
    check_sizes(decoder);
    for (int64_t i = 0; i < decoder.num_layers; ++i) {
        const Layer& layer = decoder.layers[i];
        check_linear(layer.qkv, decoder.hidden_size, "qkv");
        check_linear(layer.output, heads.attended_width(), "output");
        check_linear(layer.gate_up, decoder.hidden_size, "gate_up");
        check_linear(layer.down, decoder.intermediate_size, "down");
        REQUIRE(layer.qkv.num_outputs == heads.width() && layer.output.num_outputs == decoder.hidden_size &&
                    layer.gate_up.num_outputs == 2 * decoder.intermediate_size &&
                    layer.down.num_outputs == decoder.hidden_size,
                "the matrices of layer %" PRId64 " do not fit each other", i);
        check_cache(layer.attention, heads.cache_type);
    }
}

static inline void check_step(const Step& step, const Heads& heads) {
    REQUIRE(step.num_tokens >= 0 && step.num_spans >= 0 && step.block_size > 0, "a step has sizes below zero");
    REQUIRE(step.rotary_dim >= 0 && step.rotary_dim % 2 == 0 && step.rotary_dim <= heads.head_dim,
            "%" PRId64 " numbers of a head of %" PRId64 " cannot be rotated", step.rotary_dim, heads.head_dim);
    int64_t num_tokens = 0;
    for (int64_t span = 0; span < step.num_spans; ++span) {
        REQUIRE(step.starts[span] >= 0 && step.lengths[span] > 0, "a span has no tokens, or begins below position 0");
        num_tokens += step.lengths[span];
    }
    REQUIRE(num_tokens == step.num_tokens, "the spans have %" PRId64 " tokens, the step has %" PRId64, num_tokens,
            step.num_tokens);
}

static inline void check_model(const Model& model, const Step& step, const int64_t* tokens, const int64_t* rows,
                               int64_t num_rows) {
    const int64_t width = model.decoder->hidden_size;
    check_decoder(*model.decoder);
    check_embedding(model.embedding, width);
    check_linear(model.head, width, "head");
    check_step(step, model.decoder->heads);
    for (int64_t span = 0; span < step.num_spans; ++span)
        REQUIRE(step.rotary_starts[span] >= 0 && step.rotary_starts[span] + step.lengths[span] <= model.num_positions,
                "a span reaches from position %" PRId64 " to %" PRId64 ", but the rotary tables have %" PRId64,
                step.rotary_starts[span], step.rotary_starts[span] + step.lengths[span], model.num_positions);
    check_ids(model.embedding, tokens, step.num_tokens);
    REQUIRE(num_rows >= 0, "the number of rows is negative");
    for (int64_t i = 0; i < num_rows; ++i)
        REQUIRE(rows[i] >= 0 && rows[i] < step.num_tokens,
                "row %" PRId64 " is not one of the step's %" PRId64 " tokens", rows[i], step.num_tokens);
}

static inline void check_threads(int32_t num_threads) {
    REQUIRE(num_threads > 0, "%d threads cannot compute anything", num_threads);
}

static inline void check_limits(const ExactLimits& limits, int64_t rows) {
    if (!limits.counts) return;
    REQUIRE(limits.depths, "a row's number of exact logits comes without its depth");
    for (int64_t i = 0; i < rows; ++i)
        REQUIRE(limits.counts[i] > 0, "%" PRId64 " logits cannot be the exact ones of a row", limits.counts[i]);
}
