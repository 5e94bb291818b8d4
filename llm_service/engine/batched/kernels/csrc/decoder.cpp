// A decoder's layers in one call: norm, attention, norm, gated MLP, each added to what came in.
// Weights are packed and may be quantized (linear.h); everything between them is float32.
// Called through C, from library.py, by one thread at a time.

#include <algorithm>
#include <cstdlib>
#include <tuple>

#include "attention.h"
#include "head.h"
#include "linear.h"
#include "reductions.h"

struct Layer {  // mirrored in library.py
    const float* attention_norm;
    const float* mlp_norm;
    Linear qkv;
    Linear output;
    Linear gate_up;  // panels of gates and of what they gate, in turns
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

namespace {

// Memory for one call after the other; grows to what the largest one needed.
class Arena {
public:
    ~Arena() { std::free(data_); }

    void begin(size_t bytes) {
        used_ = 0;
        if (bytes <= size_) return;
        std::free(data_);
        size_ = bytes;
        data_ = static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
        if (!data_) std::abort();
    }

    template <class T>
    T* take(int64_t count) {
        T* taken = reinterpret_cast<T*>(data_ + used_);
        used_ += (count * sizeof(T) + 63) / 64 * 64;
        return taken;
    }

private:
    char* data_ = nullptr;
    size_t size_ = 0, used_ = 0;
};

thread_local Arena arena;

int64_t padded(int64_t inputs) { return (inputs + GROUP - 1) / GROUP * GROUP; }

size_t input_bytes(int64_t rows, int64_t k) { return rows * (2 * k + k / GROUP * 4 + 4 * k + 12) + 8 * 64; }

size_t decoder_bytes(const Decoder& decoder, int64_t rows) {
    const Heads& heads = decoder.heads;
    const int64_t width = decoder.hidden_size, inner = decoder.intermediate_size;
    const int64_t attended_width = heads.num_heads * heads.head_dim;
    return input_bytes(rows, padded(width)) + input_bytes(rows, padded(attended_width)) +
           input_bytes(rows, padded(inner)) + 4 * rows * (heads.width() + attended_width + inner + width) + 64 * 8;
}

size_t linear_bytes(const Linear& linear, int64_t rows) {
    const size_t alone = linear.scheme == PLANES ? rows * input_bytes(1, linear.k) : 0;
    return input_bytes(rows, linear.k) + alone;
}

// An input of `count` numbers a row, to be filled by `prepare`.
Input make_input(int64_t rows, int64_t count) {
    Input input;
    input.rows = rows;
    input.k = padded(count);
    input.values = arena.take<int8_t>(rows * input.k);
    input.others = arena.take<uint8_t>(rows * input.k);
    input.scales = arena.take<float>(rows);
    input.sums = arena.take<int32_t>(rows);
    input.negatives = arena.take<int32_t>(rows);
    input.group_sums = arena.take<int32_t>(rows * (input.k / GROUP));
    input.floats = arena.take<float>(rows * input.k);
    return input;
}

void prepare_row(const Linear& linear, const float* x, int64_t count, const Input& input, int64_t row) {
    if (linear.scheme == INT8) quantize_row<true>(x, count, input, row);
    else if (is_quantized(linear.scheme)) quantize_row<false>(x, count, input, row);
    else place_row(x, count, input, row);
}

void prepare(Team& team, const Linear& linear, const float* x, int64_t count, const Input& input) {
    team.share(input.rows, 4, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) prepare_row(linear, x + row * count, count, input, row);
    });
}

