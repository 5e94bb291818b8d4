import { Fragment, type ReactNode } from "react";
import type { EnginePage } from "../../api/types";
import { Chip } from "../../components/Chip";
import { Facts, type Fact } from "../../components/Facts";
import { formatBytes, formatCount, formatNumber, formatSeconds } from "../../lib/units";
import styles from "./EngineFacts.module.css";

/** The model, the engine and the machine, as names and values. */
export function EngineFacts({ facts: { model, engine, machine, others } }: { facts: EnginePage }) {
  return (
    <div className={styles.groups}>
      <FactCard title="Model" facts={model && modelFacts(model)} notes={model?.notes ?? []} />
      <FactCard title="Engine" facts={engine && engineFacts(engine)} notes={[]} />
      <FactCard title="Machine" facts={machineFacts(machine)} notes={[]}>
        <div className={styles.sets} aria-label="Instruction sets" role="group">
          {machine.instruction_sets.map(({ name, is_present: isPresent }) => (
            <Chip
              key={name}
              tone={isPresent ? "ok" : "plain"}
              title={
                isPresent ? "The processor supports it." : "The processor does not support it."
              }
            >
              {isPresent ? "" : "no "}
              {name}
            </Chip>
          ))}
        </div>
      </FactCard>
      {others.map((other) => (
        <Fragment key={other.model.id}>
          <FactCard
            title={`Model ${other.model.id}`}
            facts={modelFacts(other.model)}
            notes={other.model.notes}
          />
          <FactCard
            title={`Engine of ${other.model.id}`}
            facts={engineFacts(other.engine)}
            notes={[]}
          />
        </Fragment>
      ))}
    </div>
  );
}

interface FactCardProps {
  title: string;
  /** null while the model loads. */
  facts: Fact[] | null;
  notes: string[];
  children?: ReactNode;
}

function FactCard({ title, facts, notes, children }: FactCardProps) {
  return (
    <section className={styles.card} aria-label={title}>
      <h2 className={styles.title}>{title}</h2>
      {facts ? <Facts facts={facts} /> : <p className={styles.note}>Still loading.</p>}
      {notes.map((note) => (
        <p key={note} className={styles.note}>
          {note}
        </p>
      ))}
      {children}
    </section>
  );
}

/** Facts that are null are left out: the service knows them only of a model that it computes. */
function modelFacts(model: NonNullable<EnginePage["model"]>): Fact[] {
  return known([
    { name: "id", value: model.id },
    { name: "architecture", value: model.architecture },
    { name: "parameters", value: written(model.num_parameters, formatCount) },
    { name: "weights", value: written(model.weights_bytes, formatBytes) },
    { name: "precision", value: model.dtype },
    { name: "quantization", value: model.quantization },
    { name: "device", value: model.device },
    { name: "embeddings", value: written(model.embedding, embeddingWords) },
    { name: "context length", value: `${formatCount(model.max_context)} tokens` },
    { name: "vocabulary", value: `${formatCount(model.vocab_size)} tokens` },
    { name: "format", value: model.format },
    { name: "images", value: imageWords(model) },
    { name: "load time", value: written(model.load_seconds, formatSeconds) },
  ]);
}

function written<T>(value: T | null, format: (value: T) => string): string | null {
  return value === null ? null : format(value);
}

function imageWords({ sees, encoder_dtype: dtype }: NonNullable<EnginePage["model"]>): string {
  if (!sees) return "not read";
  return dtype === null ? "read" : `read, encoder in ${dtype}`;
}

type Embedding = NonNullable<NonNullable<EnginePage["model"]>["embedding"]>;

function embeddingWords({ dimensions, pooling }: Embedding): string {
  return `${formatCount(dimensions)} dimensions, pooled by ${pooling}`;
}

function known(facts: { name: string; value: string | null }[]): Fact[] {
  return facts.flatMap(({ name, value }) => (value === null ? [] : [{ name, value }]));
}

function engineFacts(engine: NonNullable<EnginePage["engine"]>): Fact[] {
  const blocks =
    engine.num_blocks === 0
      ? "managed by the model"
      : `${formatCount(engine.num_blocks)} × ${engine.block_size} tokens`;
  return known([
    { name: "kind", value: engine.kind },
    { name: "state", value: engine.is_ready ? "ready" : engine.reason },
    { name: "threads", value: written(engine.threads, formatCount) },
    { name: "running", value: `${engine.num_running} of ${engine.max_batch_size}` },
    { name: "waiting", value: `${engine.num_waiting} of ${engine.max_waiting}` },
    { name: "max tokens per step", value: written(engine.max_batched_tokens, formatCount) },
    ...(engine.kind === "embedding"
      ? []
      : [
          { name: "KV blocks", value: blocks },
          { name: "KV cache", value: kvWords(engine.kv_cache_used_bytes, engine.kv_cache_bytes) },
          { name: "prefix cache", value: engine.has_prefix_cache ? "on, separate per key" : "off" },
        ]),
    { name: "restarts", value: formatCount(engine.num_restarts) },
  ]);
}

function kvWords(used: number, capacity: number): string {
  return capacity === 0
    ? "managed by the model"
    : `${formatBytes(used)} of ${formatBytes(capacity)}`;
}

function machineFacts(machine: EnginePage["machine"]): Fact[] {
  const {
    cpu_cores: cores,
    num_cpus: cpus,
    memory_limit_bytes: limit,
    memory_total_bytes: total,
    throttled_seconds: throttled,
  } = machine;
  return [
    { name: "processor", value: machine.cpu_model },
    { name: "cores", value: cores < cpus ? `${formatNumber(cores)} of ${cpus}` : String(cpus) },
    {
      name: "memory",
      value: limit < total ? `${formatBytes(limit)} of ${formatBytes(total)}` : formatBytes(total),
    },
    { name: "available memory", value: formatBytes(machine.memory_available_bytes) },
    { name: "process memory", value: formatBytes(machine.process_memory_bytes) },
    { name: "process threads", value: formatCount(machine.num_process_threads) },
    { name: "throttled by CPU quota", value: throttled === null ? "–" : formatSeconds(throttled) },
  ];
}
