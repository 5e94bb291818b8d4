// A model's output head in two planes, computed exactly only where the sampler needs it.
//
// The upper plane of the weights gives every logit approximately, with a bound of its error. Logits that,
// within this bound, may be among those that must be exact are then computed from both planes.
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>
#include <vector>

#include "linear.h"
#include "reductions.h"

// Which logits of each row [rows] must be exact: the `counts` largest, and all that are at most `depths` below the
// last of these. The others stay approximate. Null: all must be exact.
struct ExactLimits {
    const int64_t* counts = nullptr;
    const float* depths = nullptr;
};

// The norm of the one row of `x`, which `error_bounds` are multiplied by.
static inline float norm_of(const Input& x) {
    int64_t squares = 0;
    for (int64_t i = 0; i < x.k; ++i) squares += int32_t(x.values[i]) * x.values[i];
    return x.scales[0] * std::sqrt(float(squares));
}

// Compute one panel's logits from both planes, for the one row of `x`.
static inline void make_exact(const Linear& linear, const Input& x, int64_t panel, float* out) {
    alignas(64) float tile[1][PANEL];
    run_rows(linear, x, 0, 1, panel, tile);
    put_tile(linear, panel, tile, 1, 0, {out, linear.num_outputs});
}

// A number that no logit which must be exact is below. The `count` largest approximate logits are made exact, so at
// least `count` exact ones reach the smallest of these. A row with a NaN is computed whole.
static inline float exact_threshold(const Linear& linear, const Input& x, int64_t count, float depth, float* out,
                                    LargestFinder& finder) {
    const auto& largest = finder.find(out, linear.num_outputs, std::min<int64_t>(count, linear.num_outputs));
    if (largest.empty()) return -std::numeric_limits<float>::infinity();
    float least = std::numeric_limits<float>::infinity();
    for (const LargestFinder::Entry& entry : largest) {
        make_exact(linear, x, entry.second / PANEL, out);
        least = std::min(least, out[entry.second]);
    }
    return least - depth;
}

// The search for the logits of one row that must be exact, after the upper plane's results are there.
struct RowSearch {
    Input x;                             // this row alone
    float norm;                          // of x
    float threshold;                     // logits that must be exact reach it
    std::atomic<int64_t> num_panels{0};  // that may hold such logits

    // Whether a panel of `row` may hold a logit that must be exact. A NaN counts as one.
    bool may_reach_threshold(const Linear& linear, const float* row, int64_t panel) const {
        const int64_t first = panel * PANEL;
        if (first + PANEL > linear.num_outputs) return true;
        for (int64_t i = first; i < first + PANEL; i += LANES)
            if (is_any(~(load(row + i) + load(linear.error_bounds + i) * norm < threshold))) return true;
        return false;
    }

    // Whether it is cheaper to compute all panels, together with other such rows.
    bool is_dense(const Linear& linear) const { return num_panels > linear.n / PANEL / 4; }
};

// A head's buffers. Those of `limits` are taken only where some logits may stay approximate.
struct HeadBuffers {
    Input all;                      // all rows, tiled
    Input dense;                    // rows that are recomputed whole, tiled
    RowSearch* searches = nullptr;  // [rows], each with its row alone
    int64_t* dense_rows = nullptr;  // [num_threads][rows]: each thread's list of the indices of dense rows

    HeadBuffers(Arena& arena, const Linear& head, int64_t num_inputs, int64_t rows, int num_threads, bool is_limited)
        : all(arena, rows, num_inputs) {
        if (head.scheme != PLANES || !is_limited) return;
        dense = Input(arena, rows, num_inputs);
        searches = arena.make<RowSearch>(rows);
        dense_rows = arena.take<int64_t>(rows, num_threads);
        for (int64_t row = 0; row < rows; ++row) {
            const Input x(arena, 1, num_inputs);
            if (searches) searches[row].x = x;
        }
    }
};

// out [rows][num_outputs] from x [rows][count], which `buffers.all` holds already.
static inline void multiply_limited(Team& team, int thread, const Linear& linear, const float* x, int64_t count,
                                    const ExactLimits& limits, const HeadBuffers& buffers,
                                    std::vector<LargestFinder>& finders, float* out) {
    constexpr int64_t CHUNK = 256;  // panels
    const int64_t rows = buffers.all.rows, panels = linear.n / PANEL, chunks = (panels + CHUNK - 1) / CHUNK;
    RowSearch* searches = buffers.searches;
    Linear upper = linear;
    upper.scheme = UPPER_PLANE;
    multiply(team, upper, buffers.all, {out, linear.num_outputs});
    team.share(rows, 1, [&](int64_t row, int64_t) {
        RowSearch& search = searches[row];
        quantize_row<false>(x + row * count, count, search.x, 0);
        search.norm = norm_of(search.x);
        search.threshold = exact_threshold(linear, search.x, limits.counts[row], limits.depths[row],
                                           out + row * linear.num_outputs, finders[size_t(thread)]);
    });
    const auto for_candidates = [&](const auto& visit) {
        team.share(rows * chunks, 1, [&](int64_t item, int64_t) {
            const int64_t row = item / chunks, begin = item % chunks * CHUNK, end = std::min(begin + CHUNK, panels);
            float* logits = out + row * linear.num_outputs;
            for (int64_t panel = begin; panel < end; ++panel)
                if (searches[row].may_reach_threshold(linear, logits, panel)) visit(searches[row], panel, logits);
        });
    };
    for_candidates(
        [&](RowSearch& search, int64_t, float*) { search.num_panels.fetch_add(1, std::memory_order_relaxed); });
    for_candidates([&](RowSearch& search, int64_t panel, float* logits) {
        if (!search.is_dense(linear)) make_exact(linear, search.x, panel, logits);
    });
    int64_t* dense_rows = buffers.dense_rows + thread * rows;
    Input dense = buffers.dense;
    dense.rows = 0;
    for (int64_t row = 0; row < rows; ++row)
        if (searches[row].is_dense(linear)) dense_rows[dense.rows++] = row;
    if (dense.rows == 0) return;
    team.share(dense.rows, 1,
               [&](int64_t i, int64_t) { quantize_row<false>(x + dense_rows[i] * count, count, dense, i); });
    multiply(team, linear, dense, {out, linear.num_outputs, Epilogue::STORE, dense_rows});
}
