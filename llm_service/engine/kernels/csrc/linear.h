// y = x W^T + b for packed weights: unrounded (float32, bfloat16), in 8 bits with a scale per channel, or in
// 4 bits with a scale per group of 32. For the last two, inputs are rounded to 8 bits with a scale per row.
//
// Weights are packed in panels of 16 output channels, so that one vector holds several channels
// of the same few inputs, and each panel is read sequentially:
//   float32            [n/16][k][16]
//   bfloat16           [n/16][k/2][16][2]
//   int8               [n/16][k/4][16][4]; one float32 scale per channel
//   int4               [n/16][k/32]{16 bfloat16 scales; 4 x [16][4] bytes}: byte c holds input c of
//                      quarter q in its low half and input c of quarter q + 4 in its high half, each plus 8
//   planes             [n/16][k/32][4][16][4] bytes as int4's, without scales: the upper four bits of
//                      int8's numbers plus 128; a second array of the same form has their lower four bits
// n is a multiple of 16 and k of 32; the padding is zero.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>

#include "arena.h"
#include "team.h"
#include "vectors.h"

enum Scheme : int32_t {
    FLOAT32 = 0,
    BFLOAT16 = 1,
    INT8 = 2,
    INT4 = 3,
    PLANES = 4,
    UPPER_PLANE = 5,  // PLANES, read approximately: only the upper plane, half of the bytes. Only C++ uses it
};

constexpr int PANEL = 16;
constexpr int GROUP = 32;

struct Linear {  // mirrored in library.py
    Scheme scheme;
    int32_t n;            // output channels, padded
    int32_t k;            // inputs, padded
    int32_t num_outputs;  // output channels without the padding
    const void* weights;
    const float* scales;        // [n]: int8, planes
    const int32_t* sums;        // [n], the sum of each channel's weights: int8
    const void* lower;          // the lower plane: planes
    const float* error_bounds;  // [n], of results from the upper plane, for inputs of norm 1: planes
    const float* bias;          // [n] or null
};

// Rows of input in the form that a scheme needs, in tiles of up to MAX_ROWS rows that are multiplied
// together. Within a tile the rows are interleaved, so that it is read sequentially, too:
//   floats                     [k][rows of the tile]
//   values, unsigned_values    [k/4][rows of the tile][4]
struct Input {
    int64_t rows = 0;
    int64_t k = 0;
    float* floats = nullptr;             // float32, bfloat16
    int8_t* values = nullptr;            // the other schemes; for int8 in this CPU's form (`value_form`)
    uint8_t* unsigned_values = nullptr;  // int8, in this CPU's form (`unsigned_form`)
    float* scales = nullptr;             // [rows]
    int32_t* group_sums = nullptr;       // [rows][k/32]
    int32_t* sums = nullptr;             // [rows]
    int32_t* negative_sums = nullptr;    // [rows], the sum of |x| over the negative x

    Input() = default;

    Input(Arena& arena, int64_t rows, int64_t num_inputs)
        : rows(rows), k((num_inputs + GROUP - 1) / GROUP * GROUP), floats(arena.take<float>(rows, k)),
          values(arena.take<int8_t>(rows, k)), unsigned_values(arena.take<uint8_t>(rows, k)),
          scales(arena.take<float>(rows)), group_sums(arena.take<int32_t>(rows, k / GROUP)),
          sums(arena.take<int32_t>(rows)), negative_sums(arena.take<int32_t>(rows)) {}
};

constexpr int64_t PLANE_GROUP_BYTES = GROUP * PANEL / 2;

static inline bool is_quantized(Scheme scheme) { return scheme >= INT8; }

#if defined(__AVX512VNNI__)
#include "tiles_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "tiles_avx2.h"
#else
#include "tiles_portable.h"
#endif

// The position of a row in its tile: the offset of its first number and the stride between its
// numbers, both in units of `width` numbers.
struct Place {
    int64_t offset;
    int64_t stride;

    Place(const Input& input, int64_t row, int64_t width) {
        const int64_t tile = row / MAX_ROWS * MAX_ROWS;
        stride = input.rows - tile < MAX_ROWS ? input.rows - tile : MAX_ROWS;
        offset = tile * (input.k / width) + row - tile;
    }
};

// Copy one row of `count` floats into its tile, padded with zeros up to k.
static inline void place_row(const float* x, int64_t count, const Input& to, int64_t row) {
    const Place place(to, row, 1);
    float* floats = to.floats + place.offset;
    for (int64_t i = 0; i < to.k; ++i) floats[i * place.stride] = i < count ? x[i] : 0.0f;
}

