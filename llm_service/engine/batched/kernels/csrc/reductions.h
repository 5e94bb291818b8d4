// What a sampler asks of whole rows of numbers, such as a model's logits [.][width].
#pragma once

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "vectors.h"

constexpr int64_t STRETCH = 64 * LANES;  // looked at as a whole before anything is looked up in it

// The largest number of one row and where it stands first; a NaN, if there is one.
static inline std::pair<float, int64_t> find_best(const float* row, int64_t width) {
    float best = -std::numeric_limits<float>::infinity();
    int64_t place = 0;
    bool has_nan = false;
    for (int64_t begin = 0; begin < width; begin += STRETCH) {
        const int64_t end = std::min(begin + STRETCH, width);
        Floats most = all(best);
        Ints nan{};
        int64_t i = begin;
        for (; i + LANES <= end; i += LANES) {
            const Floats x = load(row + i);
            most = larger(x, most);
            nan |= x != x;
        }
        float found = largest(most);
        for (; i < end; ++i) {
            found = row[i] > found ? row[i] : found;
            has_nan |= row[i] != row[i];
        }
        has_nan |= is_any(nan);
        if (found > best) {
            best = found;
            place = std::find(row + begin, row + end, found) - row;
        }
    }
    return {has_nan ? std::numeric_limits<float>::quiet_NaN() : best, place};
}

// The `count` largest of one row, falling, equal ones in order of their places.
static inline void find_largest(const float* row, int64_t width, int64_t count, float* values, int64_t* places) {
    typedef std::pair<float, int64_t> Found;
    const auto is_before = [](const Found& a, const Found& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    };
    std::vector<Found> found;
    const size_t capacity = size_t(2 * count + STRETCH);
    found.reserve(capacity);
    float bound = -std::numeric_limits<float>::infinity();  // what is not above it has `count` before it
    bool is_bounded = false;
    const auto cut = [&] {
        std::nth_element(found.begin(), found.begin() + (count - 1), found.end(), is_before);
        found.resize(size_t(count));
        bound = found.back().first;
        is_bounded = true;
    };
    for (int64_t begin = 0; begin < width; begin += LANES) {
        const int64_t end = std::min(begin + LANES, width);
        if (is_bounded && end - begin == LANES) {
            if (!is_any(load(row + begin) > bound)) continue;
        }
        for (int64_t i = begin; i < end; ++i) {
            if (!is_bounded || row[i] > bound) found.emplace_back(row[i], i);
        }
        if (found.size() + LANES > capacity || (!is_bounded && int64_t(found.size()) > count)) cut();
    }
    std::sort(found.begin(), found.end(), is_before);
    for (int64_t i = 0; i < count; ++i) {
        values[i] = found[size_t(i)].first;
        places[i] = found[size_t(i)].second;
    }
}

// For each `block` numbers of one row, the last block may be shorter: the sum of e^((x - peak) / temperature).
static inline void sum_weights(const float* row, int64_t width, float peak, float temperature, int64_t block,
                               float* sums) {
    for (int64_t begin = 0; begin < width; begin += block, ++sums) {
        const int64_t end = std::min(begin + block, width);
        Floats total{};
        int64_t i = begin;
        for (; i + LANES <= end; i += LANES) total += exponential((load(row + i) - peak) / temperature);
        float rest = 0;
        for (; i < end; ++i) rest += exponential(all((row[i] - peak) / temperature))[0];
        *sums = sum(total) + rest;
    }
}