// RMSNorm (Zhang and Sennrich 2019), then `prepare_row`.
void normalize(Team& team, const float* x, int64_t count, const float* weights, float eps, const Linear& linear,
               const Input& input, float* scratch) {
    team.share(input.rows, 4, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const float* from = x + row * count;
            float* to = scratch + row * count;
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

}  // namespace

extern "C" {

// Bytes that a call for so many rows needs to work in; they are kept for the next one.
int64_t decoder_workspace(const Decoder* decoder, int64_t rows) { return int64_t(decoder_bytes(*decoder, rows)); }

int64_t linear_workspace(const Linear* linear, int64_t rows) { return int64_t(linear_bytes(*linear, rows)); }

// hidden [num_tokens][hidden_size] is changed in place.
void decoder_forward(const Decoder* decoder, const Step* step, float* hidden, int32_t num_threads) {
    const Heads& heads = decoder->heads;
    const int64_t rows = step->num_tokens, width = decoder->hidden_size, inner = decoder->intermediate_size;
    const int64_t attended_width = heads.num_heads * heads.head_dim;
    arena.begin(decoder_bytes(*decoder, rows));
    const Input normed = make_input(rows, width), attended_input = make_input(rows, attended_width),
                gated_input = make_input(rows, inner);
    float* qkv = arena.take<float>(rows * heads.width());
    float* attended = arena.take<float>(rows * attended_width);
    float* gated = arena.take<float>(rows * inner);
    float* scratch = arena.take<float>(rows * width);
    const std::vector<Queries> queries = cut_queries(*step, heads);
    int64_t most_queries = 0;
    for (const Queries& each : queries) most_queries = std::max(most_queries, each.num_tokens);
    const int64_t query_rows = most_queries * (heads.num_heads / heads.num_kv_heads);

    on_team(num_threads, [&](Team& team) {
        Scratch own(heads, query_rows);
        for (int64_t i = 0; i < decoder->num_layers; ++i) {
            const Layer& layer = decoder->layers[i];
            normalize(team, hidden, width, layer.attention_norm, heads.eps, layer.qkv, normed, scratch);
            multiply(team, layer.qkv, normed, {qkv, heads.width()});
            rotate_and_store(team, layer.attention, heads, *step, qkv);
            attend(team, layer.attention, heads, *step, queries, qkv, attended, own);
            prepare(team, layer.output, attended, attended_width, attended_input);
            multiply(team, layer.output, attended_input, {hidden, width, Then::ADD});
            normalize(team, hidden, width, layer.mlp_norm, heads.eps, layer.gate_up, normed, scratch);
            multiply(team, layer.gate_up, normed, {gated, inner, Then::GATE});
            prepare(team, layer.down, gated, inner, gated_input);
            multiply(team, layer.down, gated_input, {hidden, width, Then::ADD});
        }
    });
}

// out [rows][num_outputs] = x [rows][num_inputs] times the weights, and the bias.
void linear_forward(const Linear* linear, const float* x, int64_t rows, int64_t num_inputs, float* out,
                    int32_t num_threads) {
    arena.begin(linear_bytes(*linear, rows));
    const Input input = make_input(rows, num_inputs);
    on_team(num_threads, [&](Team& team) {
        prepare(team, *linear, x, num_inputs, input);
        multiply(team, *linear, input, {out, linear->num_outputs});
    });
}

// As linear_forward, for weights in planes; exact only what is wanted. `is_left` [rows] becomes 1 for
// rows that want too much for that.
void head_forward(const Linear* linear, const float* x, int64_t rows, int64_t num_inputs, const int64_t* counts,
                  const float* depths, float* out, uint8_t* is_left, int32_t num_threads) {
    arena.begin(linear_bytes(*linear, rows));
    const Input input = make_input(rows, num_inputs);
    std::vector<Search> searches(rows);
    for (Search& search : searches) search.x = make_input(1, num_inputs);
    on_team(num_threads, [&](Team& team) {
        prepare(team, *linear, x, num_inputs, input);
        team.share(rows, 1, [&](int64_t row, int64_t) {
            prepare_row(*linear, x + row * num_inputs, num_inputs, searches[row].x, 0);
        });
        multiply_wanted(team, *linear, input, searches, {counts, depths}, out);
    });
    for (int64_t row = 0; row < rows; ++row) is_left[row] = searches[row].wants_much(*linear);
}

// out [count][num_columns]: rows of a matrix in float32, bfloat16 or planes, as an embedding looks
// them up.
void embedding_forward(const Linear* linear, const int64_t* ids, int64_t count, int64_t num_columns, float* out) {
    const int64_t k = linear->k;
    for (int64_t i = 0; i < count; ++i, out += num_columns) {
        const int64_t first = ids[i] / PANEL * k * PANEL, lane = ids[i] % PANEL;
        if (linear->scheme == PLANES) {
            const uint8_t* upper = static_cast<const uint8_t*>(linear->weights) + first / 2 + 4 * lane;
            const uint8_t* lower = static_cast<const uint8_t*>(linear->lower) + first / 2 + 4 * lane;
            const float scale = linear->scales[ids[i]];
            for (int64_t j = 0; j < num_columns; ++j) {
                const int64_t place = j % GROUP % 16;
                const int64_t at = j / GROUP * PLANE_GROUP_BYTES + place / 4 * 4 * PANEL + place % 4;
                const int shift = j % GROUP < 16 ? 0 : 4;
                const int whole = 16 * (upper[at] >> shift & 15) + (lower[at] >> shift & 15) - 128;
                out[j] = float(whole) * scale;
            }
        } else if (linear->scheme == BFLOAT16) {
            const uint16_t* panel = static_cast<const uint16_t*>(linear->weights) + first + 2 * lane;
            for (int64_t j = 0; j < num_columns; ++j) out[j] = to_float(panel[j / 2 * 2 * PANEL + j % 2]);
        } else {
            const float* panel = static_cast<const float*>(linear->weights) + first + lane;
            for (int64_t j = 0; j < num_columns; ++j) out[j] = panel[j * PANEL];
        }
    }
}

// Of chosen rows of [.][width]: values [count] and places [count] of their largest numbers.
void rows_best(const float* matrix, int64_t width, const int64_t* rows, int64_t count, float* values, int64_t* places,
               int32_t num_threads) {
    on_team(num_threads, [&](Team& team) {
        team.share(count, 1, [&](int64_t i, int64_t) {
            std::tie(values[i], places[i]) = find_best(matrix + rows[i] * width, width);
        });
    });
}

// values [count][num_values], falling, and places [count][num_values].
void rows_largest(const float* matrix, int64_t width, const int64_t* rows, int64_t count, int64_t num_values,
                  float* values, int64_t* places, int32_t num_threads) {
    on_team(num_threads, [&](Team& team) {
        team.share(count, 1, [&](int64_t i, int64_t) {
            find_largest(matrix + rows[i] * width, width, num_values, values + i * num_values, places + i * num_values);
        });
    });
}

// sums [count][blocks of a row]; peaks [count] and temperatures [count].
void rows_weights(const float* matrix, int64_t width, const int64_t* rows, int64_t count, const float* peaks,
                  const float* temperatures, int64_t block, float* sums, int32_t num_threads) {
    const int64_t num_blocks = (width + block - 1) / block;
    on_team(num_threads, [&](Team& team) {
        team.share(count, 1, [&](int64_t i, int64_t) {
            sum_weights(matrix + rows[i] * width, width, peaks[i], temperatures[i], block, sums + i * num_blocks);
        });
    });
}
}
