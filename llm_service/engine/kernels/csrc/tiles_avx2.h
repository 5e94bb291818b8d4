// One panel's results for a few rows, on CPUs with AVX2 and FMA. Included by linear.h.
#pragma once

#include <immintrin.h>

constexpr int MAX_ROWS = 4;

// The two forms of an int8 input: a mask of its sign (0 or -1), and its magnitude.
static inline int8_t value_form(int8_t value) { return value < 0 ? -1 : 0; }
static inline uint8_t unsigned_form(int8_t value) { return uint8_t(value < 0 ? -value : value); }

// Independent sums for few rows, which hide the latency of an addition.
template <int ROWS>
constexpr int SUMS = ROWS == 1   ? 4
                     : ROWS == 2 ? 2
                                 : 1;

static inline __m256 even_bfloats(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
static inline __m256 odd_bfloats(__m256i pairs) {
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(int(0xffff0000))));
}

template <int ROWS, int S>
static inline void store_sums(__m256 (&sums)[S][ROWS][2], float (*tile)[PANEL]) {
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int h = 0; h < 2; ++h) {
            __m256 total = sums[0][r][h];
#pragma GCC unroll 8
            for (int s = 1; s < S; ++s) total = _mm256_add_ps(total, sums[s][r][h]);
            _mm256_storeu_ps(&tile[r][8 * h], total);
        }
}

template <int ROWS>
static inline void tile_float32(const Linear& linear, const Input& x, int64_t row, int64_t panel,
                                float (*tile)[PANEL]) {
    constexpr int S = SUMS<ROWS>;
    const int64_t k = linear.k;
    const float* w = static_cast<const float*>(linear.weights) + panel * k * PANEL;
    const float* a = x.floats + row * k;
    __m256 sums[S][ROWS][2] = {};
    for (int64_t i = 0; i < k; i += 4)
#pragma GCC unroll 8
        for (int j = 0; j < 4; ++j) {
            const __m256 low = _mm256_loadu_ps(w + (i + j) * PANEL);
            const __m256 high = _mm256_loadu_ps(w + (i + j) * PANEL + 8);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r) {
                const __m256 value = _mm256_broadcast_ss(a + (i + j) * ROWS + r);
                sums[j % S][r][0] = _mm256_fmadd_ps(low, value, sums[j % S][r][0]);
                sums[j % S][r][1] = _mm256_fmadd_ps(high, value, sums[j % S][r][1]);
            }
        }
    store_sums<ROWS, S>(sums, tile);
}

template <int ROWS>
static inline void tile_bfloat16(const Linear& linear, const Input& x, int64_t row, int64_t panel,
                                 float (*tile)[PANEL]) {
    constexpr int S = SUMS<ROWS>;
    const int64_t k = linear.k;
    const uint16_t* w = static_cast<const uint16_t*>(linear.weights) + panel * k * PANEL;
    const float* a = x.floats + row * k;
    __m256 sums[S][ROWS][2] = {};
    for (int64_t i = 0; i < k; i += 8)
#pragma GCC unroll 8
        for (int j = 0; j < 4; ++j) {
            const int64_t at = i + 2 * j;
            const __m256i low = _mm256_loadu_si256((const __m256i*)(w + at * PANEL));
            const __m256i high = _mm256_loadu_si256((const __m256i*)(w + at * PANEL + 16));
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r) {
                const __m256 even = _mm256_broadcast_ss(a + at * ROWS + r);
                const __m256 odd = _mm256_broadcast_ss(a + (at + 1) * ROWS + r);
                __m256(&sum)[2] = sums[j % S][r];
                sum[0] = _mm256_fmadd_ps(even_bfloats(low), even, sum[0]);
                sum[1] = _mm256_fmadd_ps(even_bfloats(high), even, sum[1]);
                sum[0] = _mm256_fmadd_ps(odd_bfloats(low), odd, sum[0]);
                sum[1] = _mm256_fmadd_ps(odd_bfloats(high), odd, sum[1]);
            }
        }
    store_sums<ROWS, S>(sums, tile);
}

// The product of pairs of bytes (maddubs) needs one operand unsigned and saturates at 16 bits, which
// |x| w never reaches: 2 * 127 * 128 < 2^15. Where x is negative, w should become -w. Flipping the bits of w
// is cheaper, but makes -1 - w: each such product is too small by |x|, and `negative_sums` adds that back.
template <int ROWS>
static inline void tile_int8(const Linear& linear, const Input& x, int64_t row, int64_t panel, float (*tile)[PANEL]) {
    const int64_t k = linear.k;
    const int8_t* w = static_cast<const int8_t*>(linear.weights) + panel * k * PANEL;
    const int8_t* a = x.values + row * k;
    const uint8_t* b = x.unsigned_values + row * k;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sums[ROWS][2] = {};
    for (int64_t i = 0; i < k; i += 4) {
        const __m256i low = _mm256_loadu_si256((const __m256i*)(w + i * PANEL));
        const __m256i high = _mm256_loadu_si256((const __m256i*)(w + i * PANEL + 32));
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            int32_t sign, size;
            std::memcpy(&sign, a + i * ROWS + 4 * r, 4);
            std::memcpy(&size, b + i * ROWS + 4 * r, 4);
            const __m256i flip = _mm256_set1_epi32(sign), magnitude = _mm256_set1_epi32(size);
            const __m256i first = _mm256_maddubs_epi16(magnitude, _mm256_xor_si256(low, flip));
            const __m256i second = _mm256_maddubs_epi16(magnitude, _mm256_xor_si256(high, flip));
            sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_madd_epi16(first, ones));
            sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_madd_epi16(second, ones));
        }
    }
    const float* scales = linear.scales + panel * PANEL;
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int h = 0; h < 2; ++h) {
            const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(scales + 8 * h), _mm256_set1_ps(x.scales[row + r]));
            const __m256i whole = _mm256_add_epi32(sums[r][h], _mm256_set1_epi32(x.negative_sums[row + r]));
            _mm256_storeu_ps(&tile[r][8 * h], _mm256_mul_ps(_mm256_cvtepi32_ps(whole), scale));
        }
}

