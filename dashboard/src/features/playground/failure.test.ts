import { expect, it } from "vitest";
import { StreamCut } from "../../api/chat";
import { ApiError, Unreachable } from "../../api/client";
import { describeFailure } from "./failure";

it("gives the service's own message, and the time of the next try", () => {
  const error = new ApiError(429, "60 per minute are spent.", null, 12);
  expect(describeFailure(error, 1000)).toEqual({
    title: "Limit reached",
    words: "60 per minute are spent.",
    retryAt: 13_000,
  });
  expect(describeFailure(new ApiError(400, "No.")).retryAt).toBeNull();
});

const CASES: [Error, string][] = [
  [new ApiError(200, "x"), "The answer ended with an error"],
  [new ApiError(400, "x"), "The service refused the request"],
  [new ApiError(403, "x"), "This key may not chat"],
  [new ApiError(500, "x"), "The service failed"],
  [new ApiError(503, "x"), "The service is busy or not ready"],
  [new StreamCut(), "The answer was cut off"],
  [new Unreachable("x"), "No connection"],
  [new SyntaxError("x"), "The answer could not be read"],
];

it.each(CASES)("names %s", (error, title) => {
  expect(describeFailure(error).title).toBe(title);
});
