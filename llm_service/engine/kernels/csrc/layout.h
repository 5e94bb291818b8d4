// The layout of the structs that Python mirrors (library.py), which it compares when it loads the library.
#pragma once

#include <cstddef>

#include "model.h"

struct FieldLayout {  // mirrored in library.py
    const char* structure;
    const char* field;  // empty: the structure itself
    int64_t offset;
    int64_t size;
};

#define WHOLE(structure) {#structure, "", 0, sizeof(structure)}
#define FIELD(structure, field) {#structure, #field, offsetof(structure, field), sizeof(structure::field)}

static const FieldLayout layouts[] = {
    WHOLE(Linear),
    FIELD(Linear, scheme),
    FIELD(Linear, n),
    FIELD(Linear, k),
    FIELD(Linear, num_outputs),
    FIELD(Linear, weights),
    FIELD(Linear, scales),
    FIELD(Linear, sums),
    FIELD(Linear, lower),
    FIELD(Linear, error_bounds),
    FIELD(Linear, bias),
    WHOLE(Attention),
    FIELD(Attention, keys),
    FIELD(Attention, values),
    FIELD(Attention, key_scales),
    FIELD(Attention, value_scales),
    FIELD(Attention, query_norm),
    FIELD(Attention, key_norm),
    FIELD(Attention, scaling),
    FIELD(Attention, softcap),
    FIELD(Attention, window),
    WHOLE(Layer),
    FIELD(Layer, attention_norm),
    FIELD(Layer, mlp_norm),
    FIELD(Layer, qkv),
    FIELD(Layer, output),
    FIELD(Layer, gate_up),
    FIELD(Layer, down),
    FIELD(Layer, attention),
    WHOLE(Heads),
    FIELD(Heads, num_heads),
    FIELD(Heads, num_kv_heads),
    FIELD(Heads, head_dim),
    FIELD(Heads, cache_type),
    FIELD(Heads, eps),
    WHOLE(Decoder),
    FIELD(Decoder, num_layers),
    FIELD(Decoder, hidden_size),
    FIELD(Decoder, intermediate_size),
    FIELD(Decoder, layers),
    FIELD(Decoder, heads),
    WHOLE(Model),
    FIELD(Model, decoder),
    FIELD(Model, embedding),
    FIELD(Model, head),
    FIELD(Model, norm),
    FIELD(Model, eps),
    FIELD(Model, rotary_dim),
    FIELD(Model, num_positions),
    FIELD(Model, cosines),
    FIELD(Model, sines),
    WHOLE(Step),
    FIELD(Step, num_tokens),
    FIELD(Step, num_spans),
    FIELD(Step, starts),
    FIELD(Step, lengths),
    FIELD(Step, table_offsets),
    FIELD(Step, rotary_starts),
    FIELD(Step, tables),
    FIELD(Step, slots),
    FIELD(Step, cosines),
    FIELD(Step, sines),
    FIELD(Step, rotary_dim),
    FIELD(Step, block_size),
};
