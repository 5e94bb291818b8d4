// The team of threads that runs one call. The threads are OpenMP's, from the pool that torch uses.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

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

// Threads wait for each other by spinning, since a step has hundreds of barriers and sleeping costs
// more than the wait. A thread that waits for long yields its core.
class Team {
public:
    int size() const { return size_; }

    // Before the team's work begins.
    void set_size(int size) { size_ = size; }

    // A barrier: returns once all threads have called it. The next `share` starts again at item 0.
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

    // Call `work(begin, end)` for all of `count` items, `grain` at a time, on whichever thread is free; then wait.
    template <class Work>
    void share(int64_t count, int64_t grain, const Work& work) {
        for (;;) {
            const int64_t begin = next_.fetch_add(grain, std::memory_order_relaxed);
            if (begin >= count) break;
            work(begin, begin + grain < count ? begin + grain : count);
        }
        wait();
    }

    // Like `share`, with chunks that shrink: each is a fraction of the items left, so that chunks are long
    // and all threads still finish at about the same time (Polychronopoulos and Kuck 1987).
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

    int size_ = 1;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<uint32_t> round_{0};
    alignas(64) std::atomic<int64_t> next_{0};
};

// Run `work(team, thread)` on up to `num_threads` threads at once; threads are numbered from 0.
template <class Work>
void on_team(int num_threads, const Work& work) {
    // A thread that left would keep the others waiting, and OpenMP ends the process.
    static_assert(noexcept(work(std::declval<Team&>(), 0)), "work on a team must neither throw nor allocate");
    Team team;
#if defined(_OPENMP)
    if (num_threads > 1) {
#pragma omp parallel num_threads(num_threads)
        {
#pragma omp single
            team.set_size(omp_get_num_threads());
            work(team, omp_get_thread_num());
        }
        return;
    }
#endif
    work(team, 0);
}
