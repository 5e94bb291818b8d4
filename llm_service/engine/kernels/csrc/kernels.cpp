// What Python calls, from library.py. Each function returns a Status and leaves a message for `kernels_message` if it
// is not GOOD; then its outputs are not to be used. Buffers are the calling thread's.

#include <algorithm>
#include <tuple>
#include <vector>

#include "arena.h"
#include "checks.h"
#include "decoder.h"
#include "head.h"
#include "layout.h"
#include "linear.h"
#include "model.h"
#include "reductions.h"
#include "status.h"

namespace {

struct LinearBuffers {
    Input input;

    LinearBuffers(Arena& arena, int64_t rows, int64_t num_inputs) : input(arena, rows, num_inputs) {}
};

// No more threads than items of work: waking one costs time.
int team_for(int64_t count, int num_threads) {
    REQUIRE(count >= 0, "the number of rows is negative");
    return int(std::clamp<int64_t>(count, 1, std::max(num_threads, 1)));
}

// How the head of one step is computed: only `panels` if there are few, or by a search, or all of it.
struct HeadWork {
    bool is_few;
    std::vector<int64_t> panels;         // that the rows' masks allow
    std::vector<LargestFinder> finders;  // one per thread, for the search

    HeadWork(const HeadBuffers& buffers, const Linear& head, const ExactLimits& limits, int64_t rows, int num_threads)
        : is_few(false) {
        if (limits.masks) panels = allowed_panels(head, limits, rows);
        // A search reads the upper plane of all panels, half of the bytes.
        is_few = limits.masks && int64_t(panels.size()) <= head.n / PANEL / 2;
        if (is_few || !buffers.searches || !rows) return;
        const int64_t most = *std::max_element(limits.counts, limits.counts + rows);
        finders = make_finders(num_threads, std::min<int64_t>(most, head.num_outputs));
    }
};

// out [rows][num_outputs] from x [rows][count], which `buffers.all` holds already.
void run_head(Team& team, int thread, const Linear& head, const float* x, int64_t count, const ExactLimits& limits,
              const HeadBuffers& buffers, HeadWork& work, float* out) {
    if (work.is_few) multiply_panels(team, head, buffers.all, work.panels, out);
    else if (buffers.searches) multiply_limited(team, thread, head, x, count, limits, buffers, work.finders, out);
    else multiply(team, head, buffers.all, {out, head.num_outputs});
}

}  // namespace

