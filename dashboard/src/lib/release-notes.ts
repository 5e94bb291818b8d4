/** CHANGELOG.md as text for a reader who has no repository. */

/** Without the title, and without the targets of links to files of the repository. */
export function releaseNotes(changelog: string): string {
  return changelog
    .replace(/^# .*\n+/, "")
    .replace(/\[([^\]]+)\]\((?!https?:)[^)]*\)/g, "$1")
    .trim();
}
