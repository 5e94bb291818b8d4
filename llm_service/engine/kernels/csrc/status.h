// How a call fails: with a status and a message that Python raises as a KernelError, never by ending the process.
//
// No exception may leave a parallel region (team.h) or the C boundary. So a call allocates and checks everything
// before its threads start, and `guarded` turns what that throws into a status.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>

enum Status : int32_t {  // mirrored in library.py
    GOOD = 0,
    OUT_OF_MEMORY = 1,
    OUT_OF_BOUNDS = 2,  // more was taken from a workspace than was counted
    INVALID_ARGUMENT = 3,
    UNKNOWN_SCHEME = 4,
    UNKNOWN_CACHE_TYPE = 5,
    INTERNAL_ERROR = 6,
};

constexpr int MAX_MESSAGE = 200;

class KernelError {
public:
    Status status;
    char message[MAX_MESSAGE];  // not on the heap, which may be what is exhausted

    __attribute__((format(printf, 3, 4))) KernelError(Status status, const char* format, ...) : status(status) {
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(message, sizeof message, format, arguments);
        va_end(arguments);
    }
};

static thread_local char last_message[MAX_MESSAGE];  // of this thread's last call that failed

static inline Status failed(Status status, const char* message) {
    std::snprintf(last_message, sizeof last_message, "%s", message);
    return status;
}

// Run `work` and return how it ended.
template <class Work>
int32_t guarded(const Work& work) noexcept {
    try {
        work();
        return GOOD;
    } catch (const KernelError& error) {
        return failed(error.status, error.message);
    } catch (const std::bad_alloc&) {
        return failed(OUT_OF_MEMORY, "memory for this call cannot be allocated");
    } catch (const std::exception& error) {
        return failed(INTERNAL_ERROR, error.what());
    } catch (...) {
        return failed(INTERNAL_ERROR, "an exception of unknown type was thrown");
    }
}
