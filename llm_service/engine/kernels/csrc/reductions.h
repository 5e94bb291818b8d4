// Passes over rows of a model's logits [.][width]: the largest one, the largest few, sums of weights.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "vectors.h"

// The largest number of one row and its first index; NaN if the row has one.
static inline std::pair<float, int64_t> find_best(const float* row, int64_t width) {
    constexpr int64_t CHUNK = 64 * LANES;  // the index is looked up only in chunks that raise the maximum
    float best = -std::numeric_limits<float>::infinity();
    int64_t index = 0;
    bool has_nan = false;
    for (int64_t begin = 0; begin < width; begin += CHUNK) {
        const int64_t end = std::min(begin + CHUNK, width);
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
            index = std::find(row + begin, row + end, found) - row;
        }
    }
    return {has_nan ? std::numeric_limits<float>::quiet_NaN() : best, index};
}

// Finds the largest few numbers of one row after the other, in memory that is allocated once: `find`
// runs on a team, which must not allocate.
class LargestFinder {
public:
    typedef std::pair<float, int64_t> Entry;  // a number and its index

    // For up to `max_count` numbers of each row.
    explicit LargestFinder(int64_t max_count) : capacity_(size_t(2 * max_count + SLACK)) { found_.reserve(capacity_); }

    // The `count` largest numbers of `row`, at most `width`, in falling order, equal ones by index. None if
    // the row has a NaN, which has no place in an order: std::sort and std::nth_element would run out of bounds.
    const std::vector<Entry>& find(const float* row, int64_t width, int64_t count) {
        found_.clear();
        float bound = 0;  // once `is_bounded`, only numbers above it can be among the `count` largest
        bool is_bounded = false;
        for (int64_t begin = 0; begin < width; begin += LANES) {
            const int64_t end = std::min(begin + LANES, width);
            // "not at most", rather than "above", is true of NaN, too
            if (is_bounded && end - begin == LANES && !is_any(~(load(row + begin) <= bound))) continue;
            for (int64_t i = begin; i < end; ++i) {
                if (row[i] != row[i]) {
                    found_.clear();
                    return found_;
                }
                if (!is_bounded || row[i] > bound) found_.emplace_back(row[i], i);
            }
            if (found_.size() + LANES > capacity_ || (!is_bounded && int64_t(found_.size()) > count)) {
                std::nth_element(found_.begin(), found_.begin() + (count - 1), found_.end(), is_before);
                found_.resize(size_t(count));
                bound = found_.back().first;
                is_bounded = true;
            }
        }
        std::sort(found_.begin(), found_.end(), is_before);
        found_.resize(size_t(count));
        return found_;
    }

private:
    static constexpr int64_t SLACK = 64 * LANES;  // so that the largest are seldom separated from the rest

    static bool is_before(const Entry& a, const Entry& b) {
        return a.first != b.first ? a.first > b.first : a.second < b.second;
    }

    size_t capacity_;
    std::vector<Entry> found_;
};

// One finder for each thread of a team.
static inline std::vector<LargestFinder> make_finders(int num_threads, int64_t max_count) {
    std::vector<LargestFinder> finders;
    finders.reserve(size_t(num_threads));
    for (int i = 0; i < num_threads; ++i) finders.emplace_back(max_count);
    return finders;
}

// values [count] and indices [count] as `LargestFinder::find` gives them; NaN and 0, 1, 2... if the row has a NaN.
static inline void find_largest(const float* row, int64_t width, int64_t count, LargestFinder& finder, float* values,
                                int64_t* indices) {
    const std::vector<LargestFinder::Entry>& found = finder.find(row, width, count);
    for (int64_t i = 0; i < count; ++i) {
        values[i] = found.empty() ? std::numeric_limits<float>::quiet_NaN() : found[size_t(i)].first;
        indices[i] = found.empty() ? i : found[size_t(i)].second;
    }
}

// sums [blocks]: the sum of e^((x - peak) / temperature) over each `block` numbers of one row. The last block may be
// shorter.
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
