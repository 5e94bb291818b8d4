// A model's output head, computed exactly only where the sampler needs it.
//
// With weights in two planes, the upper plane gives every logit approximately, with a bound of its error. Logits
// that, within this bound, may be among those that must be exact are then computed from both planes. Where masks
// leave only few tokens to choose from, only the panels of these tokens are computed, whatever the scheme.
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>
#include <vector>

#include "linear.h"
#include "reductions.h"

// Which logits of each row [rows] must be exact: the `counts` largest, and all that are at most `depths` below the
// last of these. The others stay approximate. Null: all must be exact.
//
// `masks` [rows] names the logits that count, or is null: logit i counts if bit i % 32 of word i / 32 is set. A row
// whose mask is null has no other bound. The logits that do not count may have any value.
struct ExactLimits {
    const int64_t* counts = nullptr;
    const float* depths = nullptr;
    const uint32_t* const* masks = nullptr;

    const uint32_t* mask(int64_t row) const { return masks ? masks[row] : nullptr; }
};

static_assert(PANEL == 16, "two panels share a word of a mask");

static inline bool allows_panel(const uint32_t* mask, int64_t panel) {
    return !mask || (mask[panel / 2] >> (panel % 2 * PANEL) & 0xffff) != 0;
}

// The panels that hold a logit which counts in any of the rows.
static inline std::vector<int64_t> allowed_panels(const Linear& linear, const ExactLimits& limits, int64_t rows) {
    std::vector<int64_t> found;
    for (int64_t panel = 0; panel < linear.n / PANEL; ++panel) {
        bool is_allowed = false;
        for (int64_t row = 0; row < rows && !is_allowed; ++row) is_allowed = allows_panel(limits.mask(row), panel);
        if (is_allowed) found.push_back(panel);
    }
    return found;
}

// Lower the logits of one row that do not count, so that the search for the largest does not find them.
static inline void apply_mask(const uint32_t* mask, float* logits, int64_t num_outputs) {
    for (int64_t i = 0; i < num_outputs; i += 32) {
        const uint32_t word = mask[i / 32];
        if (word == ~uint32_t(0)) continue;
        for (int64_t j = i; j < std::min(i + 32, num_outputs); ++j)
            if (!(word >> (j - i) & 1)) logits[j] = -std::numeric_limits<float>::infinity();
    }
}

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
// least `count` exact ones reach the smallest of these. A row with a NaN is computed whole, and so is one in which
// fewer than `count` logits are left by its mask.
static inline float exact_threshold(const Linear& linear, const Input& x, int64_t count, float depth, float* out,
                                    LargestFinder& finder) {
    const auto& largest = finder.find(out, linear.num_outputs, std::min<int64_t>(count, linear.num_outputs));
    const float lowest = -std::numeric_limits<float>::infinity();
    if (largest.empty()) return lowest;
    float least = std::numeric_limits<float>::infinity();
    for (const LargestFinder::Entry& entry : largest)
        if (out[entry.second] == lowest) return lowest;
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
    const uint32_t* mask;                // of the logits that count, or null
    std::atomic<int64_t> num_panels{0};  // that may hold such logits

    // Whether a panel of `row` may hold a logit that must be exact. A NaN counts as one.
    bool may_reach_threshold(const Linear& linear, const float* row, int64_t panel) const {
        if (!allows_panel(mask, panel)) return false;
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
        search.mask = limits.mask(row);
        if (search.mask) apply_mask(search.mask, out + row * linear.num_outputs, linear.num_outputs);
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

// Compute some `panels` of out [rows][num_outputs] for all rows of `x`, exactly, and make every other result -infinity.
static inline void multiply_panels(Team& team, const Linear& linear, const Input& x, const std::vector<int64_t>& panels,
                                   float* out) {
    const int64_t width = linear.num_outputs;
    team.share(x.rows, 1, [&](int64_t row, int64_t) {
        std::fill_n(out + row * width, width, -std::numeric_limits<float>::infinity());
    });
    team.share_runs(int64_t(panels.size()), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i)
            run_block(linear, x, panels[size_t(i)], panels[size_t(i)] + 1, 0, x.rows, {out, width});
    });
}
