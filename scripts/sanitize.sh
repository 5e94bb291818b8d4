#!/usr/bin/env bash
# Compiles the kernels for every instruction set with warnings as errors, then runs their tests with
# AddressSanitizer and UndefinedBehaviorSanitizer, in each instruction set that this CPU has.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
kernels=llm_service/engine/kernels
KERNELS_FLAVOUR=strict $python $kernels/build.py build/kernels &
strict=$!

runtime() { # NAME: the compiler's library of that sanitizer
  "${CXX:-c++}" -print-file-name="$1"
}
# Python is not instrumented, so the runtimes must be loaded before it. It leaks on purpose.
KERNELS_FLAVOUR=sanitized \
  LD_PRELOAD="$(runtime libasan.so) $(runtime libubsan.so)" \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
  UBSAN_OPTIONS=print_stacktrace=1 \
  $python -m pytest tests/engine/test_kernels.py tests/engine/test_kernel_failures.py \
  tests/engine/test_head.py tests/engine/test_fused_model.py "$@"
wait $strict
