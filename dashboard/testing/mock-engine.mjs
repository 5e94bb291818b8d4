/** The engine and the machine of the mock service. */

const MIB = 1024 * 1024;

export function buildEngine(isReady) {
  return {
    model: isReady
      ? {
          id: "pocket",
          is_demonstration: true,
          summary: "pocket: a 6 M-parameter demonstration model.",
          architecture: "Qwen2ForCausalLM",
          num_parameters: 6_012_345,
          vocab_size: 4096,
          max_context: 2048,
          device: "cpu",
          dtype: "float32",
          quantization: "none",
          weights_bytes: 24 * MIB,
          load_seconds: 1.4,
          default_sampling: {},
          notes: [],
          format: "hermes",
          sees: false,
          encoder_dtype: null,
          embedding: null,
        }
      : null,
    others: [],
    machine: {
      cpu_model: "A Processor 9000",
      cpu_cores: 2,
      num_cpus: 8,
      instruction_sets: ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"].map(
        (name, i) => ({ name, is_present: i < 3 }),
      ),
      memory_total_bytes: 16_384 * MIB,
      memory_limit_bytes: 1024 * MIB,
      memory_available_bytes: 590 * MIB,
      process_memory_bytes: 431 * MIB,
      num_process_threads: 14,
      throttled_seconds: 0.4,
    },
    engine: isReady
      ? {
          kind: "batched",
          is_ready: true,
          reason: "",
          threads: 2,
          max_batch_size: 16,
          max_batched_tokens: 512,
          max_waiting: 256,
          block_size: 16,
          num_blocks: 4096,
          kv_cache_bytes: 256 * MIB,
          kv_cache_used_bytes: 40 * MIB,
          has_prefix_cache: true,
          num_running: 5,
          num_waiting: 0,
          num_restarts: 0,
        }
      : null,
  };
}
