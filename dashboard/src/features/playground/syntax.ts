/** Says what is wrong in JSON text, and where. The messages of browsers often lack the place. */

import { parse, printParseErrorCode, type ParseError } from "jsonc-parser";

const WORDS: Partial<Record<ReturnType<typeof printParseErrorCode>, string>> = {
  InvalidSymbol: "this word is not JSON: strings need double quotes",
  InvalidNumberFormat: "this is not a number",
  PropertyNameExpected: "a name in double quotes is missing",
  ValueExpected: "a value is missing",
  ColonExpected: "a colon is missing",
  CommaExpected: "a comma or a closing bracket is missing",
  CloseBraceExpected: "a closing brace } is missing",
  CloseBracketExpected: "a closing bracket ] is missing",
  EndOfFileExpected: "there is text after the end",
  InvalidCommentToken: "JSON has no comments",
  UnexpectedEndOfComment: "JSON has no comments",
  UnexpectedEndOfString: "a closing quote is missing",
  UnexpectedEndOfNumber: "this number is incomplete",
  InvalidUnicode: "this is not a character: \\u needs four hexadecimal digits",
  InvalidEscapeCharacter: "this is not an escape sequence",
  InvalidCharacter: "this character must be escaped",
};

/** "Line 3, column 5: a comma is missing."; null if the text is JSON or empty. */
export function findSyntaxError(text: string): string | null {
  if (text.trim() === "") return null;
  const errors: ParseError[] = [];
  parse(text, errors, { disallowComments: true, allowTrailingComma: false });
  const first = errors[0];
  if (!first) return null;
  const lines = text.slice(0, first.offset).split("\n");
  const place = `Line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`;
  return `${place}: ${WORDS[printParseErrorCode(first.error)] ?? "this is not valid JSON"}.`;
}
