/** Files that are sent with a question: text, and images. */

import type { ServedModel } from "../../api/types";
import { formatBytes } from "../../lib/units";
import { isPicture, type Attachment, type Message, type TextFile } from "./conversation";
import { readPicture } from "./pictures";
import { problemOf, valueOf, type Reading } from "./reading";
import { sidesOf, type ChatSettings } from "./settings";

const MAX_BYTES = 1024 * 1024;

export async function readAttachment(file: File): Promise<Reading<Attachment>> {
  return file.type.startsWith("image/") ? readPicture(file) : readTextFile(file);
}

async function readTextFile(file: File): Promise<Reading<TextFile>> {
  const { name, size } = file;
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

export function hasPictures(messages: Message[]): boolean {
  return messages.some((message) => message.role === "user" && message.attachments.some(isPicture));
}

/** The first model of the next answers that does not see images; undefined if all do. */
export function findBlind(settings: ChatSettings, models: ServedModel[]): ServedModel | undefined {
  return sidesOf(settings)
    .map(({ model }) => models.find(({ id }) => id === model) ?? models[0])
    .find((model) => model && !model.capabilities.vision);
}
