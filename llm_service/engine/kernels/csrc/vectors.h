// Vectors of float in the compiler's vector types, so that one source serves every CPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
// Without AVX, vectors of 8 floats are passed otherwise than with it. All functions here are in one file.
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
#else
constexpr int LANES = 8;  // where registers are shorter the compiler uses two
#endif

typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

static inline Floats load(const float* from) { return *reinterpret_cast<const Floats*>(from); }
static inline void store(float* to, Floats value) { *reinterpret_cast<Floats*>(to) = value; }
static inline Floats all(float value) { return value - Floats{}; }
static inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
static inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
static inline Floats magnitude(Floats x) { return reinterpret_cast<Floats>(reinterpret_cast<Ints>(x) & 0x7fffffff); }

static inline float sum(Floats x) {
    float total = 0;
    for (int i = 0; i < LANES; ++i) total += x[i];
    return total;
}

static inline float largest(Floats x) {
    float most = x[0];
    for (int i = 1; i < LANES; ++i) most = x[i] > most ? x[i] : most;
    return most;
}

static inline bool is_any(Ints mask) {
    int bits = 0;
    for (int i = 0; i < LANES; ++i) bits |= mask[i];
    return bits != 0;
}

// bfloat16 is the upper half of a float.
static inline Floats load(const uint16_t* from) {
    const Halves halves = *reinterpret_cast<const Halves*>(from);
    return reinterpret_cast<Floats>(__builtin_convertvector(halves, Ints) << 16);
}

static inline float to_float(uint16_t bfloat) {
    const uint32_t bits = uint32_t(bfloat) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// To nearest, ties to even; a NaN stays one.
static inline uint16_t to_bfloat(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16) | 0x40;
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// The nearest integers, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves them in the low bits.
static inline Ints nearest(Floats x) { return reinterpret_cast<Ints>(x + 12582912.0f) - 0x4b400000; }

// e^x to 2 units in the last place, 0 below e^-87: Cephes' expf (Moshier), x = n ln 2 + r and a
// polynomial for e^r.
static inline Floats exponential(Floats power) {
    const Floats x = smaller(larger(power, all(-87.0f)), all(88.0f));
    const Ints n = nearest(x * 1.44269504088896341f);
    const Floats whole = __builtin_convertvector(n, Floats);
    Floats r = x - whole * 0.693359375f;
    r = r + whole * 2.12194440e-4f;
    Floats y = all(1.9875691500e-4f);
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    y = y * reinterpret_cast<Floats>((n + 127) << 23);
    return power < -87.0f ? Floats{} : y;
}

// Numbers whose largest magnitude is below this are rounded to zero in 8 bits: 127 divided by it may overflow.
constexpr float MIN_PEAK = 4e-37f;

// The largest magnitude of `count` numbers; NaN if there is one.
static inline float peak_of(const float* x, int64_t count) {
    // The bits of floats without a sign are ordered as the numbers are, and NaN is above infinity.
    Ints most{};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Ints bits = reinterpret_cast<Ints>(magnitude(load(x + i)));
        most = bits > most ? bits : most;
    }
    int32_t peak = 0;
    for (int j = 0; j < LANES; ++j) peak = std::max<int32_t>(peak, most[j]);
    for (; i < count; ++i) {
        int32_t bits;
        std::memcpy(&bits, x + i, 4);
        peak = std::max<int32_t>(peak, bits & 0x7fffffff);
    }
    float result;
    std::memcpy(&result, &peak, 4);
    return result;
}
