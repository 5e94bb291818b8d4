/** The service's own JSON, as documented with /api/status and /api/requests. */

export interface Status {
  version: string;
  now: number;
  started_at: number;
  health: { is_ready: boolean; reason: string };
  key: { name: string; scopes: string[]; rpm: number | null };
  model: ModelFacts | null;
  engine: EngineFacts | null;
  limits: { storage: string };
}

export interface ModelFacts {
  id: string;
  is_demonstration: boolean;
  summary: string;
  architecture: string;
  num_parameters: number;
  device: string;
  dtype: string;
  quantization: string;
  engine: string;
  max_context: number;
  notes: string[];
}

export interface EngineFacts {
  num_running: number;
  num_waiting: number;
  max_batch_size: number;
  max_waiting: number;
  kv_cache_used_bytes: number;
  kv_cache_bytes: number;
  threads: number;
  num_restarts: number;
}

export interface RequestRecord {
  request_id: string;
  started_at: number;
  key_name: string;
  operation: string;
  model: string;
  stream: boolean;
  outcome: string;
  prompt_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  queue_seconds: number | null;
  prefill_seconds: number | null;
  decode_seconds: number | null;
  ttft_seconds: number | null;
  duration_seconds: number | null;
  error_kind: string | null;
  error_phase: string | null;
}

export interface ModelList {
  data: { id: string }[];
}
