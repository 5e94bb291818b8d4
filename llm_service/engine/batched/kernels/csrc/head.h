// A model's head, of which most results need not be exact: a sampler asks for the best few alone.
//
// The upper plane of the weights tells about what each result is. Then the lower one is read, too,
// but only for results that, for all the upper one tells, may be among those that are wanted.
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>
#include <vector>

#include "linear.h"
#include "reductions.h"

// Of each row [rows]: the best `counts` are wanted, and all that are at most `depths` below the
// last of these. The others stay what the upper plane makes of them.
struct Wanted {
    const int64_t* counts;
    const float* depths;
};

// What a unit of `doubts` comes to for the one row of `x`: the size of its inputs.
static inline float size_of(const Input& x) {
    int64_t squares = 0;
    for (int64_t i = 0; i < x.k; ++i) squares += int32_t(x.values[i]) * x.values[i];
    return x.scales[0] * std::sqrt(float(squares));
}

// Results of one panel by both planes, for the one row of `x`.
static inline void make_exact(const Linear& linear, const Input& x, int64_t panel, float* out) {
    alignas(64) float tile[1][PANEL];
    run_rows(linear, x, 0, 1, panel, tile);
    put_tile(linear, panel, tile, 1, 0, {out, linear.num_outputs});
}

// A number that all wanted results reach: `count` exact ones do, so that the best `count` do.
static inline float least_wanted(const Linear& linear, const Input& x, int64_t count, float depth, float* out) {
    count = std::min<int64_t>(count, linear.num_outputs);
    std::vector<float> values(count);
    std::vector<int64_t> places(count);
    find_largest(out, linear.num_outputs, count, values.data(), places.data());
    float least = std::numeric_limits<float>::infinity();
    for (const int64_t place : places) {
        make_exact(linear, x, place / PANEL, out);
        least = std::min(least, out[place]);
    }
    return least - depth;
}

// What is needed of one row, of which the upper plane's results are there.
struct Search {
    Input x;  // this row alone
    float size;
    float least;  // what is wanted reaches it
    std::atomic<int64_t> num_panels{0};  // that may hold what is wanted

    // Whether a panel of `row` may hold what is wanted. A NaN may be.
    bool is_wanted(const Linear& linear, const float* row, int64_t panel) const {
        const int64_t first = panel * PANEL;
        if (first + PANEL > linear.num_outputs) return true;
        for (int64_t i = first; i < first + PANEL; i += LANES)
            if (is_any(~(load(row + i) + load(linear.doubts + i) * size < least))) return true;
        return false;
    }

    // Whether all panels are better computed at once.
    bool wants_much(const Linear& linear) const { return num_panels > linear.n / PANEL / 4; }
};

// What a head's inputs are kept in: side by side, some of them side by side, and each alone.
struct HeadWork {
    Input input;
    Input rest;
    std::vector<Search> searches;
};

// out [rows][num_outputs] from x [rows][count], which `work.input` holds already.
static inline void multiply_wanted(Team& team, const Linear& linear, const float* x, int64_t count,
                                   const Wanted& wanted, HeadWork& work, float* out) {
    constexpr int64_t CHUNK = 256;  // panels
    const int64_t rows = work.input.rows, panels = linear.n / PANEL, chunks = (panels + CHUNK - 1) / CHUNK;
    Linear upper = linear;
    upper.scheme = UPPER_PLANE;
    multiply(team, upper, work.input, {out, linear.num_outputs});
    team.share(rows, 1, [&](int64_t row, int64_t) {
        Search& search = work.searches[row];
        quantize_row<false>(x + row * count, count, search.x, 0);
        search.size = size_of(search.x);
        search.least = least_wanted(linear, search.x, wanted.counts[row], wanted.depths[row],
                                    out + row * linear.num_outputs);
    });
    const auto for_wanted = [&](const auto& visit) {
        team.share(rows * chunks, 1, [&](int64_t item, int64_t) {
            const int64_t row = item / chunks, begin = item % chunks * CHUNK, end = std::min(begin + CHUNK, panels);
            float* of_row = out + row * linear.num_outputs;
            for (int64_t panel = begin; panel < end; ++panel)
                if (work.searches[row].is_wanted(linear, of_row, panel)) visit(work.searches[row], panel, of_row);
        });
    };
    for_wanted([&](Search& search, int64_t, float*) { search.num_panels.fetch_add(1, std::memory_order_relaxed); });
    for_wanted([&](Search& search, int64_t panel, float* of_row) {
        if (!search.wants_much(linear)) make_exact(linear, search.x, panel, of_row);
    });
    std::vector<int64_t> left;
    for (int64_t row = 0; row < rows; ++row)
        if (work.searches[row].wants_much(linear)) left.push_back(row);
    if (left.empty()) return;
    Input rest = work.rest;
    rest.rows = int64_t(left.size());
    team.share(rest.rows, 1, [&](int64_t i, int64_t) { quantize_row<false>(x + left[i] * count, count, rest, i); });
    multiply(team, linear, rest, {out, linear.num_outputs, Then::STORE, left.data()});
}
