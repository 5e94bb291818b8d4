// @vitest-environment jsdom
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "./client";
import { changeKey, findRequest, getSeries, openChatStream, rotateKey } from "./endpoints";

const call = { key: "k" };

/** The requests that were sent, as "METHOD path body". */
let sent: string[] = [];

function answer(respond: () => Response): void {
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname, search } = new URL(request.url);
    sent.push([request.method, `${pathname}${search}`, await request.text()].join(" ").trim());
    return respond();
  });
}

beforeEach(() => {
  sent = [];
});

describe("an endpoint", () => {
  it("takes the panels of a range as one query parameter", async () => {
    answer(() => Response.json({ times: [] }));
    await getSeries(call, 900, ["ttft", "cpu"]);
    expect(sent.map(decodeURIComponent)).toEqual([
      "GET /api/series?range_seconds=900&panels=ttft,cpu",
    ]);
  });

  it("encodes an id in its path", async () => {
    answer(() => Response.json({ request_id: "a/b?c" }));
    expect(await findRequest(call, "a/b?c")).toEqual({ request_id: "a/b?c" });
    expect(sent).toEqual(["GET /api/requests/a%2Fb%3Fc"]);
  });

  it("keeps the id of a key out of the body", async () => {
    answer(() => Response.json({}));
    await changeKey(call, { keyId: "k1", rpm: 5 });
    await rotateKey(call, { keyId: "k1" });
    expect(sent).toEqual(['PATCH /api/keys/k1 {"rpm":5}', "POST /api/keys/k1/rotate {}"]);
  });

  it("finds no request where the service knows none, and throws every other refusal", async () => {
    const refuse = (status: number) => () =>
      Response.json({ error: { message: "No." } }, { status });
    answer(refuse(404));
    expect(await findRequest(call, "r1")).toBeNull();
    answer(refuse(403));
    await expect(findRequest(call, "r1")).rejects.toBeInstanceOf(ApiError);
  });

  it("streams a chat without reading it first", async () => {
    answer(() => new Response("data: [DONE]", { headers: { "x-request-id": "r1" } }));
    const { headers, body } = await openChatStream(call, { model: "m", messages: [] });
    expect(headers.get("x-request-id")).toBe("r1");
    expect(await new Response(body).text()).toBe("data: [DONE]");
    expect(sent[0]).toContain('"stream":true,"stream_options":{"include_usage":true}');
  });
});