// Round one row of `count` numbers to 8 bits and write it into its tile, padded with zeros up to k. A row with a NaN
// or an infinity becomes zeros with the scale NaN, so that all its results are NaN.
template <bool IS_INT8>
static inline void quantize_row(const float* x, int64_t count, const Input& to, int64_t row) {
    static const float zeros[GROUP] = {};
    const float peak = peak_of(x, count);
    const bool is_finite = peak <= std::numeric_limits<float>::max();
    to.scales[row] = is_finite ? peak / 127.0f : std::numeric_limits<float>::quiet_NaN();
    const float inverse = is_finite && peak >= MIN_PEAK ? 127.0f / peak : 0.0f;
    const Place place(to, row, 4);
    int8_t* values = to.values + place.offset * 4;
    uint8_t* unsigned_values = to.unsigned_values + place.offset * 4;
    int32_t* sums = to.group_sums + row * (to.k / GROUP);
    int32_t sum_of_row = 0;
    Ints negative{};
    for (int64_t g = 0; g < to.k; g += GROUP) {
        alignas(64) float padded[GROUP];
        const float* from = is_finite ? x + g : zeros;
        if (is_finite && g + GROUP > count) {
            std::memset(padded, 0, sizeof padded);
            std::memcpy(padded, from, size_t(count - g) * sizeof(float));
            from = padded;
        }
        typedef int8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
        alignas(64) int8_t rounded[GROUP];
        alignas(64) uint8_t unsigned_form_of[GROUP];
        Ints total{};
        for (int j = 0; j < GROUP; j += LANES) {
            const Ints whole = nearest(load(from + j) * inverse);
            total += whole;
            negative -= whole & (whole < 0);
            *reinterpret_cast<Bytes*>(rounded + j) = __builtin_convertvector(whole, Bytes);
        }
        if (IS_INT8)
            for (int j = 0; j < GROUP; ++j) {
                unsigned_form_of[j] = unsigned_form(rounded[j]);
                rounded[j] = value_form(rounded[j]);
            }
        int32_t sum_of_group = 0;
        for (int j = 0; j < LANES; ++j) sum_of_group += total[j];
        sums[g / GROUP] = sum_of_group;
        sum_of_row += sum_of_group;
        for (int j = 0; j < GROUP; j += 4) {
            const int64_t at = (g + j) * place.stride;
            std::memcpy(values + at, rounded + j, 4);
            if (IS_INT8) std::memcpy(unsigned_values + at, unsigned_form_of + j, 4);
        }
    }
    to.sums[row] = sum_of_row;
    int32_t negative_sum = 0;
    for (int j = 0; j < LANES; ++j) negative_sum += negative[j];
    to.negative_sums[row] = negative_sum;
}

// What is done with results. ADD: they are added to the output. GATE: even panels hold gates, odd panels the values
// that they gate; half as many channels are stored, silu(gate) * value.
enum class Epilogue { STORE, ADD, GATE };

struct Output {
    float* data;
    int64_t stride;  // between rows
    Epilogue epilogue = Epilogue::STORE;
    const int64_t* indices = nullptr;  // where each row is written; null: in order

    float* row(int64_t index) const { return data + (indices ? indices[index] : index) * stride; }
};

static inline Floats silu(Floats x) { return x / (1.0f + exponential(-x)); }

static inline void put_tile(const Linear& linear, int64_t panel, const float (*tile)[PANEL], int rows, int64_t row,
                            const Output& out) {
    const int64_t channel = panel * PANEL;
    const int width = int(linear.num_outputs - channel < PANEL ? linear.num_outputs - channel : PANEL);
    for (int r = 0; r < rows; ++r) {
        float* to = out.row(row + r) + channel;
        if (out.epilogue == Epilogue::ADD) {
            for (int i = 0; i < width; ++i) to[i] += tile[r][i];
        } else {
            std::memcpy(to, tile[r], size_t(width) * sizeof(float));
        }
    }
}

// With w + 128 = 16 u + l: sum(w x) = 16 sum(u x) + sum(l x) - 128 sum(x). Where l is not read it counts as 7.5,
// the middle of its range.
template <int ROWS, bool IS_WHOLE>
static inline void tile_planes(const Linear& linear, const Input& x, int64_t row, int64_t panel, float (*tile)[PANEL]) {
    const int64_t begin = panel * (linear.k / GROUP) * PLANE_GROUP_BYTES;
    const float* scales = linear.scales + panel * PANEL;
    int32_t highs[ROWS][PANEL], lows[ROWS][PANEL];
    add_nibbles<ROWS>(static_cast<const uint8_t*>(linear.weights) + begin, x, row, highs);
    if constexpr (IS_WHOLE) add_nibbles<ROWS>(static_cast<const uint8_t*>(linear.lower) + begin, x, row, lows);
    for (int r = 0; r < ROWS; ++r) {
        const int32_t sum = x.sums[row + r];
        for (int c = 0; c < PANEL; ++c) {
            const float whole = IS_WHOLE ? float(16 * highs[r][c] + lows[r][c] - 128 * sum)
                                         : float(16 * highs[r][c]) - 120.5f * float(sum);
            tile[r][c] = whole * (scales[c] * x.scales[row + r]);
        }
    }
}

