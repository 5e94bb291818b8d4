import changelog from "../../../../CHANGELOG.md?raw";
import { Markdown } from "../../components/markdown/Markdown";
import { releaseNotes } from "../../lib/release-notes";

/** CHANGELOG.md, which is part of the build. In a file of its own, so that it is loaded when read. */
export function ReleaseNotes() {
  return <Markdown text={releaseNotes(changelog)} />;
}