extern "C" {

// Why this thread's last call that failed did so.
const char* kernels_message() { return last_message; }

// The `count` layouts of structs and fields.
const FieldLayout* kernels_layouts(int64_t* count) {
    *count = sizeof layouts / sizeof *layouts;
    return layouts;
}

// The bytes of workspace that a call for `rows` rows takes. They are kept for the next call.
int32_t decoder_workspace(const Decoder* decoder, int64_t rows, int32_t num_threads, int64_t* bytes) {
    return guarded([&] {
        check_threads(num_threads);
        check_sizes(*decoder);
        *bytes = count_bytes<LayersBuffers>(*decoder, rows, num_threads);
    });
}

int32_t linear_workspace(const Linear* linear, int64_t rows, int32_t num_threads, int64_t* bytes) {
    return guarded([&] {
        check_threads(num_threads);
        check_linear(*linear, linear->k, "linear");
        *bytes = count_bytes<HeadBuffers>(*linear, linear->k, rows, num_threads, true);
    });
}

int32_t model_workspace(const Model* model, int64_t num_tokens, int64_t num_rows, int32_t num_threads, int64_t* bytes) {
    return guarded([&] {
        check_threads(num_threads);
        check_sizes(*model->decoder);
        *bytes = count_bytes<ModelBuffers>(*model, num_tokens, num_rows, num_threads, true);
    });
}

// hidden [num_tokens][hidden_size] is changed in place.
int32_t decoder_forward(const Decoder* decoder, const Step* step, float* hidden, int32_t num_threads) {
    return guarded([&] {
        check_threads(num_threads);
        check_decoder(*decoder);
        check_step(*step, decoder->heads);
        const std::vector<QueryBlock> blocks = make_query_blocks(*step, decoder->heads);
        const auto buffers = lay_out<LayersBuffers>(*decoder, step->num_tokens, num_threads);
        on_team(num_threads, [&](Team& team, int thread) noexcept {
            run_layers(team, thread, *decoder, *step, blocks, buffers, hidden);
        });
    });
}

// out [rows][num_outputs] = x [rows][num_inputs] times the weights, plus the bias.
int32_t linear_forward(const Linear* linear, const float* x, int64_t rows, int64_t num_inputs, float* out,
                       int32_t num_threads) {
    return guarded([&] {
        check_linear(*linear, num_inputs, "linear");
        const auto buffers = lay_out<LinearBuffers>(rows, num_inputs);
        on_team(num_threads, [&](Team& team, int) noexcept {
            prepare(team, *linear, x, num_inputs, buffers.input);
            multiply(team, *linear, buffers.input, {out, linear->num_outputs});
        });
    });
}

// Like linear_forward. Only those results need be exact that `counts`, `depths` and `masks` [rows] name (ExactLimits).
int32_t head_forward(const Linear* linear, const float* x, int64_t rows, int64_t num_inputs, const int64_t* counts,
                     const float* depths, const uint32_t* const* masks, float* out, int32_t num_threads) {
    return guarded([&] {
        const ExactLimits limits{counts, depths, masks};
        check_threads(num_threads);
        check_linear(*linear, num_inputs, "head");
        check_limits(limits, rows);
        const auto buffers = lay_out<HeadBuffers>(*linear, num_inputs, rows, num_threads, counts != nullptr);
        HeadWork work(buffers, *linear, limits, rows, num_threads);
        on_team(num_threads, [&](Team& team, int thread) noexcept {
            prepare(team, *linear, x, num_inputs, buffers.all);
            run_head(team, thread, *linear, x, num_inputs, limits, buffers, work, out);
        });
    });
}

// logits [num_rows][num_outputs of the head] of the tokens that stand at `rows` [num_rows] among the step's `tokens`
// [num_tokens], exact as for head_forward. The step's rotary tables are the model's.
int32_t model_forward(const Model* model, const Step* step, const int64_t* tokens, const int64_t* rows,
                      int64_t num_rows, const int64_t* counts, const float* depths, const uint32_t* const* masks,
                      float* logits, int32_t num_threads) {
    return guarded([&] {
        const Decoder& decoder = *model->decoder;
        const int64_t width = decoder.hidden_size;
        const ExactLimits limits{counts, depths, masks};
        check_threads(num_threads);
        check_model(*model, *step, tokens, rows, num_rows);
        check_limits(limits, num_rows);
        const auto buffers = lay_out<ModelBuffers>(*model, step->num_tokens, num_rows, num_threads, counts != nullptr);
        const Step placed = with_tables(*model, *step, buffers.cosines, buffers.sines);
        const std::vector<QueryBlock> blocks = make_query_blocks(placed, decoder.heads);
        HeadWork work(buffers.head, model->head, limits, num_rows, num_threads);
        on_team(num_threads, [&](Team& team, int thread) noexcept {
            team.share(step->num_tokens, 1, [&](int64_t i, int64_t) {
                embed(model->embedding, tokens[i], width, buffers.hidden + i * width);
            });
            run_layers(team, thread, decoder, placed, blocks, buffers.layers, buffers.hidden);
            team.share(num_rows, 1, [&](int64_t i, int64_t) {
                std::copy_n(buffers.hidden + rows[i] * width, width, buffers.last + i * width);
            });
            normalize(team, buffers.last, width, model->norm, model->eps, model->head, buffers.head.all,
                      buffers.normed);
            run_head(team, thread, model->head, buffers.normed, width, limits, buffers.head, work, logits);
        });
    });
}

// out [count][num_columns]: the rows `ids` of the matrix.
int32_t embedding_forward(const Linear* linear, const int64_t* ids, int64_t count, int64_t num_columns, float* out) {
    return guarded([&] {
        check_embedding(*linear, num_columns);
        check_ids(*linear, ids, count);
        for (int64_t i = 0; i < count; ++i) embed(*linear, ids[i], num_columns, out + i * num_columns);
    });
}

// values [count] and indices [count] of the largest numbers of chosen rows of matrix [.][width]; see find_best.
int32_t rows_best(const float* matrix, int64_t width, const int64_t* rows, int64_t count, float* values,
                  int64_t* indices, int32_t num_threads) {
    return guarded([&] {
        on_team(team_for(count, num_threads), [&](Team& team, int) noexcept {
            team.share(count, 1, [&](int64_t i, int64_t) {
                std::tie(values[i], indices[i]) = find_best(matrix + rows[i] * width, width);
            });
        });
    });
}

// values [count][num_values], falling, and indices [count][num_values]; see find_largest.
int32_t rows_largest(const float* matrix, int64_t width, const int64_t* rows, int64_t count, int64_t num_values,
                     float* values, int64_t* indices, int32_t num_threads) {
    return guarded([&] {
        REQUIRE(num_values > 0 && num_values <= width, "a row of %" PRId64 " numbers has no %" PRId64 " largest", width,
                num_values);
        const int num_used = team_for(count, num_threads);
        std::vector<LargestFinder> finders = make_finders(num_used, num_values);
        on_team(num_used, [&](Team& team, int thread) noexcept {
            team.share(count, 1, [&](int64_t i, int64_t) {
                find_largest(matrix + rows[i] * width, width, num_values, finders[size_t(thread)],
                             values + i * num_values, indices + i * num_values);
            });
        });
    });
}

// sums [count][blocks of a row]; peaks [count] and temperatures [count]; see sum_weights.
int32_t rows_weights(const float* matrix, int64_t width, const int64_t* rows, int64_t count, const float* peaks,
                     const float* temperatures, int64_t block, float* sums, int32_t num_threads) {
    return guarded([&] {
        REQUIRE(block > 0, "a block of %" PRId64 " numbers", block);
        const int64_t num_blocks = (width + block - 1) / block;
        on_team(team_for(count, num_threads), [&](Team& team, int) noexcept {
            team.share(count, 1, [&](int64_t i, int64_t) {
                sum_weights(matrix + rows[i] * width, width, peaks[i], temperatures[i], block, sums + i * num_blocks);
            });
        });
    });
}
}
