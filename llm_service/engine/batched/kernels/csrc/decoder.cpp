// A decoder's layers in one call: norm, attention, norm, gated MLP, each added to what came in. Or
// all of a model, from token ids to logits. Weights are packed and may be quantized (linear.h);
// everything between them is float32. Called through C, from library.py, by one thread at a time.

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

struct Model {  // mirrored in library.py
    const Decoder* decoder;
    Linear embedding;
    Linear head;
    const float* norm;  // [hidden_size]: before the head
    float eps;          // its own
    int64_t rotary_dim;
    const float* cosines;  // [positions][rotary_dim]
    const float* sines;    // [positions][rotary_dim]
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
    const size_t of_searches = linear.scheme == PLANES ? rows * input_bytes(1, linear.k) + input_bytes(rows, linear.k) : 0;
    return input_bytes(rows, linear.k) + of_searches;
}

size_t model_bytes(const Model& model, int64_t rows, int64_t num_logits) {
    const int64_t width = model.decoder->hidden_size;
    return decoder_bytes(*model.decoder, rows) + linear_bytes(model.head, num_logits) +
           4 * rows * (width + 2 * model.rotary_dim) + 8 * num_logits * width + 5 * 64;
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

// What the layers work in, for one step.
struct LayersWork {
    Input normed, attended_input, gated_input;
    float *qkv, *attended, *gated, *scratch;
    std::vector<Queries> queries;
    int64_t query_rows = 0;

    LayersWork(const Decoder& decoder, const Step& step) {
        const Heads& heads = decoder.heads;
        const int64_t rows = step.num_tokens, attended_width = heads.num_heads * heads.head_dim;
        normed = make_input(rows, decoder.hidden_size);
        attended_input = make_input(rows, attended_width);
        gated_input = make_input(rows, decoder.intermediate_size);
        qkv = arena.take<float>(rows * heads.width());
        attended = arena.take<float>(rows * attended_width);
        gated = arena.take<float>(rows * decoder.intermediate_size);
        scratch = arena.take<float>(rows * decoder.hidden_size);
        queries = cut_queries(step, heads);
        for (const Queries& each : queries) query_rows = std::max(query_rows, each.num_tokens);
        query_rows *= heads.num_heads / heads.num_kv_heads;
    }
};

// hidden [num_tokens][hidden_size] is changed in place.
void run_layers(Team& team, const Decoder& decoder, const Step& step, const LayersWork& work, float* hidden) {
    const Heads& heads = decoder.heads;
    const int64_t width = decoder.hidden_size, inner = decoder.intermediate_size;
    const int64_t attended_width = heads.num_heads * heads.head_dim;
    Scratch own(heads, work.query_rows);
    for (int64_t i = 0; i < decoder.num_layers; ++i) {
        const Layer& layer = decoder.layers[i];
        normalize(team, hidden, width, layer.attention_norm, heads.eps, layer.qkv, work.normed, work.scratch);
        multiply(team, layer.qkv, work.normed, {work.qkv, heads.width()});
        rotate_and_store(team, layer.attention, heads, step, work.qkv);
        attend(team, layer.attention, heads, step, work.queries, work.qkv, work.attended, own);
        prepare(team, layer.output, work.attended, attended_width, work.attended_input);
        multiply(team, layer.output, work.attended_input, {hidden, width, Then::ADD});
        normalize(team, hidden, width, layer.mlp_norm, heads.eps, layer.gate_up, work.normed, work.scratch);
        multiply(team, layer.gate_up, work.normed, {work.gated, inner, Then::GATE});
        prepare(team, layer.down, work.gated, inner, work.gated_input);
        multiply(team, layer.down, work.gated_input, {hidden, width, Then::ADD});
    }
}

// One row of a matrix in float32, bfloat16 or planes, as an embedding looks it up.
void embed(const Linear& linear, int64_t id, int64_t num_columns, float* out) {
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

HeadWork make_head_work(const Linear& head, int64_t rows, int64_t count, const Wanted& wanted) {
    HeadWork work;
    work.input = make_input(rows, count);
    if (head.scheme != PLANES || !wanted.counts) return work;
    work.rest = make_input(rows, count);
    work.searches = std::vector<Search>(rows);
    for (Search& search : work.searches) search.x = make_input(1, count);
    return work;
}

// out [rows][num_outputs] from x [rows][count], which `work.input` holds already.
void run_head(Team& team, const Linear& head, const float* x, int64_t count, const Wanted& wanted, HeadWork& work,
              float* out) {
    if (work.searches.empty()) multiply(team, head, work.input, {out, head.num_outputs});
    else multiply_wanted(team, head, x, count, wanted, work, out);
}

// The step with tables of its own, which hold the positions of its tokens.
Step with_tables(const Model& model, Step step) {
    float* cosines = arena.take<float>(step.num_tokens * model.rotary_dim);
    float* sines = arena.take<float>(step.num_tokens * model.rotary_dim);
    step.cosines = cosines, step.sines = sines, step.rotary_dim = model.rotary_dim;
    for (int64_t span = 0; span < step.num_spans; ++span) {
        const int64_t from = step.starts[span] * model.rotary_dim, count = step.lengths[span] * model.rotary_dim;
        cosines = std::copy_n(model.cosines + from, count, cosines);
        sines = std::copy_n(model.sines + from, count, sines);
    }
    return step;
}

// Waking somebody who then has nothing to do takes time.
int team_for(int64_t count, int num_threads) { return int(std::min<int64_t>(count, num_threads)); }

}  // namespace

extern "C" {

// Bytes that a call for so many rows needs to work in; they are kept for the next one.
int64_t decoder_workspace(const Decoder* decoder, int64_t rows) { return int64_t(decoder_bytes(*decoder, rows)); }

int64_t linear_workspace(const Linear* linear, int64_t rows) { return int64_t(linear_bytes(*linear, rows)); }

int64_t model_workspace(const Model* model, int64_t rows, int64_t num_logits) {
    return int64_t(model_bytes(*model, rows, num_logits));
}

// hidden [num_tokens][hidden_size] is changed in place.
void decoder_forward(const Decoder* decoder, const Step* step, float* hidden, int32_t num_threads) {
    arena.begin(decoder_bytes(*decoder, step->num_tokens));
    const LayersWork work(*decoder, *step);
    on_team(num_threads, [&](Team& team) { run_layers(team, *decoder, *step, work, hidden); });
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

// As linear_forward; of weights in planes only what is wanted is exact, if `counts` [rows] and `depths`
// [rows] say what that is.
void head_forward(const Linear* linear, const float* x, int64_t rows, int64_t num_inputs, const int64_t* counts,
                  const float* depths, float* out, int32_t num_threads) {
    arena.begin(linear_bytes(*linear, rows));
    const Wanted wanted{counts, depths};
    HeadWork work = make_head_work(*linear, rows, num_inputs, wanted);
    on_team(num_threads, [&](Team& team) {
        prepare(team, *linear, x, num_inputs, work.input);
        run_head(team, *linear, x, num_inputs, wanted, work, out);
    });
}

// logits [num_rows][num_outputs of the head] after the step's tokens [num_tokens] that stand at `rows`
// [num_rows]; what is wanted of them as for head_forward. The step's tables are the model's.
void model_forward(const Model* model, const Step* step, const int64_t* tokens, const int64_t* rows, int64_t num_rows,
                   const int64_t* counts, const float* depths, float* logits, int32_t num_threads) {
    const Decoder& decoder = *model->decoder;
    const int64_t width = decoder.hidden_size;
    arena.begin(model_bytes(*model, step->num_tokens, num_rows));
    float* hidden = arena.take<float>(step->num_tokens * width);
    float* last = arena.take<float>(num_rows * width);
    float* normed = arena.take<float>(num_rows * width);
    const Step placed = with_tables(*model, *step);
    const LayersWork layers(decoder, placed);
    const Wanted wanted{counts, depths};
    HeadWork head = make_head_work(model->head, num_rows, width, wanted);
    on_team(num_threads, [&](Team& team) {
        team.share(step->num_tokens, 1, [&](int64_t i, int64_t) {
            embed(model->embedding, tokens[i], width, hidden + i * width);
        });
        run_layers(team, decoder, placed, layers, hidden);
        team.share(num_rows, 1, [&](int64_t i, int64_t) {
            std::memcpy(last + i * width, hidden + rows[i] * width, width * sizeof(float));
        });
        normalize(team, last, width, model->norm, model->eps, model->head, head.input, normed);
        run_head(team, model->head, normed, width, wanted, head, logits);
    });
}

// out [count][num_columns]
void embedding_forward(const Linear* linear, const int64_t* ids, int64_t count, int64_t num_columns, float* out) {
    for (int64_t i = 0; i < count; ++i) embed(*linear, ids[i], num_columns, out + i * num_columns);
}

// Of chosen rows of [.][width]: values [count] and places [count] of their largest numbers.
void rows_best(const float* matrix, int64_t width, const int64_t* rows, int64_t count, float* values, int64_t* places,
               int32_t num_threads) {
    on_team(team_for(count, num_threads), [&](Team& team) {
        team.share(count, 1, [&](int64_t i, int64_t) {
            std::tie(values[i], places[i]) = find_best(matrix + rows[i] * width, width);
        });
    });
}

// values [count][num_values], falling, and places [count][num_values].
void rows_largest(const float* matrix, int64_t width, const int64_t* rows, int64_t count, int64_t num_values,
                  float* values, int64_t* places, int32_t num_threads) {
    on_team(team_for(count, num_threads), [&](Team& team) {
        team.share(count, 1, [&](int64_t i, int64_t) {
            find_largest(matrix + rows[i] * width, width, num_values, values + i * num_values, places + i * num_values);
        });
    });
}

// sums [count][blocks of a row]; peaks [count] and temperatures [count].
void rows_weights(const float* matrix, int64_t width, const int64_t* rows, int64_t count, const float* peaks,
                  const float* temperatures, int64_t block, float* sums, int32_t num_threads) {
    const int64_t num_blocks = (width + block - 1) / block;
    on_team(team_for(count, num_threads), [&](Team& team) {
        team.share(count, 1, [&](int64_t i, int64_t) {
            sum_weights(matrix + rows[i] * width, width, peaks[i], temperatures[i], block, sums + i * num_blocks);
        });
    });
}
}
