// One panel's results for a few rows, on CPUs with AVX-512 and VNNI. Included by linear.h.
#pragma once

#include <immintrin.h>

constexpr int MAX_ROWS = 8;

// The two forms of an int8 input: unchanged, and plus 128.
static inline int8_t value_form(int8_t value) { return value; }
static inline uint8_t unsigned_form(int8_t value) { return uint8_t(value) ^ 0x80; }

// Independent sums for few rows, which hide the latency of an addition: about ten are in flight at once.
template <int ROWS>
constexpr int SUMS = ROWS == 1   ? 8
                     : ROWS == 2 ? 4
                     : ROWS <= 4 ? 2
                                 : 1;

template <int ROWS>
static inline void tile_float32(const Linear& linear, const Input& x, int64_t row, int64_t panel,
                                float (*tile)[PANEL]) {
    constexpr int S = SUMS<ROWS>;
    const int64_t k = linear.k;
    const float* w = static_cast<const float*>(linear.weights) + panel * k * PANEL;
    const float* a = x.floats + row * k;
    __m512 sums[S][ROWS] = {};
    for (int64_t i = 0; i < k; i += 8)
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) {
            const __m512 weights = _mm512_loadu_ps(w + (i + j) * PANEL);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r)
                sums[j % S][r] = _mm512_fmadd_ps(weights, _mm512_set1_ps(a[(i + j) * ROWS + r]), sums[j % S][r]);
        }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
        for (int s = 1; s < S; ++s) sums[0][r] = _mm512_add_ps(sums[0][r], sums[s][r]);
        _mm512_storeu_ps(tile[r], sums[0][r]);
    }
}

template <int ROWS>
static inline void tile_bfloat16(const Linear& linear, const Input& x, int64_t row, int64_t panel,
                                 float (*tile)[PANEL]) {
    constexpr int S = SUMS<ROWS>;
    const int64_t k = linear.k;
    const uint16_t* w = static_cast<const uint16_t*>(linear.weights) + panel * k * PANEL;
    const float* a = x.floats + row * k;
    const __m512i upper = _mm512_set1_epi32(int(0xffff0000));
    __m512 sums[S][ROWS] = {};
    for (int64_t i = 0; i < k; i += 16)
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) {
            const int64_t at = i + 2 * j;
            const __m512i pairs = _mm512_loadu_si512(w + at * PANEL);
            const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
            const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r) {
                sums[j % S][r] = _mm512_fmadd_ps(even, _mm512_set1_ps(a[at * ROWS + r]), sums[j % S][r]);
                sums[j % S][r] = _mm512_fmadd_ps(odd, _mm512_set1_ps(a[(at + 1) * ROWS + r]), sums[j % S][r]);
            }
        }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
        for (int s = 1; s < S; ++s) sums[0][r] = _mm512_add_ps(sums[0][r], sums[s][r]);
        _mm512_storeu_ps(tile[r], sums[0][r]);
    }
}

// VNNI multiplies unsigned by signed bytes, so the inputs are x + 128, and 128 times the sum of the
// channel's weights is subtracted from the result.
template <int ROWS>
static inline void tile_int8(const Linear& linear, const Input& x, int64_t row, int64_t panel, float (*tile)[PANEL]) {
    constexpr int S = SUMS<ROWS>;
    const int64_t k = linear.k;
    const int8_t* w = static_cast<const int8_t*>(linear.weights) + panel * k * PANEL;
    const uint8_t* a = x.unsigned_values + row * k;
    __m512i sums[S][ROWS] = {};
    for (int64_t i = 0; i < k; i += GROUP)
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) {
            const __m512i weights = _mm512_loadu_si512(w + (i + 4 * j) * PANEL);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r) {
                int32_t four;
                std::memcpy(&four, a + (i + 4 * j) * ROWS + 4 * r, 4);
                sums[j % S][r] = _mm512_dpbusd_epi32(sums[j % S][r], _mm512_set1_epi32(four), weights);
            }
        }
    const __m512i offset = _mm512_slli_epi32(_mm512_loadu_si512(linear.sums + panel * PANEL), 7);
    const __m512 scale = _mm512_loadu_ps(linear.scales + panel * PANEL);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
        for (int s = 1; s < S; ++s) sums[0][r] = _mm512_add_epi32(sums[0][r], sums[s][r]);
        const __m512 whole = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[0][r], offset));
        _mm512_storeu_ps(tile[r], _mm512_mul_ps(whole, _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[row + r]))));
    }
}

// Adds the products of one group of 32 inputs to two independent sums, which hide the latency of an addition.
template <int ROWS>
static inline void add_group(const uint8_t* w, const int8_t* inputs, __m512i (&sums)[ROWS][2]) {
    const __m512i nibble = _mm512_set1_epi8(15);
#pragma GCC unroll 8
    for (int q = 0; q < 4; ++q) {
        const __m512i both = _mm512_loadu_si512(w + 64 * q);
        const __m512i low = _mm512_and_si512(both, nibble);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            int32_t four, later;
            std::memcpy(&four, inputs + 4 * q * ROWS + 4 * r, 4);
            std::memcpy(&later, inputs + (4 * q + 16) * ROWS + 4 * r, 4);
            sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], low, _mm512_set1_epi32(four));
            sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], high, _mm512_set1_epi32(later));
        }
    }
}

// out [ROWS][PANEL]: the products with one panel of a plane.
template <int ROWS>
static inline void add_nibbles(const uint8_t* w, const Input& x, int64_t row, int32_t (*out)[PANEL]) {
    __m512i sums[ROWS][2] = {};
    const int8_t* inputs = x.values + row * x.k;
    for (int64_t g = 0; g < x.k / GROUP; ++g, w += PLANE_GROUP_BYTES, inputs += GROUP * ROWS)
        add_group<ROWS>(w, inputs, sums);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) _mm512_storeu_si512(out[r], _mm512_add_epi32(sums[r][0], sums[r][1]));
}

template <int ROWS>
static inline void tile_int4(const Linear& linear, const Input& x, int64_t row, int64_t panel, float (*tile)[PANEL]) {
    constexpr int64_t GROUP_BYTES = 2 * PANEL + GROUP * PANEL / 2;
    const int64_t k = linear.k, groups = k / GROUP;
    const uint8_t* w = static_cast<const uint8_t*>(linear.weights) + panel * groups * GROUP_BYTES;
    const int8_t* a = x.values + row * k;
    const int32_t* group_sums = x.group_sums + row * groups;
    __m512 totals[ROWS] = {};
    for (int64_t g = 0; g < groups; ++g, w += GROUP_BYTES) {
        __m512i sums[ROWS][2];
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            sums[r][0] = _mm512_set1_epi32(-8 * group_sums[r * groups + g]);
            sums[r][1] = _mm512_setzero_si512();
        }
        add_group<ROWS>(w + 2 * PANEL, a + g * GROUP * ROWS, sums);
        const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)w));
        const __m512 scale = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            const __m512 whole = _mm512_cvtepi32_ps(_mm512_add_epi32(sums[r][0], sums[r][1]));
            totals[r] = _mm512_fmadd_ps(whole, scale, totals[r]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
        _mm512_storeu_ps(tile[r], _mm512_mul_ps(totals[r], _mm512_set1_ps(x.scales[row + r])));
}
