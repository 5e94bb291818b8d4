// y = x W^T + b for packed weights: as they are (float32, bfloat16), in 8 bits per channel, or in
// 4 bits per group of 32, the last two with inputs rounded to 8 bits per row.
//
// Weights are packed in panels of 16 output channels, so that one vector holds several channels
// at the same few inputs, and each panel is read from start to end:
//   float32            [n/16][k][16]
//   bfloat16           [n/16][k/2][16][2]
//   int8               [n/16][k/4][16][4]; one float32 scale per channel
//   int4               [n/16][k/32]{16 bfloat16 scales; 4 x [16][4] bytes}: byte c holds input c of
//                      quarter q in its low bits and input c of quarter q + 4 in its high bits, plus 8
//   planes             [n/16][k/32][4][16][4] bytes as int4's, without scales: the upper four bits of
//                      int8's numbers plus 128; their lower ones lie apart in the same way
// n is a multiple of 16 and k of 32; what was added is zero.
#pragma once

#include <algorithm>
#include <cstring>

#include "team.h"
#include "vectors.h"

enum Scheme : int32_t {
    FLOAT32 = 0,
    BFLOAT16 = 1,
    INT8 = 2,
    INT4 = 3,
    PLANES = 4,
    UPPER_PLANE = 5,  // PLANES, of which only the upper one is read: about the same, for half of the bytes
};

constexpr int PANEL = 16;
constexpr int GROUP = 32;

struct Linear {  // mirrored in library.py
    int32_t scheme;
    int32_t n;  // output channels, padded
    int32_t k;  // inputs, padded
    int32_t num_outputs;  // of which are real
    const void* weights;
    const float* scales;  // [n]: int8, planes
    const int32_t* sums;  // [n]: of each channel's weights: int8
    const void* lower;    // planes
    const float* doubts;  // [n]: how far off the upper plane may be, for inputs of size 1: planes
    const float* bias;    // [n] or null
};

// Rows of input, made ready for a scheme, in tiles of up to MAX_ROWS rows that are multiplied
// together. Within a tile the rows lie side by side, so that it is read from start to end, too:
//   floats            [k][rows of the tile]
//   values, others    [k/4][rows of the tile][4]
struct Input {
    int64_t rows = 0;
    int64_t k = 0;
    float* floats = nullptr;        // the float schemes
    int8_t* values = nullptr;       // the others; for int8 what this CPU has in their place
    uint8_t* others = nullptr;      // and beside them
    float* scales = nullptr;        // [rows]
    int32_t* group_sums = nullptr;  // [rows][k/32]
    int32_t* sums = nullptr;        // [rows]
    int32_t* negatives = nullptr;   // [rows]: what is below zero, added up, without the sign
};

constexpr int64_t PLANE_GROUP_BYTES = GROUP * PANEL / 2;

static inline bool is_quantized(int32_t scheme) { return scheme >= INT8; }

#if defined(__AVX512VNNI__)
#include "tiles_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "tiles_avx2.h"
#else
#include "tiles_portable.h"
#endif

// Where a row stands in its tile: the offset of its first number, and the distance between the
// following ones, both in units of `width` numbers.
struct Place {
    int64_t offset;
    int64_t stride;

    Place(const Input& input, int64_t row, int64_t width) {
        const int64_t tile = row / MAX_ROWS * MAX_ROWS;
        stride = input.rows - tile < MAX_ROWS ? input.rows - tile : MAX_ROWS;
        offset = tile * (input.k / width) + row - tile;
    }
};

// Put one row of `count` floats in its place; the rest up to k is zero.
static inline void place_row(const float* x, int64_t count, const Input& to, int64_t row) {
    const Place place(to, row, 1);
    float* floats = to.floats + place.offset;
    for (int64_t i = 0; i < to.k; ++i) floats[i * place.stride] = i < count ? x[i] : 0.0f;
}

