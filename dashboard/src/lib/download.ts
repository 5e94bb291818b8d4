/** Makes the browser download `content` as a file. */
export function downloadFile(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // By then the browser has started to read it.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A file name that says what it is and when it ends: "ttft-2026-11-27T03-12-10Z.csv". */
export function fileName(what: string, unixSeconds: number, ending: string): string {
  const time = new Date(unixSeconds * 1000).toISOString().slice(0, 19).replaceAll(":", "-");
  return `${what}-${time}Z.${ending}`;
}
