import { useEffect, useRef, useState } from "react";
import { useSession } from "../../../api/session";
import { LEVELS, type Level } from "./levels";
import { MAX_SECONDS, newSweepId, runSweep } from "./sweep";

export interface Sweep {
  levels: Level[];
  /** The number of streams that is being measured; null if no benchmark is running. */
  current: number | null;
  /** Why the last benchmark ended before its last level; null if it did not. */
  note: string | null;
  start: () => void;
  stop: () => void;
}

/** Runs one benchmark at a time. It ends with the page. */
export function useSweep(model: string): Sweep {
  const { key } = useSession();
  const [levels, setLevels] = useState<Level[]>([]);
  const [current, setCurrent] = useState<number | null>(null);
  const [note, setNote] = useState<string | null>(null);
  const controller = useRef<AbortController | null>(null);

  const end = (words: string | null) => {
    controller.current?.abort();
    controller.current = null;
    setCurrent(null);
    setNote(words);
  };

  const run = async (own: AbortController) => {
    const call = { key: key ?? "", signal: own.signal };
    const isOwn = () => controller.current === own;
    try {
      for await (const level of runSweep(call, model, newSweepId(), setCurrent)) {
        if (!isOwn()) return;
        setLevels((measured) => [...measured, level]);
      }
      if (isOwn()) end(null);
    } catch (error) {
      if (isOwn()) end(error instanceof Error ? error.message : String(error));
    }
  };

  const start = () => {
    if (controller.current) return;
    const own = new AbortController();
    controller.current = own;
    setLevels([]);
    setNote(null);
    setCurrent(LEVELS[0]);
    void run(own);
  };

  const isRunning = current !== null;
  useEffect(() => {
    if (!isRunning) return;
    const timer = setTimeout(
      () => end(`Stopped after ${MAX_SECONDS} s, the longest that a benchmark may take.`),
      MAX_SECONDS * 1000,
    );
    return () => clearTimeout(timer);
  }, [isRunning]);
  useEffect(() => () => controller.current?.abort(), []);

  return { levels, current, note, start, stop: () => end("Stopped.") };
}