template <int ROWS>
static inline void run_tile(const Linear& linear, const Input& x, int64_t row, int64_t panel, float (*tile)[PANEL]) {
    switch (linear.scheme) {
        case FLOAT32: tile_float32<ROWS>(linear, x, row, panel, tile); break;
        case BFLOAT16: tile_bfloat16<ROWS>(linear, x, row, panel, tile); break;
        case INT8: tile_int8<ROWS>(linear, x, row, panel, tile); break;
        case PLANES: tile_planes<ROWS, true>(linear, x, row, panel, tile); break;
        case INT4: tile_int4<ROWS>(linear, x, row, panel, tile); break;
        case UPPER_PLANE: tile_planes<ROWS, false>(linear, x, row, panel, tile); break;
    }
}

static inline void run_rows(const Linear& linear, const Input& x, int64_t row, int rows, int64_t panel,
                            float (*tile)[PANEL]) {
    static_assert(MAX_ROWS <= 8, "a case for each number of rows");
    switch (rows) {
        case 1: run_tile<1>(linear, x, row, panel, tile); break;
        case 2: run_tile<2>(linear, x, row, panel, tile); break;
        case 3: run_tile<3>(linear, x, row, panel, tile); break;
        case 4: run_tile<4>(linear, x, row, panel, tile); break;
#if defined(__AVX512F__)
        case 5: run_tile<5>(linear, x, row, panel, tile); break;
        case 6: run_tile<6>(linear, x, row, panel, tile); break;
        case 7: run_tile<7>(linear, x, row, panel, tile); break;
        case 8: run_tile<8>(linear, x, row, panel, tile); break;
#endif
    }
    if (!linear.bias) return;
    const float* bias = linear.bias + panel * PANEL;
    for (int r = 0; r < rows; ++r)
        for (int i = 0; i < PANEL; i += LANES) store(&tile[r][i], load(&tile[r][i]) + load(bias + i));
}

static inline void put_gated(int64_t unit, const float (*gate)[PANEL], const float (*tile)[PANEL], int rows,
                             int64_t row, const Output& out) {
    for (int r = 0; r < rows; ++r) {
        float* to = out.row(row + r) + unit * PANEL;
        for (int i = 0; i < PANEL; i += LANES) store(to + i, silu(load(&gate[r][i])) * load(&tile[r][i]));
    }
}

static inline int64_t panel_bytes(const Linear& linear) {
    const int64_t weights = int64_t(linear.k) * PANEL;
    switch (linear.scheme) {
        case FLOAT32: return weights * 4;
        case BFLOAT16: return weights * 2;
        case INT8:
        case PLANES: return weights;
        case INT4: return weights / 2 + weights / GROUP * 2;
        case UPPER_PLANE: return weights / 2;
    }
    return weights;  // not reached: checks.h refuses other schemes
}

// The results of units [first, last) for rows [begin, end). A unit is a panel, or with GATE a pair of panels.
static inline void run_block(const Linear& linear, const Input& x, int64_t first, int64_t last, int64_t begin,
                             int64_t end, const Output& out) {
    alignas(64) float tile[MAX_ROWS][PANEL], gate[MAX_ROWS][PANEL];
    for (int64_t row = begin; row < end; row += MAX_ROWS) {
        const int rows = int(end - row < MAX_ROWS ? end - row : MAX_ROWS);
        for (int64_t u = first; u < last; ++u) {
            if (out.epilogue == Epilogue::GATE) {
                run_rows(linear, x, row, rows, 2 * u, gate);
                run_rows(linear, x, row, rows, 2 * u + 1, tile);
                put_gated(u, gate, tile, rows, row, out);
            } else {
                run_rows(linear, x, row, rows, u, tile);
                put_tile(linear, u, tile, rows, row, out);
            }
        }
    }
}

// All threads of the team call this; when it returns, the whole output is written.
static inline void multiply(Team& team, const Linear& linear, const Input& x, const Output& out) {
    constexpr int64_t BLOCK_BYTES = 128 << 10;  // weights that stay in the L2 cache
    constexpr int64_t BLOCK_ROWS = 64;
    const int64_t unit = out.epilogue == Epilogue::GATE ? 2 : 1;
    const int64_t units = linear.n / PANEL / unit;
    if (x.rows <= MAX_ROWS) {  // one tile: weights are read once, limited by memory bandwidth
        team.share_runs(units, [&](int64_t first, int64_t last) { run_block(linear, x, first, last, 0, x.rows, out); });
        return;
    }
    int64_t grain = BLOCK_BYTES / (panel_bytes(linear) * unit);
    const int64_t fair = units / (4 * team.size());  // so that threads finish at about the same time
    if (grain > fair) grain = fair;
    if (grain < 1) grain = 1;
    const int64_t row_blocks = (x.rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const int64_t blocks = (units + grain - 1) / grain;
    team.share(blocks * row_blocks, 1, [&](int64_t item, int64_t) {
        const int64_t first = item / row_blocks * grain, begin = item % row_blocks * BLOCK_ROWS;
        run_block(linear, x, first, std::min(first + grain, units), begin, std::min(begin + BLOCK_ROWS, x.rows), out);
    });
}
