// The memory that one call works in.
//
// A call's buffers are laid out by a constructor that takes them from an Arena. It runs twice: over an Arena without
// memory, which only counts bytes, then over one with as much memory as was counted. So the size of a workspace, also
// the one that memory planning asks for, cannot disagree with what a call takes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>

#include "status.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
constexpr int64_t GUARD_BYTES = 64;  // behind each buffer, so that AddressSanitizer sees where it ends
#else
constexpr int64_t GUARD_BYTES = 0;
#endif

constexpr int64_t ALIGNMENT = 64;  // a cache line

class Arena {
public:
    Arena() = default;  // only counts
    Arena(char* memory, int64_t size) : memory_(memory), size_(size) {}

    // Room for `rows` times `width` objects, not initialized. Null while counting.
    template <class T>
    T* take(int64_t rows, int64_t width = 1) {
        if (rows < 0 || width < 0) throw KernelError(INVALID_ARGUMENT, "a size of this call is negative");
        int64_t count, bytes, used;
        if (__builtin_mul_overflow(rows, width, &count) || __builtin_mul_overflow(count, int64_t(sizeof(T)), &bytes) ||
            __builtin_add_overflow(used_, bytes, &used) ||
            __builtin_add_overflow(used, ALIGNMENT - 1 + GUARD_BYTES, &used))
            throw KernelError(OUT_OF_MEMORY, "a workspace for this call is larger than memory can be");
        used = used / ALIGNMENT * ALIGNMENT;
        char* taken = memory_ ? memory_ + used_ : nullptr;
        used_ = used;
        if (!memory_) return nullptr;
        if (used_ > size_)
            throw KernelError(OUT_OF_BOUNDS, "a call takes %lld bytes or more, but %lld were counted",
                              static_cast<long long>(used_), static_cast<long long>(size_));
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(taken, size_t(bytes));
#endif
        return reinterpret_cast<T*>(taken);
    }

    // Like `take`, and constructs each object.
    template <class T>
    T* make(int64_t count) {
        static_assert(std::is_trivially_destructible<T>::value, "nobody destroys them");
        T* made = take<T>(count);
        if (made)
            for (int64_t i = 0; i < count; ++i) new (made + i) T();
        return made;
    }

    int64_t used() const { return used_; }

private:
    char* memory_ = nullptr;
    int64_t size_ = 0, used_ = 0;
};

// A thread's memory for one call after the other. It grows to what the largest call needs, and is kept.
class Workspace {
public:
    Workspace() = default;
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;
    ~Workspace() { release(); }

    Arena open(int64_t bytes) {
        if (bytes > size_) {
            release();
            bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            memory_ = static_cast<char*>(std::aligned_alloc(ALIGNMENT, size_t(bytes)));
            if (!memory_)
                throw KernelError(OUT_OF_MEMORY, "a workspace of %lld bytes cannot be allocated",
                                  static_cast<long long>(bytes));
            size_ = bytes;
        }
#if defined(__SANITIZE_ADDRESS__)
        if (memory_) __asan_poison_memory_region(memory_, size_t(size_));
#endif
        return Arena(memory_, size_);
    }

private:
    void release() {
#if defined(__SANITIZE_ADDRESS__)
        if (memory_) __asan_unpoison_memory_region(memory_, size_t(size_));
#endif
        std::free(memory_);
        memory_ = nullptr;
        size_ = 0;
    }

    char* memory_ = nullptr;
    int64_t size_ = 0;
};

static thread_local Workspace workspace;

// The bytes that `Buffers(arena, arguments...)` takes.
template <class Buffers, class... Arguments>
int64_t count_bytes(const Arguments&... arguments) {
    Arena counter;
    Buffers(counter, arguments...);
    return counter.used();
}

// `Buffers(arena, arguments...)` in this thread's workspace. They hold until its next call.
template <class Buffers, class... Arguments>
Buffers lay_out(const Arguments&... arguments) {
    Arena arena = workspace.open(count_bytes<Buffers>(arguments...));
    return Buffers(arena, arguments...);
}
