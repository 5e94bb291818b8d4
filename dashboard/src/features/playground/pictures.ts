/** Images that are sent with a question: read, and scaled down where they are large. */

import type { Picture } from "./conversation";
import { problemOf, valueOf, type Reading } from "./reading";

/** Models see no more of a larger image, and it would fill the browser's storage. */
const MAX_SIDE = 1536;
const MAX_BYTES = 1024 * 1024;
const JPEG_QUALITY = 0.9;
/** The formats that the service reads. */
const SENT_AS_THEY_ARE = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);

interface Size {
  width: number;
  height: number;
}

/** The size of an image after it is scaled down. */
export function fitted({ width, height }: Size): Size {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
}

/** True if the service can have the file itself. */
export function isSentAsItIs({ type, size }: Blob, { width, height }: Size): boolean {
  return SENT_AS_THEY_ARE.has(type) && size <= MAX_BYTES && Math.max(width, height) <= MAX_SIDE;
}

export async function readPicture(file: File): Promise<Reading<Picture>> {
  const { name } = file;
  try {
    const bitmap = await createImageBitmap(file);
    const blob = isSentAsItIs(file, bitmap) ? file : await scaledDown(bitmap);
    const { width, height } = blob === file ? bitmap : fitted(bitmap);
    bitmap.close();
    return valueOf({ name, image: await dataUrlOf(blob), width, height });
  } catch {
    return problemOf(`${name} is not an image that this browser can read.`);
  }
}

/** The image as JPEG, on white where it is transparent. */
async function scaledDown(bitmap: ImageBitmap): Promise<Blob> {
  const canvas = document.createElement("canvas");
  const { width, height } = fitted(bitmap);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser cannot draw.");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const blob = await new Promise<Blob | null>((resolve) =>
    canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY),
  );
  if (!blob) throw new Error("This browser cannot write JPEG.");
  return blob;
}

function dataUrlOf(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(new Error("The file could not be read."));
    reader.readAsDataURL(blob);
  });
}
