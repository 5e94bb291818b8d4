import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("../testing/mock-server.mjs", import.meta.url));

/** Or the name of an incident of src/testing/incidents.json. */
export type MockState = "ready" | "loading" | "idle" | "alert" | "open" | (string & {});

/** The mock server as a child process that can be killed and restarted on its port. */
export class MockService {
  private child: ChildProcess | null = null;
  /** 0 until the system has assigned one, so that workers never share a port. */
  private port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(state: MockState = "ready"): Promise<void> {
    const env = { ...process.env, MOCK_PORT: String(this.port), MOCK_STATE: state };
    this.child = spawn(process.execPath, [SCRIPT], { env, stdio: ["ignore", "pipe", "inherit"] });
    if (!this.child.stdout) throw new Error("the mock server has no output");
    const [line] = (await once(this.child.stdout, "data")) as [Buffer];
    this.port = Number(/:(\d+)\s*$/.exec(line.toString())?.[1]);
  }

  async kill(): Promise<void> {
    const { child } = this;
    if (child?.exitCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}