// Round one row of `count` numbers to 8 bits and put it in its place; the rest up to k is zero.
template <bool IS_INT8>
static inline void quantize_row(const float* x, int64_t count, const Input& to, int64_t row) {
    Floats most{};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) most = larger(most, magnitude(load(x + i)));
    float peak = largest(most);
    for (; i < count; ++i) peak = std::fmax(peak, std::fabs(x[i]));
    to.scales[row] = peak / 127.0f;
    const float inverse = peak > 0 ? 127.0f / peak : 0.0f;
    const Place place(to, row, 4);
    int8_t* values = to.values + place.offset * 4;
    uint8_t* others = to.others + place.offset * 4;
    int32_t* sums = to.group_sums + row * (to.k / GROUP);
    int32_t sum_of_row = 0;
    Ints negative{};
    for (int64_t g = 0; g < to.k; g += GROUP) {
        alignas(64) float padded[GROUP];
        const float* from = x + g;
        if (g + GROUP > count) {
            std::memset(padded, 0, sizeof padded);
            std::memcpy(padded, from, (count - g) * sizeof(float));
            from = padded;
        }
        typedef int8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
        alignas(64) int8_t rounded[GROUP];
        alignas(64) uint8_t other[GROUP];
        Ints total{};
        for (int j = 0; j < GROUP; j += LANES) {
            const Ints whole = nearest(load(from + j) * inverse);
            total += whole;
            negative -= whole & (whole < 0);
            *reinterpret_cast<Bytes*>(rounded + j) = __builtin_convertvector(whole, Bytes);
        }
        if (IS_INT8)
            for (int j = 0; j < GROUP; ++j) {
                other[j] = other_form(rounded[j]);
                rounded[j] = value_form(rounded[j]);
            }
        int32_t sum_of_group = 0;
        for (int j = 0; j < LANES; ++j) sum_of_group += total[j];
        sums[g / GROUP] = sum_of_group;
        sum_of_row += sum_of_group;
        for (int j = 0; j < GROUP; j += 4) {
            const int64_t at = (g + j) * place.stride;
            std::memcpy(values + at, rounded + j, 4);
            if (IS_INT8) std::memcpy(others + at, other + j, 4);
        }
    }
    to.sums[row] = sum_of_row;
    to.negatives[row] = 0;
    for (int j = 0; j < LANES; ++j) to.negatives[row] += negative[j];
}

// What becomes of results. GATE: even panels hold gates, odd ones what they gate; what is stored,
// half as many channels, is silu(gate) * gated.
enum class Then { STORE, ADD, GATE };

struct Output {
    float* data;
    int64_t stride;  // between rows
    Then then = Then::STORE;
    const int64_t* places = nullptr;  // of the rows; null: one after the other

    float* row(int64_t index) const { return data + (places ? places[index] : index) * stride; }
};

static inline Floats silu(Floats x) { return x / (1.0f + exponential(-x)); }

static inline void put_tile(const Linear& linear, int64_t panel, const float (*tile)[PANEL], int rows, int64_t row,
                            const Output& out) {
    const int64_t channel = panel * PANEL;
    const int width = int(linear.num_outputs - channel < PANEL ? linear.num_outputs - channel : PANEL);
    for (int r = 0; r < rows; ++r) {
        float* to = out.row(row + r) + channel;
        if (out.then == Then::ADD) {
            for (int i = 0; i < width; ++i) to[i] += tile[r][i];
        } else {
            std::memcpy(to, tile[r], width * sizeof(float));
        }
    }
}

// With w + 128 = 16 u + l: sum of w x = 16 times that of u x, plus that of l x, less 128 times that of
// x. Where l is not read it counts as 7.5, the middle of what it may be.
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
        case UPPER_PLANE: tile_planes<ROWS, false>(linear, x, row, panel, tile); break;
        default: tile_int4<ROWS>(linear, x, row, panel, tile); break;
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
        case INT8: case PLANES: return weights;
        case UPPER_PLANE: return weights / 2;
        default: return weights / 2 + weights / GROUP * 2;
    }
}

// The results of units [first, last) for rows [begin, end); of two panels each where one gates the other.
static inline void run_block(const Linear& linear, const Input& x, int64_t first, int64_t last, int64_t begin,
                             int64_t end, const Output& out) {
    alignas(64) float tile[MAX_ROWS][PANEL], gate[MAX_ROWS][PANEL];
    for (int64_t row = begin; row < end; row += MAX_ROWS) {
        const int rows = int(end - row < MAX_ROWS ? end - row : MAX_ROWS);
        for (int64_t u = first; u < last; ++u) {
            if (out.then == Then::GATE) {
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

// Everybody in the team calls this; when it returns, all of the output is there.
static inline void multiply(Team& team, const Linear& linear, const Input& x, const Output& out) {
    constexpr int64_t BLOCK_BYTES = 128 << 10;  // of weights, which stay in the L2 cache
    constexpr int64_t BLOCK_ROWS = 64;
    const int64_t unit = out.then == Then::GATE ? 2 : 1;
    const int64_t units = linear.n / PANEL / unit;
    if (x.rows <= MAX_ROWS) {  // weights are read once, as fast as they come
        team.share_runs(units, [&](int64_t first, int64_t last) { run_block(linear, x, first, last, 0, x.rows, out); });
        return;
    }
    int64_t grain = BLOCK_BYTES / (panel_bytes(linear) * unit);
    const int64_t fair = units / (4 * team.size());  // so that nobody is waited for long
    if (grain > fair) grain = fair;
    if (grain < 1) grain = 1;
    const int64_t row_blocks = (x.rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const int64_t blocks = (units + grain - 1) / grain;
    team.share(blocks * row_blocks, 1, [&](int64_t item, int64_t) {
        const int64_t first = item / row_blocks * grain, begin = item % row_blocks * BLOCK_ROWS;
        run_block(linear, x, first, std::min(first + grain, units), begin, std::min(begin + BLOCK_ROWS, x.rows), out);
    });
}
