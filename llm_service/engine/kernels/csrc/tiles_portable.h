// One panel's results for a few rows, on any CPU. Included by linear.h.
#pragma once

constexpr int MAX_ROWS = 4;

// The two forms of an int8 input: unchanged, and one that is not used here.
static inline int8_t value_form(int8_t value) { return value; }
static inline uint8_t unsigned_form(int8_t value) { return uint8_t(value); }

template <int ROWS>
static inline void tile_float32(const Linear& linear, const Input& x, int64_t row, int64_t panel,
                                float (*tile)[PANEL]) {
    const int64_t k = linear.k;
    const float* w = static_cast<const float*>(linear.weights) + panel * k * PANEL;
    const float* a = x.floats + row * k;
    float sums[ROWS][PANEL] = {};
    for (int64_t i = 0; i < k; ++i)
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < PANEL; ++c) sums[r][c] += w[i * PANEL + c] * a[i * ROWS + r];
    std::memcpy(tile, sums, sizeof sums);
}

template <int ROWS>
static inline void tile_bfloat16(const Linear& linear, const Input& x, int64_t row, int64_t panel,
                                 float (*tile)[PANEL]) {
    const int64_t k = linear.k;
    const uint16_t* w = static_cast<const uint16_t*>(linear.weights) + panel * k * PANEL;
    const float* a = x.floats + row * k;
    float sums[ROWS][PANEL] = {};
    for (int64_t i = 0; i < k; i += 2)
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < PANEL; ++c)
                for (int j = 0; j < 2; ++j) sums[r][c] += to_float(w[i * PANEL + 2 * c + j]) * a[(i + j) * ROWS + r];
    std::memcpy(tile, sums, sizeof sums);
}

template <int ROWS>
static inline void tile_int8(const Linear& linear, const Input& x, int64_t row, int64_t panel, float (*tile)[PANEL]) {
    const int64_t k = linear.k;
    const int8_t* w = static_cast<const int8_t*>(linear.weights) + panel * k * PANEL;
    const int8_t* a = x.values + row * k;
    int32_t sums[ROWS][PANEL] = {};
    for (int64_t i = 0; i < k; i += 4)
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < PANEL; ++c)
                for (int j = 0; j < 4; ++j) sums[r][c] += int32_t(w[i * PANEL + 4 * c + j]) * a[i * ROWS + 4 * r + j];
    for (int r = 0; r < ROWS; ++r)
        for (int c = 0; c < PANEL; ++c)
            tile[r][c] = float(sums[r][c]) * (linear.scales[panel * PANEL + c] * x.scales[row + r]);
}

// out [ROWS][PANEL]: the products with one panel of a plane.
template <int ROWS>
static inline void add_nibbles(const uint8_t* w, const Input& x, int64_t row, int32_t (*out)[PANEL]) {
    const int8_t* a = x.values + row * x.k;
    int32_t sums[ROWS][PANEL] = {};
    for (int64_t g = 0; g < x.k; g += GROUP)
        for (int q = 0; q < 4; ++q, w += 4 * PANEL)
            for (int r = 0; r < ROWS; ++r) {
                const int8_t* inputs = a + (g + 4 * q) * ROWS + 4 * r;
                for (int c = 0; c < PANEL; ++c)
                    for (int j = 0; j < 4; ++j)
                        sums[r][c] += (w[4 * c + j] & 15) * inputs[j] + (w[4 * c + j] >> 4) * inputs[j + 16 * ROWS];
            }
    std::memcpy(out, sums, sizeof sums);
}

template <int ROWS>
static inline void tile_int4(const Linear& linear, const Input& x, int64_t row, int64_t panel, float (*tile)[PANEL]) {
    constexpr int64_t GROUP_BYTES = 2 * PANEL + GROUP * PANEL / 2;
    const int64_t k = linear.k, groups = k / GROUP;
    const uint8_t* w = static_cast<const uint8_t*>(linear.weights) + panel * groups * GROUP_BYTES;
    const int8_t* a = x.values + row * k;
    float totals[ROWS][PANEL] = {};
    for (int64_t g = 0; g < groups; ++g, w += GROUP_BYTES) {
        int32_t sums[ROWS][PANEL] = {};
        for (int q = 0; q < 4; ++q)
            for (int r = 0; r < ROWS; ++r) {
                const int8_t* inputs = a + (g * GROUP + 4 * q) * ROWS + 4 * r;
                for (int c = 0; c < PANEL; ++c)
                    for (int j = 0; j < 4; ++j) {
                        const int32_t both = w[2 * PANEL + 64 * q + 4 * c + j];
                        sums[r][c] += ((both & 15) - 8) * inputs[j] + ((both >> 4) - 8) * inputs[j + 16 * ROWS];
                    }
            }
        uint16_t scales[PANEL];
        std::memcpy(scales, w, sizeof scales);
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < PANEL; ++c) totals[r][c] += float(sums[r][c]) * to_float(scales[c]);
    }
    for (int r = 0; r < ROWS; ++r)
        for (int c = 0; c < PANEL; ++c) tile[r][c] = totals[r][c] * x.scales[row + r];
}
