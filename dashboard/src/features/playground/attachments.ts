/** Text files that are sent with a question. */

import { formatBytes } from "../../lib/units";
import type { Attachment } from "./conversation";
import { problemOf, valueOf, type Reading } from "./reading";

const MAX_BYTES = 1024 * 1024;

export async function readTextFile(file: File): Promise<Reading<Attachment>> {
  const { name, type, size } = file;
  if (type.startsWith("image/")) return problemOf(`${name} is an image. ${NO_IMAGES}`);
  if (size > MAX_BYTES) {
    const words = `${formatBytes(size)}, more than the ${formatBytes(MAX_BYTES)} that are allowed`;
    return problemOf(`${name} has ${words}.`);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (!text.includes("\0")) return valueOf({ name, text });
  } catch {
    // It is not UTF-8: see below.
  }
  return problemOf(`${name} is not a text file in UTF-8.`);
}

/** The service refuses images, whatever the model. */
export const NO_IMAGES = "No model of this service takes images.";
