// The threads that work through one call, side by side. They are OpenMP's, which are torch's.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
static inline void pause_briefly() { _mm_pause(); }
#else
static inline void pause_briefly() {}
#endif
#include <sched.h>
#if defined(_OPENMP)
#include <omp.h>
#endif

// Threads wait for each other by spinning, since a step has hundreds of such points and sleeping
// costs more than the wait; one that waits for long gives its core away.
class Team {
public:
    explicit Team(int size) : size_(size) {}

    int size() const { return size_; }

    // Everybody arrives before anybody goes on. `next` starts again at 0.
    void wait() {
        const uint32_t round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
            arrived_.store(0, std::memory_order_relaxed);
            next_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
            if (spins < MAX_SPINS) pause_briefly();
            else sched_yield();
        }
    }

    // Share out `count` items of work, `grain` at a time, to whoever is free; then wait.
    template <class Work>
    void share(int64_t count, int64_t grain, const Work& work) {
        for (;;) {
            const int64_t begin = next_.fetch_add(grain, std::memory_order_relaxed);
            if (begin >= count) break;
            work(begin, begin + grain < count ? begin + grain : count);
        }
        wait();
    }

    // As `share`, in runs as long as can be: each is a part of what is left, so that the last ones are
    // short and nobody is waited for long (Polychronopoulos and Kuck 1987).
    template <class Work>
    void share_runs(int64_t count, const Work& work) {
        int64_t begin = next_.load(std::memory_order_relaxed);
        while (begin < count) {
            const int64_t end = begin + (count - begin + 2 * size_ - 1) / (2 * size_);
            if (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
            work(begin, end);
            begin = next_.load(std::memory_order_relaxed);
        }
        wait();
    }

private:
    static constexpr int MAX_SPINS = 4096;

    const int size_;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<uint32_t> round_{0};
    alignas(64) std::atomic<int64_t> next_{0};
};

// Run `work(team)` on up to `num_threads` threads at once.
template <class Work>
void on_team(int num_threads, const Work& work) {
#if defined(_OPENMP)
    if (num_threads > 1) {
        std::unique_ptr<Team> team;
#pragma omp parallel num_threads(num_threads)
        {
#pragma omp single
            team.reset(new Team(omp_get_num_threads()));
            work(*team);
        }
        return;
    }
#endif
    Team alone(1);
    work(alone);
}