// Adds the products of four inputs of each row with the low (SHIFT 0) or high (SHIFT 4) halves of 64 bytes.
template <int ROWS, int SHIFT>
static inline void add_quarter(const uint8_t* w, const int8_t* inputs, __m256i (&sums)[ROWS][2]) {
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i first = _mm256_loadu_si256((const __m256i*)w), second = _mm256_loadu_si256((const __m256i*)(w + 32));
    const __m256i low = _mm256_and_si256(_mm256_srli_epi16(first, SHIFT), nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(second, SHIFT), nibble);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
        int32_t four;
        std::memcpy(&four, inputs + 4 * r, 4);
        const __m256i values = _mm256_set1_epi32(four);
        sums[r][0] = _mm256_add_epi16(sums[r][0], _mm256_maddubs_epi16(low, values));
        sums[r][1] = _mm256_add_epi16(sums[r][1], _mm256_maddubs_epi16(high, values));
    }
}

// Adds the products of one group of 32 inputs. The sum of its eight pairs of 4 by 8 bits fits into 16 bits:
// 8 * 2 * 15 * 127 < 2^15.
template <int ROWS>
static inline void add_group(const uint8_t* w, const int8_t* inputs, __m256i (&sums)[ROWS][2]) {
    // For many rows, first the low halves, then the high ones, and not unrolled: there are only 16 registers.
    if constexpr (ROWS <= 2) {
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) {
            add_quarter<ROWS, 0>(w + 64 * q, inputs + 4 * q * ROWS, sums);
            add_quarter<ROWS, 4>(w + 64 * q, inputs + 4 * (q + 4) * ROWS, sums);
        }
    } else {
#pragma GCC unroll 1
        for (int q = 0; q < 4; ++q) add_quarter<ROWS, 0>(w + 64 * q, inputs + 4 * q * ROWS, sums);
#pragma GCC unroll 1
        for (int q = 0; q < 4; ++q) add_quarter<ROWS, 4>(w + 64 * q, inputs + 4 * (q + 4) * ROWS, sums);
    }
}

// out [ROWS][PANEL]: the products with one panel of a plane.
template <int ROWS>
static inline void add_nibbles(const uint8_t* w, const Input& x, int64_t row, int32_t (*out)[PANEL]) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i totals[ROWS][2] = {};
    const int8_t* inputs = x.values + row * x.k;
    for (int64_t g = 0; g < x.k / GROUP; ++g, w += PLANE_GROUP_BYTES, inputs += GROUP * ROWS) {
        __m256i sums[ROWS][2] = {};
        add_group<ROWS>(w, inputs, sums);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
            for (int h = 0; h < 2; ++h)
                totals[r][h] = _mm256_add_epi32(totals[r][h], _mm256_madd_epi16(sums[r][h], ones));
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int h = 0; h < 2; ++h) _mm256_storeu_si256((__m256i*)&out[r][8 * h], totals[r][h]);
}

template <int ROWS>
static inline void tile_int4(const Linear& linear, const Input& x, int64_t row, int64_t panel, float (*tile)[PANEL]) {
    constexpr int64_t GROUP_BYTES = 2 * PANEL + GROUP * PANEL / 2;
    const int64_t k = linear.k, groups = k / GROUP;
    const uint8_t* w = static_cast<const uint8_t*>(linear.weights) + panel * groups * GROUP_BYTES;
    const int8_t* a = x.values + row * k;
    const int32_t* group_sums = x.group_sums + row * groups;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256 totals[ROWS][2] = {};
    for (int64_t g = 0; g < groups; ++g, w += GROUP_BYTES) {
        __m256i sums[ROWS][2] = {};
        add_group<ROWS>(w + 2 * PANEL, a + g * GROUP * ROWS, sums);
        const __m256 scale[2] = {
            _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)w)), 16)),
            _mm256_castsi256_ps(
                _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)(w + 16))), 16)),
        };
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            const __m256i offset = _mm256_set1_epi32(-8 * group_sums[r * groups + g]);
#pragma GCC unroll 8
            for (int h = 0; h < 2; ++h) {
                const __m256i whole = _mm256_add_epi32(_mm256_madd_epi16(sums[r][h], ones), offset);
                totals[r][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), scale[h], totals[r][h]);
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int h = 0; h < 2; ++h)
            _mm256_storeu_ps(&tile[r][8 * h], _mm256_mul_ps(totals[r][h], _mm256_set1_ps(x.scales[row + r])));
}
